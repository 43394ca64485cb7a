"""CrystalNN fingerprints: how similar two crystals are in their local environments."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.crystal.bounds import structure_fault
from crystalicl_jobflow.crystal.symmetry import structure_dataset

FINGERPRINT_SIZE = 61
"""Length of CrystalNN's ``ops`` fingerprint in matminer."""


@cache
def _featurizer() -> Any:
    from matminer.featurizers.site import CrystalNNFingerprint

    # the preset without further arguments, as the coverage metric of CDVAE takes it
    return CrystalNNFingerprint.from_preset("ops")


def prepare_fingerprints() -> None:
    """Import matminer and build the featurizer, which takes seconds, now."""
    _featurizer()


def crystal_fingerprint(structure: Structure) -> np.ndarray:
    """Return the CrystalNN ``ops`` fingerprint of a crystal, averaged over its sites.

    Symmetry-equivalent sites have the same environment, so one site per orbit is computed and
    weighted by the size of the orbit.

    Parameters
    ----------
    structure
        Any cell of the crystal.

    Returns
    -------
    numpy.ndarray
        Shape (61,), no unit. Zimmermann and Jain, RSC Adv. 10, 6063 (2020).

    Raises
    ------
    ValueError
        If a number of the structure is out of bounds.
    """
    fault = structure_fault(structure)
    if fault is not None:
        raise ValueError(fault)
    featurizer = _featurizer()
    sites, counts = _orbits(structure)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = [featurizer.featurize(structure, int(i)) for i in sites]  # (orbits, 61)
    return np.average(np.asarray(values, dtype=float), axis=0, weights=counts)


_ORBIT_SYMPREC = 1e-3
"""Å; tight, so that environments of sites taken as equivalent do not differ visibly."""


def _orbits(structure: Structure) -> tuple[np.ndarray, np.ndarray]:
    """Return one site of each orbit and the orbits' sizes."""
    dataset = structure_dataset(structure, symprec=_ORBIT_SYMPREC, angle_tolerance=-1)
    if dataset is None:
        return np.arange(len(structure)), np.ones(len(structure))
    _, first, counts = np.unique(dataset.equivalent_atoms, return_index=True, return_counts=True)
    return first, counts

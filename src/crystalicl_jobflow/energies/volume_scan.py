"""Energies of many crystals at their best volume: cached, in batches, within a time budget.

Texts of crystals give lengths to about 1 %, templates to about 2 %, and a potential's energy
changes by hundredths of an eV/atom over that. What ranks crystals must not depend on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.comparison.fingerprint_cache import open_fingerprint_cache
from crystalicl_jobflow.crystal.structure_hash import structure_hash
from crystalicl_jobflow.energies.energy_model import Energy, EnergyFailure, EnergyModel
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from maggma.core import Store

    from crystalicl_jobflow.comparison.fingerprint_cache import FingerprintCache, Value

Relaxed = Literal["nothing", "volume", "all"]
"""What is relaxed before the energy counts: nothing; the volume; positions, cell and volume."""

VOLUMES = (0.85, 0.90, 0.95, 1.00, 1.05, 1.10, 1.15)
"""Volumes of the scan, relative to the crystal's own: seven points, the true volume is within
15 % for nearly all crystals that are right (5 % at the median for element substitution)."""

_METHOD = 1
"""Raised where energies come out otherwise, so that older cached ones are not read."""

_AT_ONCE = 4
"""Crystals between two looks at the clock."""


def best_energies(
    structures: Sequence[Structure | None],
    model: EnergyModel,
    *,
    relaxed: Relaxed = "volume",
    cache: FingerprintCache | Store | str | None = None,
    seconds: float | None = None,
    progress: Progress | None = None,
) -> list[Energy]:
    """Return the energy of each crystal after the relaxation asked for.

    Parameters
    ----------
    structures
        Crystals, the most important first; None stays a failure in its place.
    model
        The potential.
    relaxed
        ``nothing``: as it is; ``volume``: the lowest of `VOLUMES` with the shape and the
        fractional coordinates kept, and the bottom of the parabola through it and its
        neighbours; ``all``: positions and cell, see `EnergyModel.relax`.
    cache
        Where energies are kept by structure hash, see
        :func:`~crystalicl_jobflow.comparison.fingerprint_cache.open_fingerprint_cache`.
    seconds
        Time after which no further crystal is begun; the rest has the failure ``timed_out``,
        and is not cached. None for no limit.
    progress
        Called with (done, of).

    Returns
    -------
    list of Energy
        eV/atom on the model's own scale, in order; never raises for a crystal.

    Raises
    ------
    ValueError
        If there is no such relaxation, or the cache cannot be opened; one line.
    """
    if relaxed not in get_args(Relaxed):
        raise ValueError(f"relaxed is one of {', '.join(get_args(Relaxed))}, not {relaxed!r}")
    kind = f"energy {_METHOD} {model.name} {model.version} relaxed {relaxed}"
    names = ["" if item is None else structure_hash(item) for item in structures]
    first: dict[str, int] = {}
    for place, name in enumerate(names):
        first.setdefault(name, place)
    started = time.monotonic()
    with open_fingerprint_cache(cache, kind=kind) as kept:
        known = {} if kept is None else _read(kept.get_many([name for name in first if name]))
        missing = [name for name in first if name not in known]
        done = len(known)
        for start in range(0, len(missing), _AT_ONCE):
            part = missing[start : start + _AT_ONCE]
            if seconds is not None and time.monotonic() - started > seconds:
                known |= dict.fromkeys(missing[start:], _late(seconds))
                break
            found = _MEASURES[relaxed](model, [structures[first[name]] for name in part])
            fresh = dict(zip(part, found, strict=True))
            known |= fresh
            if kept is not None:
                kept.put_many({name: _write(energy) for name, energy in fresh.items() if name})
            done += len(part)
            if progress is not None:
                progress(done, len(first))
    return [known[name] for name in names]


def _late(seconds: float) -> Energy:
    return Energy(None, EnergyFailure.TIMED_OUT, f"The {seconds:g} s for energies were over.")


def _as_they_are(model: EnergyModel, structures: Sequence[Structure | None]) -> list[Energy]:
    return model.energies(structures)


def _all_relaxed(model: EnergyModel, structures: Sequence[Structure | None]) -> list[Energy]:
    return [
        Energy(item.energy_per_atom if item.converged else None, item.failure, item.message)
        for item in model.relax(structures)
    ]


def _scanned(model: EnergyModel, structures: Sequence[Structure | None]) -> list[Energy]:
    scaled = [
        None if structure is None else _scaled(structure, ratio)
        for structure in structures
        for ratio in VOLUMES
    ]
    found = model.energies(scaled)
    count = len(VOLUMES)
    return [
        lowest_of_scan(VOLUMES, found[start : start + count])
        for start in range(0, len(found), count)
    ]


def _scaled(structure: Structure, ratio: float) -> Structure:
    return Structure(
        structure.lattice.scale(structure.volume * ratio),
        structure.species_and_occu,
        structure.frac_coords,
    )


def lowest_of_scan(volumes: Sequence[float], energies: Sequence[Energy]) -> Energy:
    """Return the lowest energy of a scan over volumes.

    Parameters
    ----------
    volumes
        Ascending.
    energies
        One per volume.

    Returns
    -------
    Energy
        The bottom of the parabola through the lowest point and its two neighbours, where all
        three are known; the lowest point at an end of the scan; the failure of the volume nearest
        to the crystal's own where there is no energy at all.
    """
    values = [np.inf if item.energy_per_atom is None else item.energy_per_atom for item in energies]
    place = int(np.argmin(values))
    if not np.isfinite(values[place]):
        return energies[int(np.argmin(np.abs(np.array(volumes) - 1.0)))]
    around = slice(place - 1, place + 2)
    near = values[around] if 0 < place < len(values) - 1 else []
    if not near or not np.isfinite(near).all():
        return Energy(float(values[place]))
    a, b, c = np.polyfit(volumes[around], near, 2)
    bottom = float(c - b * b / (4 * a)) if a > 0 else values[place]
    return Energy(float(min(bottom, values[place])))


_MEASURES: Mapping[
    str, Callable[[EnergyModel, Sequence[Structure | None]], list[Energy]]
] = {"nothing": _as_they_are, "volume": _scanned, "all": _all_relaxed}  # fmt: skip


def _read(found: Mapping[str, Value]) -> dict[str, Energy]:
    """Return energies from what a cache holds: a number, or the code and words of a failure."""
    known: dict[str, Energy] = {}
    for name, value in found.items():
        if isinstance(value, str):
            code, _, message = value.partition(": ")
            if code in set(EnergyFailure):
                known[name] = Energy(None, EnergyFailure(code), message)
        else:
            known[name] = Energy(float(value[0]))
    return known


def _write(energy: Energy) -> Any:
    if energy.energy_per_atom is None:
        failure = energy.failure or EnergyFailure.MODEL_FAILED
        return f"{failure}: {energy.message or ''}"
    return np.array([energy.energy_per_atom])

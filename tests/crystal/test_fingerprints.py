"""CrystalNN fingerprints, averaged over sites."""

from __future__ import annotations

import numpy as np
import pytest
from matminer.featurizers.site import CrystalNNFingerprint
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.crystal.fingerprints import FINGERPRINT_SIZE, crystal_fingerprint

CASES = {
    "rock salt": Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
    ),
    "rutile": Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.6, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_one_site_per_orbit_gives_the_average_over_all_sites(name: str) -> None:
    structure = CASES[name]
    featurizer = CrystalNNFingerprint.from_preset("ops")
    full = np.mean([featurizer.featurize(structure, i) for i in range(len(structure))], axis=0)
    found = crystal_fingerprint(structure)
    assert found.shape == (FINGERPRINT_SIZE,)
    np.testing.assert_allclose(found, full, atol=1e-6)


def test_the_cell_does_not_matter() -> None:
    structure = CASES["rutile"]
    np.testing.assert_allclose(
        crystal_fingerprint(structure), crystal_fingerprint(structure * (1, 1, 2)), atol=1e-6
    )

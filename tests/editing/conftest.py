"""Real crystals that are edited, and the model that ships with the package."""

from __future__ import annotations

from typing import Any

import pytest
from pymatgen.core import Lattice, Structure


@pytest.fixture(scope="session")
def perovskite() -> Structure:
    """Cubic CaTiO3."""
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.84), ["Ca", "Ti", "O"], [[0, 0, 0], [0.5] * 3, [0.5, 0.5, 0]]
    )


@pytest.fixture(scope="session")
def spinel() -> Structure:
    """MgAl2O4."""
    return Structure.from_spacegroup(
        "Fd-3m", Lattice.cubic(8.08), ["Mg", "Al", "O"], [[0] * 3, [0.625] * 3, [0.3876] * 3]
    )


@pytest.fixture(scope="session")
def rutile() -> Structure:
    """TiO2."""
    return Structure.from_spacegroup(
        "P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], [[0, 0, 0], [0.305, 0.305, 0]]
    )


@pytest.fixture(scope="session")
def tilted() -> Structure:
    """Orthorhombic CaTiO3: two orbits of oxygen, seven free coordinates."""
    return Structure.from_spacegroup(
        "Pnma",
        Lattice.orthorhombic(5.44, 7.64, 5.38),
        ["Ca", "Ti", "O", "O"],
        [[0.036, 0.25, 0.993], [0, 0, 0.5], [0.484, 0.25, 0.071], [0.289, 0.037, 0.711]],
    )


@pytest.fixture(scope="session")
def rock_salt() -> Structure:
    """NaCl."""
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0] * 3, [0.5] * 3]
    )


@pytest.fixture(scope="session")
def model() -> Any:
    """Return the model that ships with the package."""
    from crystalicl_jobflow.generation import load_generator

    return load_generator("embedded", device="cpu", num_threads=1)

"""An energy model whose every answer can be worked out by hand, and crystals."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.energies import ElementalReferences, Energy, EnergyFailure, Relaxation


class LatticeModel:
    """Energy per atom: minus a tenth of the cell's length a; relaxing lengthens it to 5 Å."""

    name = "lattice"
    version = "1"

    def energies(
        self,
        structures: Sequence[Structure | None],
        *,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Energy]:
        if progress is not None:
            progress(len(structures), len(structures))
        return [
            Energy(None, EnergyFailure.NO_STRUCTURE, "There is no crystal.")
            if structure is None
            else Energy(-structure.lattice.a / 10)
            for structure in structures
        ]

    def relax(
        self,
        structures: Sequence[Structure | None],
        *,
        fmax: float = 0.1,
        max_steps: int = 500,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[Relaxation]:
        answers = []
        for structure in structures:
            if structure is None:
                answers.append(
                    Relaxation(None, None, False, failure=EnergyFailure.NO_STRUCTURE, message="No.")
                )
            elif max_steps == 0:
                answers.append(
                    Relaxation(
                        structure,
                        -structure.lattice.a / 10,
                        False,
                        failure=EnergyFailure.NOT_CONVERGED,
                        message="After 0 steps.",
                    )
                )
            else:
                relaxed = Structure(Lattice.cubic(5), structure.species, structure.frac_coords)
                answers.append(Relaxation(relaxed, -0.5, True, 1, 0.0))
        return answers


@pytest.fixture
def lattice_model() -> LatticeModel:
    return LatticeModel()


@pytest.fixture
def references() -> ElementalReferences:
    return ElementalReferences("own", "lattice", "1", {"Na": -0.1, "Cl": -0.3})


@pytest.fixture
def cscl() -> Structure:
    return Structure(Lattice.cubic(4.0), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])

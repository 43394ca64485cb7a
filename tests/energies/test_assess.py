"""All energies of many crystals: arithmetic, and that no crystal is lost."""

from __future__ import annotations

from typing import Any

import pytest
from pymatgen.core import Composition, Structure

from crystalicl_jobflow.energies import (
    ConvexHull,
    ElementalReferences,
    EnergyFailure,
    EnergyModel,
    HullEntry,
    assess_energies,
)


@pytest.fixture
def hull() -> ConvexHull:
    return ConvexHull([HullEntry("known", Composition("NaCl"), -0.35)])


def test_the_fake_is_an_energy_model(lattice_model: Any) -> None:
    assert isinstance(lattice_model, EnergyModel)


def test_as_they_are(
    lattice_model: Any,
    references: ElementalReferences,
    hull: ConvexHull,
    nacl: Structure,
    cscl: Structure,
) -> None:
    rock_salt, nothing, b2 = assess_energies(
        [nacl, None, cscl], model=lattice_model, references=references, hull=hull
    )
    assert rock_salt.energy_per_atom == pytest.approx(-0.569)
    assert rock_salt.formation_energy_per_atom == pytest.approx(-0.369)
    assert rock_salt.energy_above_hull == pytest.approx(-0.019)
    assert b2.energy_above_hull == pytest.approx(0.15)
    assert (b2.relaxed, b2.converged, b2.counts) == (False, None, True)
    assert nothing.failure == EnergyFailure.NO_STRUCTURE
    assert nothing.message
    assert (nothing.energy_per_atom, nothing.energy_above_hull, nothing.counts) == (
        None,
        None,
        False,
    )


def test_relaxed(
    lattice_model: Any, references: ElementalReferences, hull: ConvexHull, cscl: Structure
) -> None:
    (item,) = assess_energies(
        [cscl], model=lattice_model, references=references, hull=hull, relax=True
    )
    assert item.structure is not None
    assert item.structure.lattice.a == pytest.approx(5)
    assert item.formation_energy_per_atom == pytest.approx(-0.3)
    assert item.energy_above_hull == pytest.approx(0.05)
    assert (item.relaxed, item.converged, item.steps) == (True, True, 1)


def test_an_unconverged_relaxation_has_energies_that_do_not_count(
    lattice_model: Any, references: ElementalReferences, cscl: Structure
) -> None:
    (item,) = assess_energies(
        [cscl], model=lattice_model, references=references, relax=True, max_steps=0
    )
    assert item.formation_energy_per_atom == pytest.approx(-0.2)
    assert item.failure == EnergyFailure.NOT_CONVERGED
    assert (item.converged, item.counts) == (False, False)


def test_without_reference_there_is_the_plain_energy(
    lattice_model: Any, references: ElementalReferences, cscl: Structure
) -> None:
    cscl.replace_species({"Na": "K"})
    (item,) = assess_energies([cscl], model=lattice_model, references=references)
    assert item.energy_per_atom == pytest.approx(-0.4)
    assert item.formation_energy_per_atom is None
    assert item.failure == EnergyFailure.NO_REFERENCE
    assert item.message == "No elemental reference for K."

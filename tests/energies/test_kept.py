"""A model whose results are kept: the same answers, and nothing is computed twice."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure
from tests.energies.conftest import LatticeModel

from crystalicl_jobflow.energies import (
    Energy,
    EnergyFailure,
    EnergyModel,
    Relaxation,
    load_energy_model,
)
from crystalicl_jobflow.energies.kept import KeptEnergies


class Counting(LatticeModel):
    """Counts what it is asked for; may end after some relaxations, as a killed process does."""

    def __init__(self, *, ends_after: int | None = None, version: str = "1") -> None:
        self.version = version
        self.asked = 0
        self.left = ends_after

    def energies(self, structures: Sequence[Structure | None], *, progress=None) -> list[Energy]:
        self.asked += len(structures)
        return super().energies(structures, progress=progress)

    def relax(self, structures: Sequence[Structure | None], **options) -> list[Relaxation]:
        if self.left is not None:
            if self.left == 0:
                raise KeyboardInterrupt
            self.left -= 1
        self.asked += len(structures)
        return super().relax(structures, **options)


def crystals() -> list[Structure | None]:
    cells = [
        Structure(Lattice.cubic(a), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]) for a in (3, 4, 6)
    ]
    cells[0].add_site_property("magmom", [0.5, -0.5])
    return [cells[0], None, cells[1], cells[0].copy(), cells[2]]


def test_a_killed_relaxation_goes_on_where_it_was(tmp_path: Path):
    cache = str(tmp_path / "energies.sqlite")
    killed = Counting(ends_after=2)
    with pytest.raises(KeyboardInterrupt):
        KeptEnergies(killed, cache).relax(crystals())
    second = Counting()
    seen: list[tuple[int, int]] = []
    found = KeptEnergies(second, cache).relax(crystals(), progress=lambda *done: seen.append(done))
    assert killed.asked + second.asked == 4 + 1  # three different crystals, and None twice
    plain = LatticeModel().relax(crystals())
    assert [item.structure for item in found] == [item.structure for item in plain]
    assert [(item.energy_per_atom, item.converged, item.failure) for item in found] == [
        (item.energy_per_atom, item.converged, item.failure) for item in plain
    ]
    assert seen[-1] == (5, 5)


def test_energies_are_the_models_own_and_kept(tmp_path: Path):
    cache = str(tmp_path / "energies.sqlite")
    model = Counting()
    assert isinstance(KeptEnergies(model, cache), EnergyModel)
    first = KeptEnergies(model, cache).energies(crystals())
    assert first == LatticeModel().energies(crystals())
    asked = model.asked
    assert KeptEnergies(model, cache).energies(crystals()[2:]) == first[2:]
    assert model.asked == asked


def test_other_versions_and_limits_are_not_mixed(tmp_path: Path):
    cache = str(tmp_path / "energies.sqlite")
    KeptEnergies(Counting(), cache).relax(crystals())
    for model, options in ((Counting(version="2"), {}), (Counting(), {"max_steps": 0})):
        found = KeptEnergies(model, cache).relax(crystals(), **options)
        assert model.asked == 4
        assert found[0].converged is (not options)
    again = KeptEnergies(Counting(), cache).relax(crystals(), max_steps=0)
    assert again[0].failure is EnergyFailure.NOT_CONVERGED
    assert again[0].message == "After 0 steps."


def test_an_error_that_the_model_raised_is_tried_again(tmp_path: Path):
    class Broken(Counting):
        def energies(self, structures, *, progress=None) -> list[Energy]:
            return [Energy(None, EnergyFailure.MODEL_FAILED, "MemoryError") for _ in structures]

    cache = str(tmp_path / "energies.sqlite")
    assert KeptEnergies(Broken(), cache).energies(crystals())[0].failure is not None
    assert KeptEnergies(Counting(), cache).energies(crystals())[0].energy_per_atom == -0.3


def test_chgnet_relaxes_once(tmp_path: Path):
    pytest.importorskip("chgnet", reason="CHGNet needs the extra forcefields")
    rock_salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.5), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
    ).get_primitive_structure()
    cache = str(tmp_path / "energies.sqlite")
    (first,) = KeptEnergies(load_energy_model("chgnet"), cache).relax([rock_salt])
    (second,) = KeptEnergies(load_energy_model("chgnet"), cache).relax([rock_salt])
    assert first.converged
    assert second.energy_per_atom == first.energy_per_atom
    assert second.structure == first.structure

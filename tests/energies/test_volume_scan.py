"""Energies at the best volume: right, cached, and never beyond their time by much."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.energies import Energy, EnergyFailure, load_energy_model
from crystalicl_jobflow.energies.energy_model import refusal
from crystalicl_jobflow.energies.volume_scan import VOLUMES, best_energies, lowest_of_scan


def rock_salt(length: float) -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(length), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
    )


class Spring:
    """Energy -3 eV/atom at 22 Å³ per atom, more away from there."""

    name, version = "spring", "1"

    def __init__(self) -> None:
        self.asked: list[int] = []

    def energies(self, structures: Sequence[Structure | None], *, progress=None) -> list[Energy]:
        self.asked.append(len(structures))
        return [
            refusal(item) or Energy(-3 + (item.volume / len(item) - 22.0) ** 2 / 100)
            for item in structures
        ]


def test_the_lowest_energy_does_not_depend_on_the_volume_of_the_text():
    lengths = (5.4, 5.6, 5.8)
    found = best_energies([rock_salt(length) for length in lengths], Spring())
    assert [item.energy_per_atom for item in found] == pytest.approx([-3.0] * 3, abs=1e-6)
    as_they_are = best_energies(
        [rock_salt(length) for length in lengths], Spring(), relaxed="nothing"
    )
    assert np.ptp([item.energy_per_atom for item in as_they_are]) > 0.05


def test_at_the_end_of_the_scan_the_last_point_counts():
    energies = [Energy(-float(place)) for place in range(7)]
    assert lowest_of_scan(VOLUMES, energies) == Energy(-6.0)
    gap = [Energy(None, EnergyFailure.MODEL_FAILED, "x"), Energy(-1.0), *energies[2:3], Energy(0.0)]
    assert lowest_of_scan((0.8, 0.9, 1.0, 1.1), gap).energy_per_atom < -2.0
    none = [Energy(None, EnergyFailure.ATOMS_OVERLAP, str(v)) for v in VOLUMES]
    assert lowest_of_scan(VOLUMES, none).message == "1.0"


def test_what_is_no_crystal_stays_a_failure_in_its_place():
    overlapping = Structure(Lattice.cubic(4), ["Na", "Cl"], [[0, 0, 0], [0.01, 0, 0]])
    found = best_energies([None, rock_salt(5.6), overlapping], Spring())
    assert [item.failure for item in found] == [
        EnergyFailure.NO_STRUCTURE,
        None,
        EnergyFailure.ATOMS_OVERLAP,
    ]


def test_a_crystal_is_computed_once_also_in_a_later_run(tmp_path: Path):
    cache = str(tmp_path / "energies.sqlite")
    crystals = [rock_salt(5.6), None, rock_salt(5.6), rock_salt(5.7)]
    first, second = Spring(), Spring()
    found = best_energies(crystals, first, cache=cache)
    assert sum(first.asked) == 3 * len(VOLUMES)  # two different ones, and none
    again = best_energies(crystals, second, cache=cache)
    assert sum(second.asked) == len(VOLUMES)  # what is no crystal has no hash
    assert [item.energy_per_atom for item in again] == [item.energy_per_atom for item in found]
    other = Spring()
    best_energies(crystals[:1], other, cache=cache, relaxed="nothing")
    assert sum(other.asked) == 1  # another relaxation is another energy


def test_when_the_time_is_over_the_rest_goes_without_and_is_not_kept(tmp_path: Path):
    cache = str(tmp_path / "energies.sqlite")
    crystals = [rock_salt(5.5 + 0.01 * number) for number in range(12)]
    found = best_energies(crystals, Spring(), cache=cache, seconds=0.0)
    assert found[-1].failure is EnergyFailure.TIMED_OUT
    whole = best_energies(crystals, Spring(), cache=cache)
    assert all(item.energy_per_atom is not None for item in whole)


def test_an_unknown_relaxation_is_one_line():
    with pytest.raises(ValueError, match="relaxed is one of nothing, volume, all, not 'some'"):
        best_energies([], Spring(), relaxed="some")  # type: ignore[arg-type]


def test_a_real_potential_prefers_rock_salt_to_the_cscl_type():
    pytest.importorskip("chgnet")
    cscl = Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(3.3), ["Na", "Cl"], [[0, 0, 0], [0.5] * 3]
    )
    salt, other = best_energies(
        [rock_salt(5.9).get_primitive_structure(), cscl], load_energy_model("chgnet")
    )
    assert salt.energy_per_atom < other.energy_per_atom
    # the Materials Project's PBE energy is -3.40 eV/atom, with its corrections -3.70
    assert -3.8 < salt.energy_per_atom < -3.5

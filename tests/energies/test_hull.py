"""The convex hull: by hand, against pymatgen, and what must hold of any hull."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PatchedPhaseDiagram, PDEntry, PhaseDiagram
from pymatgen.core import Composition, Element, Structure

from crystalicl_jobflow.energies import (
    ConvexHull,
    ElementalReferences,
    EnergyFailure,
    HullEntry,
    Relaxation,
)
from crystalicl_jobflow.energies.hull import reference_hull


def hull(*entries: tuple[str, float], scale: str = "") -> ConvexHull:
    return ConvexHull(
        [HullEntry(formula, Composition(formula), energy) for formula, energy in entries],
        scale=scale,
    )


# A-B with A = Na, B = Cl: corners 0, Na3Cl -0.2, NaCl -1.0, NaCl3 -0.6
BINARY = (("Na3Cl", -0.2), ("NaCl", -1.0), ("NaCl3", -0.6))


@pytest.mark.parametrize(
    ("formula", "energy", "above"),
    [
        ("NaCl", -1.0, 0.0),
        ("Na4Cl4", -1.0, 0.0),
        ("NaCl", -0.75, 0.25),
        ("NaCl", -1.3, -0.3),  # below: a new corner
        # x(Cl) = 1/4 lies between Na (0) and NaCl (-1): -0.5; the entry there is above it
        ("Na3Cl", -0.2, 0.3),
        ("Na3Cl", -0.5, 0.0),
        # x(Cl) = 3/4: the entry at -0.6 is below the line at -0.5, so it is a corner
        ("NaCl3", -0.6, 0.0),
        # x(Cl) = 2/3: between NaCl and NaCl3, -1 + (1/6)/(1/4) · 0.4 = -0.7333
        ("NaCl2", -0.5, 0.7333333 - 0.5),
    ],
)
def test_two_components_by_hand(formula: str, energy: float, above: float) -> None:
    found = hull(*BINARY).energy_above_hull(Composition(formula), energy)
    assert found == pytest.approx(above, abs=1e-6)


def test_decomposition_names_the_corners() -> None:
    parts = hull(*BINARY).decomposition(Composition("Na3Cl"))
    assert parts == pytest.approx({"Na": 0.5, "NaCl": 0.5})


def test_elements_need_no_entries() -> None:
    known = hull(("CaO", -3.0), ("TiO2", -3.0))
    assert known.energy_above_hull(Composition("CaTiO3"), -3.1) == pytest.approx(-0.1)
    assert known.decomposition(Composition("Ca2O")) == pytest.approx({"Ca": 1 / 3, "CaO": 2 / 3})


@pytest.mark.parametrize(
    ("formula", "known", "reason"),
    [
        ("NaCl", (), "no competing phase of Na-Cl in the reference set"),
        ("NaCl", ("KCl", "NaBr"), "no competing phase of Na-Cl in the reference set"),
        # an element is no competitor: against it whatever has a negative energy is stable
        ("NaCl", ("Na", "Cl2"), "no competing phase of Na-Cl in the reference set, only elements"),
        ("CaTiO3", ("CaO",), "no competing phase of Ca-Ti-O with Ti in the reference set"),
        ("CaTiO3", ("CaO", "Ti"), "no competing phase of Ca-Ti-O with Ti in the reference set"),
        ("CaTiO3", ("CaSrO2",), "no competing phase of Ca-Ti-O in the reference set"),
        ("C", ("CO2",), "no competing phase of C in the reference set"),
        ("NaCl", ("NaCl3",), None),
        ("CaTiO3", ("CaO", "TiO2"), None),
        ("CaTiO3", ("Ca2TiO4",), None),
        ("C", ("C",), None),
        # more systems than subsets of two elements: the other way of looking
        ("NaCl", ("KCl", "NaBr", "KBr", "LiBr", "LiCl"), "no competing phase of Na-Cl in the "
         "reference set"),
        ("NaCl", ("KCl", "NaBr", "KBr", "LiBr", "Na3Cl"), None),
    ],
)  # fmt: skip
def test_nothing_without_competitors_gets_a_verdict(
    formula: str, known: tuple[str, ...], reason: str | None
) -> None:
    found = hull(*((name, -0.5) for name in known))
    composition = Composition(formula)
    assert found.why_not_judged(el.symbol for el in composition.elements) == reason
    assert (found.energy_above_hull(composition, -3.0) is None) == (reason is not None)


def test_an_element_below_its_reference_becomes_the_corner() -> None:
    found = hull(("Na", -0.1), ("NaCl", -1.0))
    assert found.energy_above_hull(Composition("Na"), -0.1) == pytest.approx(0)
    assert found.energy_above_hull(Composition("Na"), 0.0) == pytest.approx(0.1)


def test_only_the_systems_within_count() -> None:
    found = hull(*BINARY, ("KCl", -1.2), ("NaK", -9.0), ("NaKCl2", -1.4))
    assert {entry.entry_id for entry in found.within(["Na", "Cl"])} == {"Na3Cl", "NaCl", "NaCl3"}
    assert len(found.within(["Na", "Cl", "K"])) == 6
    assert found.energy_above_hull(Composition("NaCl"), -1.0) == pytest.approx(0)


def test_a_system_is_built_once() -> None:
    found = hull(*BINARY)
    assert found.phase_diagram(["Na", "Cl"]) is found.phase_diagram(["Cl", "Na"])
    assert found.phase_diagram(["Na"]) is not found.phase_diagram(["Na", "Cl"])


FORMULAS = ("Na", "Cl", "K", "NaCl", "NaCl3", "Na2Cl", "KCl", "K2Cl3", "NaK", "NaKCl2", "Na2KCl3")


@given(st.lists(st.floats(-2, 0.5, allow_nan=False), min_size=11, max_size=11))
def test_pymatgen_agrees(energies: list[float]) -> None:
    rounded = [round(energy, 3) for energy in energies]
    entries = list(zip(FORMULAS, rounded, strict=True))
    ours = hull(*entries)
    made = [PDEntry(Composition(f), e * Composition(f).num_atoms) for f, e in entries]
    made += [PDEntry(Composition(symbol), 0.0) for symbol in ("Na", "Cl", "K")]
    whole = PhaseDiagram(made)
    patched = PatchedPhaseDiagram(made)
    for formula, energy in entries:
        composition = Composition(formula)
        entry = PDEntry(composition, energy * composition.num_atoms)
        above = ours.energy_above_hull(composition, energy)
        # pymatgen subtracts its own lowest elements again; the hull is the same
        assert above == pytest.approx(whole.get_e_above_hull(entry), abs=1e-6)
        assert above == pytest.approx(patched.get_e_above_hull(entry), abs=1e-6)
        assert above >= -1e-9


@given(
    st.lists(st.floats(-2, 0.5), min_size=11, max_size=11),
    st.tuples(*[st.floats(-3, 3)] * 3),
)
def test_references_shift_nothing(
    energies: list[float], shifts: tuple[float, float, float]
) -> None:
    """Formation energies against other elements give the same distances above the hull."""
    other = ElementalReferences("x", "m", "1", dict(zip(("Na", "Cl", "K"), shifts, strict=True)))
    entries = [*zip(FORMULAS, (round(e, 3) for e in energies), strict=True)]
    # with each element present, or the references would be corners themselves
    entries[:3] = [("Na", 0.0), ("Cl", 0.0), ("K", 0.0)]
    plain = hull(*entries)
    moved = PhaseDiagram(
        [
            PDEntry(Composition(f), (e + other.mixture(Composition(f))) * Composition(f).num_atoms)
            for f, e in entries
        ],
        elements=[Element("Na"), Element("Cl"), Element("K")],
    )
    for formula, energy in entries:
        composition = Composition(formula)
        total = (energy + other.mixture(composition)) * composition.num_atoms
        expected = moved.get_e_above_hull(PDEntry(composition, total))
        assert plain.energy_above_hull(composition, energy) == pytest.approx(expected, abs=1e-6)


def test_the_order_of_entries_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    entries = [*BINARY, ("KCl", -1.2), ("NaKCl2", -1.15)]
    first = hull(*entries).energy_above_hull(Composition("NaKCl2"), -1.15)
    for _ in range(5):
        shuffled = [entries[place] for place in rng.permutation(len(entries))]
        again = hull(*shuffled).energy_above_hull(Composition("NaKCl2"), -1.15)
        assert again == pytest.approx(first, abs=1e-9)


def test_a_saved_hull_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "hull.json"
    hull(*BINARY, scale="by hand").save(path)
    read = reference_hull(path)
    assert read.scale == "by hand"
    assert sorted(e.entry_id for e in read.entries) == ["Na3Cl", "NaCl", "NaCl3"]
    assert read.energy_above_hull(Composition("NaCl2"), -0.5) == pytest.approx(0.2333333, abs=1e-6)
    path.write_text('{"scale": 1}')
    with pytest.raises(ValueError, match="holds no convex hull"):
        ConvexHull.load(path)
    with pytest.raises(ValueError, match="does not exist"):
        reference_hull(tmp_path / "none.json")


def test_structures_get_the_models_energies(
    lattice_model: Any, references: ElementalReferences, nacl: Structure, cscl: Structure
) -> None:
    potassium = cscl.copy()
    potassium.replace_species({"Na": "K"})
    found = ConvexHull.from_structures(
        [nacl, cscl, None, potassium], model=lattice_model, references=references, ids="abcd"
    )
    # -0.569 and -0.4 against (-0.1 - 0.3)/2; no crystal and K without reference are left out
    energies = {entry.entry_id: entry.formation_energy_per_atom for entry in found.entries}
    assert energies == pytest.approx({"a": -0.369, "b": -0.2})
    assert found.scale == "lattice 1, references own"


def test_known_crystals_are_relaxed_where_asked_for(
    lattice_model: Any,
    references: ElementalReferences,
    nacl: Structure,
    cscl: Structure,
    tmp_path: Path,
) -> None:
    found = ConvexHull.from_structures(
        [nacl, None, cscl], model=lattice_model, references=references, relax=True
    )
    # relaxed, both have -0.5 against (-0.1 - 0.3)/2
    energies = [entry.formation_energy_per_atom for entry in found.entries]
    assert energies == pytest.approx([-0.3, -0.3])
    found.save(tmp_path / "hull.json")
    assert ConvexHull.load(tmp_path / "hull.json").relaxed


@pytest.mark.parametrize(
    ("converged", "failure"),
    [
        (False, None),
        (False, EnergyFailure.NOT_CONVERGED),
        (True, EnergyFailure.FELL_APART),
    ],
)
def test_a_known_crystal_whose_relaxation_does_not_count_keeps_its_energy(
    lattice_model: Any,
    references: ElementalReferences,
    nacl: Structure,
    monkeypatch: pytest.MonkeyPatch,
    converged: bool,
    failure: EnergyFailure | None,
) -> None:
    def relax(structures: list[Structure | None], **_: object) -> list[Relaxation]:
        return [Relaxation(item, -0.9, converged, 5, failure=failure) for item in structures]

    monkeypatch.setattr(lattice_model, "relax", relax)
    found = ConvexHull.from_structures(
        [nacl], model=lattice_model, references=references, relax=True
    )
    # -0.569, not -0.9, against (-0.1 - 0.3)/2
    assert found.entries[0].formation_energy_per_atom == pytest.approx(-0.369)


@pytest.fixture
def data(tmp_path: Path, nacl: Structure, cscl: Structure) -> Path:
    import pandas as pd

    path = tmp_path / "known.csv"
    pd.DataFrame(
        {
            "material_id": ["rock-salt", "b2", "unknown"],
            "formation_energy_per_atom": [-2.1, -1.9, None],
            "cif": [nacl.to(fmt="cif"), cscl.to(fmt="cif"), cscl.to(fmt="cif")],
        }
    ).to_csv(path, index=False)
    return path


def test_a_data_sets_own_energies(data: Path) -> None:
    found = reference_hull(data)
    assert len(found) == 2
    assert found.scale == "formation_energy_per_atom of the data"
    assert found.energy_above_hull(Composition("NaCl"), -1.9) == pytest.approx(0.2)


def test_a_data_set_with_a_models_energies(
    data: Path, lattice_model: Any, references: ElementalReferences, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="needs elemental references"):
        reference_hull(data, model=lattice_model)
    found = reference_hull(data, model=lattice_model, references=references)
    assert len(found) == 3
    # the CIF of rock salt is read in its conventional cell: a = 5.69
    assert found.energy_above_hull(Composition("NaCl"), -0.369) == pytest.approx(0)
    path = tmp_path / "saved.json"
    found.save(path)
    assert len(reference_hull(path, model=lattice_model, references=references)) == 3
    reference_hull(data).save(path)
    with pytest.raises(ValueError, match="asked for was 'lattice 1, references own'"):
        reference_hull(path, model=lattice_model, references=references)


def test_other_systems_are_passed_over(data: Path) -> None:
    assert len(reference_hull(data, chemical_systems=[frozenset({"K", "Cl"})])) == 0
    assert len(reference_hull(data, chemical_systems=[frozenset({"Na", "Cl", "O"})])) == 2


def test_a_part_of_the_known_crystals_never_puts_one_higher(shared_data: Path) -> None:
    """The Materials Project's own energies above the hull are of all its crystals."""
    import pandas as pd

    names = ("mp_20_train.csv.gz", "mp_20_test.csv.gz")
    columns = ["material_id", "pretty_formula", "formation_energy_per_atom", "e_above_hull"]
    rows = pd.concat([pd.read_csv(shared_data / name, usecols=columns) for name in names])
    known = ConvexHull(
        HullEntry(row.material_id, Composition(row.pretty_formula), row.formation_energy_per_atom)
        for row in rows.itertuples()
    )
    on_hull = 0
    for row in rows.sample(300, random_state=0).itertuples():
        composition = Composition(row.pretty_formula)
        above = known.energy_above_hull(composition, row.formation_energy_per_atom)
        assert above >= -1e-9  # it is an entry itself
        assert above <= row.e_above_hull + 1e-3
        on_hull += above < 1e-9
    assert on_hull > 150

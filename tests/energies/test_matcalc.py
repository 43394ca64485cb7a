"""Calculators of ASE as energy models, and potentials by matcalc's names."""

from __future__ import annotations

import gzip
import json
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.energies import (
    EnergyFailure,
    EnergyModel,
    assess_energies,
    elements,
    load_energy_model,
    load_references,
    model_versions,
)
from crystalicl_jobflow.energies.matcalc import MatcalcModel

calculators = pytest.importorskip("ase.calculators.emt", reason="needs ase")


@pytest.fixture
def emt() -> MatcalcModel:
    """Return ASE's effective medium theory, made for Al, Cu, Ag, Au, Ni, Pd and Pt."""
    return MatcalcModel(calculators.EMT(), name="emt", version="1")


@pytest.fixture
def copper() -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.7), ["Cu"], [[0, 0, 0]])


def test_energy_is_per_atom(emt: MatcalcModel, copper: Structure) -> None:
    assert isinstance(emt, EnergyModel)
    (cell,) = emt.energies([copper])
    (double,) = emt.energies([copper * (2, 1, 1)])
    assert cell.energy_per_atom == pytest.approx(double.energy_per_atom)


def test_relaxation_finds_emts_own_copper(emt: MatcalcModel, copper: Structure) -> None:
    """EMT's copper has a = 3.59 Å and, by its choice of zero, next to no energy there."""
    (found,) = emt.relax([copper], fmax=0.001)
    assert found.converged
    assert found.structure is not None
    assert found.structure.lattice.a == pytest.approx(3.59, abs=0.01)
    assert found.energy_per_atom == pytest.approx(0.0, abs=0.01)


def test_what_the_calculator_raises_stays_with_its_crystal(
    emt: MatcalcModel, copper: Structure
) -> None:
    iron = copper.copy()
    iron.replace_species({"Cu": "Fe"})
    for answers in (emt.energies([iron, None, copper]), emt.relax([iron, None, copper])):
        assert [item.failure for item in answers] == [
            EnergyFailure.MODEL_FAILED,
            EnergyFailure.NO_STRUCTURE,
            None,
        ]
        assert "Fe" in str(answers[0].message)


def test_results_rest_on_the_package_of_the_calculator(emt: MatcalcModel) -> None:
    assert model_versions([emt, emt, object()]) == {"ase": version("ase")}


def test_a_crystal_that_falls_apart_is_given_up(copper: Structure) -> None:
    from ase.calculators.calculator import Calculator, all_changes

    class Expanding(Calculator):
        """Pushes the cell outwards for ever."""

        implemented_properties = ("energy", "forces", "stress")

        def calculate(
            self, atoms: Any = None, properties: Any = None, changes: Any = all_changes
        ) -> None:
            import numpy as np

            super().calculate(atoms, properties, changes)
            assert self.atoms is not None
            self.results = {
                "energy": -float(self.atoms.get_volume()),
                "forces": np.zeros((len(self.atoms), 3)),
                "stress": np.array([-1.0, -1.0, -1.0, 0.0, 0.0, 0.0]),
            }

    (found,) = MatcalcModel(Expanding(), name="e", version="1").relax([copper])
    assert found.failure == EnergyFailure.FELL_APART
    assert found.energy_per_atom is None
    assert found.steps < 500


def test_a_name_that_matcalc_does_not_know() -> None:
    pytest.importorskip("matcalc", reason="needs matcalc")
    with pytest.raises((ValueError, ImportError), match="no-such-potential"):
        load_energy_model("matcalc:no-such-potential")


@pytest.mark.parametrize("name", ["matcalc", "matcalc:", "mace", ""])
def test_other_names_get_one_line(name: str) -> None:
    with pytest.raises(ValueError, match="no energy model"):
        load_energy_model(name)


def test_without_shipped_references_they_are_computed(emt: MatcalcModel, copper: Structure) -> None:
    """EMT knows a few metals; a formation energy of one of them is that of its cell."""
    pytest.importorskip("matcalc", reason="the elements' structures ship with matcalc")
    references = load_references(emt)
    assert references.kind == "own"
    assert {"Cu", "Au", "Pt"} <= set(references.energies)
    assert "Fe" not in references.energies
    (found,) = assess_energies([copper], model=emt, references=references, relax=True)
    assert found.formation_energy_per_atom == pytest.approx(0, abs=0.01)


def test_without_matcalc_one_line_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(elements, "find_spec", lambda _name: None)
    # energies of the elements are kept by a model's name and version
    emt = MatcalcModel(calculators.EMT(), name="emt", version="without matcalc")
    with pytest.raises(ImportError, match=r"pip install \"crystalicl-jobflow\[matcalc\]\""):
        load_references(emt)


def test_the_elements_files_are_read_as_plain_data(
    copper: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "elemental_refs"
    folder.mkdir()
    spec = SimpleNamespace(origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(elements, "find_spec", lambda _name: spec)
    wide = copper.copy()
    wide.scale_lattice(60.0)
    tables: dict[str, dict[str, Any]] = {
        "MP-PBE": {
            "Cu": {
                "structure": [wide.as_dict(), copper.as_dict()],
                "energy_per_atom": [-3.5, -3.7],
            }
        },
        "MatPES-PBE": {
            "Cu": {"structure": wide.as_dict(), "energy_per_atom": -9.0},
            "Ag": {"structure": wide.as_dict(), "energy_per_atom": -2.8},
        },
    }

    def write() -> None:
        for name, table in tables.items():
            path = folder / f"{name}-Element-Refs.json.gz"
            path.write_bytes(gzip.compress(json.dumps(table).encode()))

    write()
    found = elements.elemental_structures()
    assert set(found) == {"Cu", "Ag"}
    assert (found["Cu"].dft_energy, found["Cu"].source) == (-3.7, "MP-PBE")
    assert found["Cu"].structure == copper
    assert (found["Ag"].dft_energy, found["Ag"].source) == (-2.8, "MatPES-PBE")
    tables["MatPES-PBE"]["Ag"]["structure"] = {"@module": "os", "@callable": "getcwd"}
    write()
    with pytest.raises(ValueError, match="is not a crystal's structure"):
        elements.elemental_structures()


def test_the_elements_structures_are_their_ground_states() -> None:
    pytest.importorskip("matcalc", reason="the elements' structures ship with matcalc")
    found = elements.elemental_structures()
    assert len(found) == 89
    groups = {"Cu": 225, "Fe": 229, "Mg": 225, "Si": 227, "Zn": 194, "Sb": 166}
    for symbol, number in groups.items():
        assert found[symbol].structure.get_space_group_info()[1] == number
    assert {symbol for symbol, item in found.items() if item.source != "MP-PBE"} == {"Yb"}

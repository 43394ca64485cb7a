"""Structures are read from dictionaries without importing what these name."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from monty.json import MontyEncoder
from pydantic import ValidationError
from pymatgen.core import DummySpecies, Lattice, Species, Structure
from pymatgen.electronic_structure.core import Magmom

from crystalicl_jobflow.crystal.structure_documents import structure_as_dict, structure_from_dict
from crystalicl_jobflow.schemas.base import Crystal, Document


class Holder(Document):
    structure: Crystal


@pytest.fixture
def rock_salt() -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.69), ["Na+", "Cl-"], [[0, 0, 0], [0.5, 0.5, 0.5]],
        site_properties={"magmom": [0.5, 0.0]},
    )  # fmt: skip


@pytest.fixture
def module_that_leaves_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the file that appears when the module ``trap`` is imported."""
    (tmp_path / "trap.py").write_text(
        f"open({str(tmp_path / 'trace')!r}, 'w').close()\n"
        "class Structure:\n    @classmethod\n    def from_dict(cls, d): return d\n"
        "call = print\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "trap", raising=False)
    return tmp_path / "trace"


@pytest.mark.parametrize("species", [Species("Fe", 3, spin=2.5), DummySpecies("X", 1), "Fe"])
def test_species_charge_and_properties_come_back(species: Any) -> None:
    crystal = Structure(
        Lattice.hexagonal(3, 5), [species, {"O": 0.5, "F": 0.25}],
        [[0, 0, 0], [1 / 3, 2 / 3, 0.5]], charge=1, properties={"origin": "made up"},
        site_properties={"selective_dynamics": [[True, False, True]] * 2}, labels=["A1", "B2"],
    )  # fmt: skip
    document = crystal.as_dict()
    before = copy.deepcopy(document)
    read = structure_from_dict(document)
    assert read == crystal
    assert read.charge == 1
    assert read.properties == {"origin": "made up"}
    assert read.labels == ["A1", "B2"]
    assert read.site_properties == crystal.site_properties
    assert document == before


def test_a_serialised_magnetic_moment_becomes_numbers() -> None:
    crystal = Structure(
        Lattice.cubic(2.87), ["Fe"], [[0, 0, 0]], site_properties={"magmom": [Magmom(2.2)]}
    )
    document = crystal.as_dict()
    moment = json.loads(json.dumps(Magmom(2.2), cls=MontyEncoder))
    document["sites"][0]["properties"]["magmom"] = moment
    assert structure_from_dict(document).site_properties["magmom"] == [[0, 0, 2.2]]
    moment = json.loads(json.dumps(Magmom([0, 0, 2.2], saxis=[0, 1, 0]), cls=MontyEncoder))
    document["sites"][0]["properties"]["magmom"] = moment
    along_y = structure_from_dict(document).site_properties["magmom"]
    assert along_y == [pytest.approx([0, 2.2, 0])]
    moment["saxis"] = ["up"]
    with pytest.raises(ValueError, match="spin axis"):
        structure_from_dict(document)


TRAPS = {
    "a class": {"@module": "trap", "@class": "Structure"},
    "a function": {"@module": "trap", "@callable": "call"},
    "a bound function": {"@module": "trap", "@callable": "a.b", "@bound": {"@module": "trap",
                                                                        "@class": "Structure"}},
}  # fmt: skip
PLACES = {
    "the whole": lambda d, trap: d.update(trap),
    "the lattice": lambda d, trap: d["lattice"].update(trap),
    "a site": lambda d, trap: d["sites"][0].update(trap),
    "a species": lambda d, trap: d["sites"][0]["species"][0].update(trap),
    "a site's property": lambda d, trap: d["sites"][0]["properties"].update(magmom=trap),
    "deep in a site's property": lambda d, trap: d["sites"][0]["properties"].update(
        m=[{"a": trap}]
    ),
    "the properties": lambda d, trap: d.update(properties={"x": trap}),
}


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS)
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_nothing_that_a_dictionary_names_is_imported(
    rock_salt: Structure, module_that_leaves_a_trace: Path, trap: dict[str, Any], place: Any
) -> None:
    document = rock_salt.as_dict()
    place(document, trap)
    with pytest.raises(ValueError, match="trap") as error:
        structure_from_dict(document)
    assert "\n" not in str(error.value)
    with pytest.raises(ValidationError):
        Holder.model_validate({"structure": document})
    assert not module_that_leaves_a_trace.exists()
    assert "trap" not in sys.modules


@pytest.mark.parametrize(
    "document",
    [
        {}, [], "text", {"lattice": {}, "sites": []}, {"lattice": {"a": 1}, "sites": [{}]},
        {"lattice": 3, "sites": []},
        {"lattice": {"matrix": [[1, 0], [0, 1]]}, "sites": [{"species": [{}], "abc": [0, 0, 0]}]},
        {"lattice": {"matrix": [[3, 0, 0], [0, 3, 0], [0, 0, 3]]},
         "sites": [{"species": [{"element": "Fe", "occu": 1}], "abc": None}]},
        {"lattice": {"matrix": [[3, 0, 0], [0, 3, 0], [0, 0, 3]]},
         "sites": [{"species": [{"element": "Qq", "occu": 1}], "abc": [0, 0, 0]}]},
    ],
)  # fmt: skip
def test_what_is_no_structure_is_a_value_error_of_one_line(document: Any) -> None:
    with pytest.raises(ValueError, match=r"\w") as error:
        structure_from_dict(document)
    assert "\n" not in str(error.value)


def test_a_document_keeps_its_structure_through_json(rock_salt: Structure) -> None:
    text = Holder(structure=rock_salt).model_dump_json()
    assert Holder.model_validate_json(text).structure == rock_salt


@pytest.mark.parametrize(
    "structure",
    [
        Structure(Lattice.cubic(3.35), ["Po"], [[0.1, -0.2, 1.3]]),
        Structure(
            Lattice.from_parameters(4, 5, 6, 80, 95, 101),
            [{"Cu": 0.75, "Au": 0.2}, {"Fe2+": 0.5, "Fe3+": 0.5}, DummySpecies("X", 1), "O2-"],
            [[0, 0, 0], [0.5, 0.5, 0.5], [0.1, 0.2, 0.3], [0.7, 0.6, 0.9]],
            labels=["metal", None, "hole", "O1"],
            site_properties={"magmom": [1.0, None, 2.0, 0.5]},
            properties={"note": "kept"},
        ),
        Structure(Lattice.hexagonal(3, 5), ["Fe"], [[0, 0, 0]], charge=2),
        Structure(Lattice.cubic(3), [Species("Fe", 3, spin=2.5)], [[0, 0, 0]]),
    ],
    ids=["ordered", "mixed", "charged", "spin"],
)
def test_dictionaries_are_those_of_pymatgen(structure: Structure) -> None:
    expected = structure.as_dict()
    assert structure_as_dict(structure) == expected
    assert json.dumps(structure_as_dict(structure)) == json.dumps(expected)

"""What may be asked from a browser: conditions, a CIF, filters; and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.web import Limits
from crystalicl_jobflow.web.questions import read_cif, read_question, read_search

LIMITS = Limits()


@pytest.mark.parametrize(
    ("fields", "condition"),
    [
        ({"formula": " CaTiO3 "}, Condition(formula="CaTiO3")),
        ({"formula": "NaCl", "space_group": "Fm-3m"}, Condition(formula="NaCl", space_group=225)),
        ({"space_group": "221, 225"}, Condition(space_group=[221, 225])),
        ({"space_group": 225, "formula": ""}, Condition(space_group=225)),
        ({"elements": "Ca, O"}, Condition(elements=["Ca", "O"])),
        ({"elements": "Ca,O", "num_sites": "2:20"}, Condition(elements="Ca,O", num_sites="2:20")),
    ],
)  # fmt: skip
def test_a_question_is_a_condition(fields: dict[str, Any], condition: Condition) -> None:
    question = read_question({**fields, "samples": "3", "seed": 7}, LIMITS)
    assert question.condition == condition
    assert (question.samples, question.seed) == (3, 7)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "nothing is asked for"),
        ({"formula": " "}, "nothing is asked for"),
        ({"formula": "Xx2"}, "Xx"),
        ({"formula": "A" * 201}, "201 characters"),
        ({"formula": "C101O"}, "102 atoms"),
        ({"formula": "NaCl", "space_group": "231"}, "231"),
        ({"formula": "NaCl", "samples": "33"}, "from 1 to 32"),
        ({"formula": "NaCl", "samples": "0"}, "from 1 to 32"),
        ({"formula": "NaCl", "samples": "²"}, "whole number"),
        ({"formula": "NaCl", "samples": "1" * 150}, "whole number"),
        ({"formula": "NaCl", "seed": "-1"}, "seed"),
        ({"formula": "NaCl", "seed": 1.5}, "seed"),
        ({"formula": ["NaCl"]}, "formula is neither"),
        ({"formula": None}, "formula is neither"),
        ({"formula": "NaCl", "model": "/etc/passwd"}, "unknown field 'model'"),
        ({"formula": "NaCl", "pool": "mongodb://x"}, "unknown field 'pool'"),
        ({"formula": "NaCl", "store": "x"}, "unknown field 'store'"),
        ({"formula": "NaCl", "criteria": "{}"}, "unknown field 'criteria'"),
    ],
)
def test_what_is_no_question_is_refused_in_one_line(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_question(fields, LIMITS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("symprec", [None, 0.01])
def test_a_cif_gives_formula_and_group(symprec: float | None) -> None:
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    text = salt.to(fmt="cif", **({} if symprec is None else {"symprec": symprec}))
    for data in (text.encode(), text.replace("\n", "\r\n").encode()):
        read = read_cif(data, LIMITS)
        assert (read["formula"], read["space_group"], read["symbol"]) == ("NaCl", 225, "Fm-3m")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "."),
        (b"nothing", "."),
        (b"\0" * 100, "not a text file"),
        (b"data_x\n" + b"#" * 200_000, "200,007 bytes, more than 200,000"),
        (b"data_x\n_cell_length_a nan\n", "."),
    ],
)
def test_a_cif_that_is_none_is_refused_in_one_line(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        read_cif(data, LIMITS)
    assert "\n" not in str(caught.value)


def test_a_cif_with_too_many_atoms_is_refused() -> None:
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    with pytest.raises(ValueError, match="8 atoms, more than 7"):
        read_cif(salt.to(fmt="cif").encode(), Limits(cif_sites=7))


@pytest.mark.parametrize("share", [0.5, 0.55])
def test_a_disordered_cif_is_refused(share: float) -> None:
    alloy = Structure(Lattice.cubic(3.6), [{"Cu": share, "Au": 1 - share}], [[0, 0, 0]])
    with pytest.raises(ValueError, match="several species share a site"):
        read_cif(alloy.to(fmt="cif").encode(), LIMITS)


def test_filters_are_those_of_the_query() -> None:
    fields = {
        "elements": "Ca,O", "valid": "yes", "stable": "no", "space_group": "221,225",
        "energy_above_hull": ":0.1", "num_sites": "2:20", "sort": "density",
        "descending": "yes", "page": "2", "formula": "",
    }  # fmt: skip
    search = read_search(fields, LIMITS)
    asked = str(search.query.mongo_criteria)
    for part in ("'Ca', 'O'", "'valid': True", "'is_stable': False", "energy_above_hull", "221"):
        assert part in asked
    assert (search.sort, search.descending, search.page) == ("density", True, 2)
    assert "page" not in (search.fields or {})


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"criteria": "{}"}, "unknown field 'criteria'"),
        ({"$where": "1"}, "unknown field"),
        ({"valid": "maybe"}, "yes or no"),
        ({"sort": "__class__"}, "sort"),
        ({"page": "0"}, "page"),
        ({"page": "99999"}, "page"),
        ({"crystal_system": "round"}, "round"),
        ({"failure_reason": "laziness"}, "laziness"),
        ({"density": "5:3"}, "5"),
        ({"formula": "x" * 500}, "500 characters"),
    ],
)
def test_filters_that_make_no_sense_are_refused(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words.replace("$", r"\$")):
        read_search(fields, LIMITS)


def test_of_many_remarks_a_few_are_told() -> None:
    oxide = Structure(Lattice.cubic(9), ["O"], [[0.1, 0.1, 0.1]])
    text = oxide.to(fmt="cif").rstrip("\n") + "\n"
    twice = "".join(f"  O  O{n}  1  0.1  0.1  0.1  1\n" for n in range(1, 200))
    remarks = read_cif((text + twice).encode(), LIMITS)["remarks"]
    assert len(remarks) == 4
    assert "listed already" in remarks[0]
    assert remarks[-1] == "and 196 more remarks"

"""Whether a crystal is the one asked for."""

from __future__ import annotations

from typing import Any

import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.schemas import (
    Completion,
    Condition,
    Generation,
    ModelInfo,
    Range,
    SamplingParams,
)
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.thresholds import meets_value
from crystalicl_jobflow.validation.success import (
    asked_for,
    describe_misses,
    joint_success,
    judge,
    with_properties,
)
from crystalicl_jobflow.validation.summary import crystal_summary
from crystalicl_jobflow.validation.validate import validate_completion


@pytest.mark.parametrize(
    ("asked", "met"),
    [
        ({"formula": "NaCl"}, True),
        ({"formula": "Cl2Na2"}, True),
        ({"formula": "NaCl2"}, False),
        ({"anonymous_formula": "AB"}, True),
        ({"anonymous_formula": "AB2"}, False),
        ({"chemsys": "Na-Cl"}, True),
        ({"chemsys": "Na-Cl-O"}, False),
        ({"elements": ("Na",)}, True),
        ({"elements": ("Na", "O")}, False),
        ({"space_group": 225}, True),
        ({"space_group": "Fm-3m"}, True),
        ({"space_group": (1, 225)}, True),
        ({"space_group": 221}, False),
        ({"num_sites": 2}, True),  # the primitive cell's
        ({"num_sites": 8}, False),
        ({"num_sites": Range(min=2, max=4)}, True),
        ({"num_sites": Range(min=3)}, False),
    ],
)
def test_each_part_by_itself(nacl: Structure, asked: dict[str, Any], met: bool) -> None:
    (name,) = asked
    assert judge(Condition(**asked), crystal_summary(nacl)) == {name: met}


@pytest.mark.parametrize(
    ("name", "asked", "value", "met"),
    [
        # CrystalICL: the same sign
        ("formation_energy_per_atom", -1.7, -0.01, True),
        ("formation_energy_per_atom", -1.7, 0.01, False),
        ("formation_energy_per_atom", 0.2, 3.0, True),
        # CrystalICL: within 0.5 eV
        ("band_gap", 1.7, 2.2, True),
        ("band_gap", 1.7, 2.21, False),
        ("band_gap", 0.0, 0.4, True),
        # not much less stable than asked; more stable is welcome
        ("energy_above_hull", 0.05, -0.2, True),
        ("energy_above_hull", 0.05, 0.14, True),
        ("energy_above_hull", 0.05, 0.16, False),
        # nobody's rule: within a tenth
        ("bulk_modulus", 100.0, 109.0, True),
        ("bulk_modulus", 100.0, 111.0, False),
    ],
)
def test_single_values(name: str, asked: float, value: float, met: bool) -> None:
    assert meets_value(name, value, asked) is met


def test_ranges_are_met_by_containment(nacl: Structure) -> None:
    condition = Condition(properties={"band_gap": "1:2"})
    crystal = crystal_summary(nacl)
    assert judge(condition, crystal, properties={"band_gap": 2.0}) == {"band_gap": True}
    assert judge(condition, crystal, properties={"band_gap": 2.01}) == {"band_gap": False}


def test_a_property_without_a_value_is_not_judged(nacl: Structure) -> None:
    condition = Condition(formula="NaCl", properties={"band_gap": 5.0})
    success = judge(condition, crystal_summary(nacl))
    assert success == {"formula": True, "band_gap": None}
    assert joint_success(success) is None


def test_a_text_that_is_no_crystal_meets_nothing() -> None:
    condition = Condition(formula="NaCl", properties={"band_gap": 5.0})
    assert judge(condition, None) == {"formula": False, "band_gap": False}


def test_one_miss_decides_the_joint_success() -> None:
    assert joint_success({"formula": False, "band_gap": None}) is False
    assert joint_success({"formula": True, "space_group": True}) is True
    assert joint_success({}) is None


def test_names_of_what_is_asked_for() -> None:
    condition = Condition(formula="NaCl", space_group=225, properties={"band_gap": 5.0})
    assert asked_for(condition) == ("formula", "space_group", "band_gap")
    assert asked_for(Condition()) == ()


def test_misses_say_what_is_there_and_what_was_asked(nacl: Structure) -> None:
    condition = Condition(formula="KCl", num_sites=4, properties={"band_gap": "6:"})
    crystal, values = crystal_summary(nacl), {"band_gap": 5.0}
    success = judge(condition, crystal, properties=values)
    assert describe_misses(condition, crystal, success, properties=values) == (
        "the formula is NaCl, asked for was KCl; the num sites is 2, asked for was 4;"
        " the band gap is 5, asked for was at least 6"
    )


WURTZITE = {"Zn": ("b",), "S": ("b",)}


@pytest.mark.parametrize(
    ("text", "asked", "met"),
    [
        ("Pm-3m\n3.9 3.9 3.9\n90 90 90\nCa\n0.00 0.00 0.00\nTi\n0.50 0.50 0.50\nO\n0.00 0.50 0.50",
         {"space_group": 221, "wyckoff": "Ca:b Ti:a O:d"}, True),
        # Ca and Ti change places
        ("Pm-3m\n3.9 3.9 3.9\n90 90 90\nTi\n0.00 0.00 0.00\nCa\n0.50 0.50 0.50\nO\n0.00 0.50 0.50",
         {"space_group": 221, "wyckoff": "Ca:a Ti:b O:c"}, False),
        ("P6_3mc\n3.8 3.8 6.2\n90 90 120\nZn\n0.33 0.67 0.00\nS\n0.33 0.67 0.37",
         {"space_group": 186, "wyckoff": WURTZITE}, True),
        # the shortest axis is not the first: letters are those of other axes
        ("Pmmm\n5.0 4.0 3.0\n90 90 90\nCs\n0.00 0.00 0.00\nF\n0.50 0.00 0.00",
         {"space_group": 47, "wyckoff": "Cs:a F:b"}, True),
        ("Pmmm\n5.0 4.0 3.0\n90 90 90\nCs\n0.00 0.00 0.00\nF\n0.50 0.50 0.00",
         {"space_group": 47, "wyckoff": "Cs:a F:b"}, False),
        # another group than asked for: nothing to compare
        ("Fm-3m\n5.6 5.6 5.6\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50",
         {"space_group": 221, "wyckoff": "Na:a Cl:b"}, False),
    ],
)  # fmt: skip
def test_wyckoff_letters_are_met_from_any_origin_and_along_any_axes(
    text: str, asked: dict[str, Any], met: bool
) -> None:
    condition = Condition(**asked)
    summary = crystal_summary(SGS.decode(text), letters=True)
    success = judge(condition, summary)
    assert success["wyckoff"] is met
    assert success["formula"] is True
    misses = describe_misses(condition, summary, success)
    assert ("Wyckoff letters is" in misses) is not met


def test_letters_are_looked_for_again_where_properties_are_added_later() -> None:
    condition = Condition(space_group=221, wyckoff="Ca:a Ti:b O:c", properties={"band_gap": "1:2"})
    text = (
        "\n### Pm-3m\n### 3.9 3.9 3.9\n### 90 90 90\n### Ca\n### 0.00 0.00 0.00\n### Ti"
        "\n### 0.50 0.50 0.50\n### O\n### 0.00 0.50 0.50"
    )
    generation = Generation(
        condition=condition, prompt="", sampling=SamplingParams(),
        model=ModelInfo(engine="none", base_model="by hand"),
    )  # fmt: skip
    completion = Completion(
        request_index=0, sample_index=0, text=text, finished=True, num_tokens=16
    )
    candidate = validate_completion(completion, generation)
    assert candidate.success == {
        "formula": True, "space_group": True, "wyckoff": True, "band_gap": None,
    }  # fmt: skip
    judged = with_properties(candidate, {"band_gap": 1.5})
    assert judged.success["wyckoff"] is True
    assert judged.joint_success is True

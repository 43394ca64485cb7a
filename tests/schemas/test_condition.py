"""A condition holds together or is refused with one line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Element

from crystalicl_jobflow.schemas import Condition, ConditionError, Range

IMPOSSIBLE: list[tuple[dict[str, Any], str]] = [
    ({"formula": "CaXx3"}, "Xx"),
    ({"formula": ""}, "cannot be read"),
    ({"formula": "Ca0.5TiO3"}, "whole numbers"),
    ({"anonymous_formula": "abc"}, "anonymous formula"),
    ({"chemsys": "Ca-Qq"}, "'Qq' is not an element"),
    ({"elements": "Ca,Zz"}, "'Zz' is not an element"),
    ({"space_group": 231}, "space group 231 does not exist"),
    ({"space_group": 0}, "space group 0 does not exist"),
    ({"space_group": -3}, "does not exist"),
    ({"space_group": "P99"}, "'P99' is not a known symbol"),
    ({"space_group": []}, "empty list"),
    ({"num_sites": 0}, "at least 1"),
    ({"num_sites": "8:4"}, "reversed"),
    ({"num_sites": 2.5}, "whole number"),
    ({"properties": {"band_gap": "2:1"}}, "reversed"),
    ({"properties": {"band_gap": [2, 1]}}, "reversed"),
    ({"properties": {"band_gap": -1}}, "cannot be below 0"),
    ({"properties": {"band_gap": float("nan")}}, "finite"),
    ({"properties": {"colour": 1}}, "'colour' is not known"),
    ({"properties": {"band_gap": "blue"}}, "neither a number nor a range"),
    ({"properties": {"band_gap": 1, "dir_gap": 2}}, "given twice"),
    ({"formula": "CaTiO3", "anonymous_formula": "AB"}, "is ABC3, not AB"),
    ({"formula": "CaTiO3", "chemsys": "Ca-O"}, "not in the system Ca-O"),
    ({"formula": "CaTiO3", "elements": "Fe"}, "Fe is not in CaTiO3"),
    ({"chemsys": "Ca-O", "anonymous_formula": "ABC3"}, "elements of Ca-O"),
    ({"formla": "CaTiO3"}, "formla"),
    ({"wyckoff": "Ca:a"}, "need the one space group"),
    ({"wyckoff": "Na:a Cl:b", "space_group": [221, 225]}, "need the one space group"),
    ({"wyckoff": "Ca:z", "space_group": 221}, "Pm-3m (221) has no position z"),
    ({"wyckoff": "Ca:a Ti:a", "space_group": 221}, "position 1a"),
    ({"wyckoff": "Ca:a O:4c", "space_group": 221}, "has 3 points, not 4"),
    ({"wyckoff": "Ca a", "space_group": 221}, "written as Ca:a"),
    ({"wyckoff": "Ca:a Ca:b", "space_group": 221}, "each element once"),
    ({"wyckoff": {"Xx": "a"}, "space_group": 221}, "'Xx' is not an element"),
    ({"wyckoff": {"Ca": 3}, "space_group": 221}, "names none"),
    ({"wyckoff": {"Ca": []}, "space_group": 221}, "names none"),
    ({"wyckoff": {}, "space_group": 221}, "no element is named"),
    ({"wyckoff": 5, "space_group": 221}, "by element"),
    ({"wyckoff": "Ca:a Ti:b O:c", "space_group": 300}, "300 does not exist"),
    (
        {"wyckoff": "Ca:a Ti:b O:c", "space_group": 221, "formula": "CaTiO2"},
        "make CaTiO3, not CaTiO2",
    ),
    (
        {"wyckoff": "Ca:a Ti:b O:c", "space_group": 221, "num_sites": "6:8"},
        "5 atoms in the primitive cell, not 6:8",
    ),
    (
        {"wyckoff": "Ca:a Ti:b O:c", "space_group": 221, "chemsys": "Ca-O"},
        "not in the system Ca-O",
    ),
]


@pytest.mark.parametrize(("fields", "words"), IMPOSSIBLE)
def test_an_impossible_condition_is_refused_with_one_clear_line(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConditionError) as refused:
        Condition.build(**fields)
    message = str(refused.value)
    assert words in message
    assert "\n" not in message
    assert len(message) < 200


def test_wyckoff_letters_give_the_formula_and_are_kept_from_the_first_origin() -> None:
    asked = Condition(space_group="Pm-3m", wyckoff={"O": "3d", "Ca": ["b"], "Ti": ("a",)})
    assert asked.formula == "CaTiO3"
    assert asked == Condition(formula="CaTiO3", space_group=221, wyckoff="Ca:a Ti:b O:c")
    assert asked.label() == "CaTiO3, group 221, Wyckoff letters Ca:a Ti:b O:c"
    assert Condition.parse(asked.model_dump_json()) == asked
    assert Condition.parse(asked.model_dump()) == asked
    assert Condition.parse(json.dumps({"space_group": 221, "wyckoff": "Ca:a Ti:b O:c"})) == asked
    assert asked != Condition(formula="CaTiO3", space_group=221)
    # the same numbers of atoms elsewhere are another condition
    assert asked != Condition(space_group=221, wyckoff="Ca:a Ti:b O:d")
    assert Condition(space_group=225, wyckoff="Na:a Cl:b", num_sites=2).num_sites == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "JSON"),
        ("[1]", ""),
        ('{"space_group": 231}', "231"),
        ('{"spacegroup": 1}', "spacegroup"),
    ],
)
def test_json_is_refused_with_one_line_too(text: str, words: str) -> None:
    with pytest.raises(ConditionError) as refused:
        Condition.parse(text)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_same_thing_said_differently_is_the_same_condition() -> None:
    assert Condition(formula="Ca2Ti2O6") == Condition(formula="CaTiO3")
    assert Condition(formula="O3TiCa").formula == "CaTiO3"
    assert Condition(chemsys="Ti-O-Ca") == Condition(chemsys=["O", "Ca", "Ti"])
    assert Condition(elements="O,Ca") == Condition(elements=("Ca", "O"))
    assert Condition(space_group="Pm-3m") == Condition(space_group=221)
    assert Condition(space_group=[221, "Pm-3m"]) == Condition(space_group=221)
    assert Condition(anonymous_formula="A3BC") == Condition(anonymous_formula="ABC3")
    assert Condition(properties={"dir_gap": 1}) == Condition(properties={"band_gap": 1.0})
    assert Condition(properties={"band_gap": "1:2"}) == Condition(
        properties={"band_gap": Range(min=1, max=2)}
    )


@pytest.mark.parametrize(
    ("symbol", "number"),
    [("Cmce", 64), ("Cmca", 64), ("Fm-3m", 225), ("Fm3m", 225), ("P21/c", 14), ("P2_1/c", 14)],
)
def test_old_and_new_symbols_name_the_group(symbol: str, number: int) -> None:
    assert Condition(space_group=symbol).space_group == number


@pytest.mark.parametrize("symbol", ["I2/a", "P2_1/n", "P21/n"])
def test_other_settings_that_pymatgen_does_not_know_are_refused(symbol: str) -> None:
    with pytest.raises(ValueError, match=f"space group '{symbol}' is not a known symbol"):
        Condition(space_group=symbol)


@pytest.mark.parametrize(("symbol", "number"), [("Pbnm", 62), ("P112_1/b", 14), ("Fd-3m:2", 227)])
def test_other_settings_that_pymatgen_knows_name_their_group(symbol: str, number: int) -> None:
    # a condition asks for a group, not for coordinates in a setting
    assert Condition(space_group=symbol).space_group == number


def test_label_names_what_is_asked() -> None:
    condition = Condition(formula="CaTiO3", space_group=221, properties={"band_gap": "1:2"})
    assert condition.label() == "CaTiO3, group 221, band_gap 1:2"
    assert Condition().label() == "any crystal"
    assert Condition().is_empty


ELEMENTS = st.sampled_from([Element.from_Z(z).symbol for z in range(1, 95)])
COMPOSITIONS = st.dictionaries(ELEMENTS, st.integers(1, 12), min_size=1, max_size=5)
BOUNDS = st.floats(0, 20, allow_nan=False).map(lambda value: round(value, 4))
RANGES = st.tuples(BOUNDS, BOUNDS).map(sorted).map(lambda pair: Range(min=pair[0], max=pair[1]))
CONDITIONS = st.builds(
    Condition,
    formula=st.none()
    | COMPOSITIONS.map(lambda amounts: Composition(amounts).formula.replace(" ", "")),
    space_group=st.none() | st.integers(1, 230) | st.lists(st.integers(1, 230), min_size=1),
    num_sites=st.none() | st.integers(1, 200),
    properties=st.dictionaries(
        st.sampled_from(["band_gap", "energy_above_hull", "formation_energy_per_atom"]),
        BOUNDS | RANGES,
    ),
)


@given(CONDITIONS)
def test_json_round_trip(condition: Condition) -> None:
    assert Condition.parse(condition.model_dump_json()) == condition
    assert Condition.parse(json.loads(condition.model_dump_json())) == condition


@given(COMPOSITIONS, st.integers(2, 5))
def test_a_multiple_of_a_formula_asks_for_the_same(amounts: dict[str, int], times: int) -> None:
    once = Condition(formula="".join(f"{el}{n}" for el, n in amounts.items()))
    more = Condition(formula="".join(f"{el}{n * times}" for el, n in amounts.items()))
    assert once == more


@given(BOUNDS, BOUNDS, st.floats(-5, 25, allow_nan=False))
def test_a_range_contains_exactly_what_is_at_distance_zero(
    one: float, other: float, value: float
) -> None:
    bounds = Range(min=min(one, other), max=max(one, other))
    assert bounds.contains(value) == (bounds.distance(value) == 0)
    assert bounds.contains(bounds.target)


@given(st.integers(-1000, 1000).filter(lambda number: not 1 <= number <= 230))
def test_no_group_outside_1_to_230(number: int) -> None:
    with pytest.raises(ConditionError, match="does not exist"):
        Condition.build(space_group=number)

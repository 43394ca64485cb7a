"""CrysText's prompts, byte for byte as its published weights are asked, and what follows them.

The golden files are Alpaca's form (Taori et al., 2023) filled with CrysText's words for
composition with space group and for the energy above the convex hull.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from crystalicl_jobflow.prompts import (
    TEMPLATES,
    condition_sentences,
    crystal_prompt,
    property_prompt,
    property_response,
    response_text,
    shown_text,
)
from crystalicl_jobflow.schemas import Condition, Demonstration, Range

GOLDEN = Path(__file__).parent / "golden"
TEXT = "Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"


def golden(name: str) -> str:
    return (GOLDEN / name).read_text(encoding="utf-8")


def alpaca(condition: Condition, *shown: Demonstration | tuple[str, str], text: str = "cif") -> str:
    return crystal_prompt(condition, shown, text_format=text, template="alpaca")


def test_a_structure_is_asked_for_by_composition_and_group() -> None:
    asked = Condition(formula="NdAgHg2", space_group=225)
    assert alpaca(asked) == golden("alpaca_csp_ndaghg2.txt")


def test_a_material_is_asked_for_by_its_energy_above_hull() -> None:
    asked = Condition(properties={"energy_above_hull": 0.03})
    assert alpaca(asked) == golden("alpaca_e_above_hull.txt")
    low = Condition(properties={"energy_above_hull": Range(max=0.03)})
    assert alpaca(low) == golden("alpaca_e_above_hull.txt")


def test_without_a_condition_there_is_no_input() -> None:
    prompt = alpaca(Condition())
    assert "### Input:" not in prompt
    assert "paired with an input" not in prompt
    assert prompt.endswith("\n\n### Response:\n")


def test_everything_that_can_be_asked_has_a_sentence() -> None:
    asked = Condition(
        chemsys="Ca-O-Ti",
        space_group=[221, 62],
        num_sites=5,
        properties={"band_gap": 1.5, "formation_energy_per_atom": -2.0},
    )
    assert condition_sentences(asked, template="alpaca") == (
        "It has a space group number one of 62, 221. Formation energy per atom = -2.0 eV/atom."
        " Band gap = 1.5 eV. Chemical system is Ca-O-Ti. It has 5 sites."
    )


def test_demonstrations_stand_in_the_input_in_their_order() -> None:
    known = Demonstration(
        demonstration_id="x",
        source="test",
        formula="NaCl",
        anonymous_formula="AB",
        chemsys="Cl-Na",
        elements=("Cl", "Na"),
        num_sites=2,
        space_group=225,
        text=TEXT,
    )
    prompt = alpaca(Condition(formula="KCl"), known, ("Other.", "text"), text="sgs")
    _, context = prompt.split("### Input:\n")
    assert context == (
        f"Example 1: Material composition is NaCl.\n{TEXT}\n\nExample 2: Other.\ntext\n\n"
        "Material composition is KCl.\n\n### Response:\n"
    )
    # found again as training marks what is shown
    assert shown_text(TEXT, template="alpaca") in prompt


def test_responses_begin_where_the_prompt_ends() -> None:
    assert response_text(TEXT, template="alpaca") == TEXT
    assert response_text(TEXT).startswith("\n### Fm-3m\n### 5.7")
    assert property_response("-1.5", template="alpaca") == "-1.5"
    assert property_response("-1.5") == " -1.5"


def test_a_property_is_asked_for_with_its_unit() -> None:
    prompt = property_prompt("band_gap", TEXT, template="alpaca")
    assert "### Instruction:\nPredict the band gap in eV of the given material.\n" in prompt
    assert f"### Input:\n{TEXT}\n\n### Response:\n" in prompt


@pytest.mark.parametrize("text", ["sgs", "sgsw", "xyz", "cif"])
def test_every_text_has_words_of_its_own(text: str) -> None:
    others = {alpaca(Condition(), text=other) for other in ("sgs", "sgsw", "xyz", "cif")}
    assert len(others) == 4
    assert alpaca(Condition(), text=text) in others


def test_an_unknown_template_is_refused_with_those_that_there_are() -> None:
    assert TEMPLATES == ("crystalicl", "alpaca")
    for ask in (
        lambda: crystal_prompt(Condition(), template="vicuna"),
        lambda: property_prompt("band_gap", TEXT, template="vicuna"),
        lambda: response_text(TEXT, template="vicuna"),
        lambda: condition_sentences(Condition(), template="vicuna"),
    ):
        with pytest.raises(ValueError, match="'vicuna' is not one of crystalicl, alpaca"):
            ask()

"""The prompts are those of the CrystalICL paper's appendix G (arXiv 2508.20143), byte for byte.

The golden files hold prompt and response as printed there, with the listing's line wraps
undone and the scanned zeros of "BeBa02F" and of the element lines read as the letter O.
The zero-shot listings have lost their leading "### " to the page layout in two of four
places; the unconditional one and section 3.3 show it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from crystalicl_jobflow.prompts import (
    condition_sentences,
    crystal_prompt,
    property_prompt,
    response_text,
)
from crystalicl_jobflow.schemas import Condition, Demonstration, Range

GOLDEN = Path(__file__).parent / "golden"
RESPONSE = "### Response:"

LICUCO3 = Condition(
    formula="LiCuCO3",
    space_group=67,
    properties={
        "band_gap": 1.7254,
        "formation_energy_per_atom": -1.681,
        "energy_above_hull": 0.0469,
    },
)
C24_TEXT = """Amm2
4.0 2.5 11.9
90 90 90
C
0.19 0.00 0.67
C
0.29 0.00 0.98
C
0.30 0.00 0.23
C
0.31 0.00 0.55
C
0.00 0.00 0.32
C
0.00 0.00 0.90"""
RB_ZN_P = """P4/mmm
4.0 4.0 10.1
90 90 90
Rb
0.00 0.00 0.50
Zn
0.00 0.50 0.16
P
0.50 0.50 0.28
P
0.00 0.00 0.00"""


def golden(name: str) -> tuple[str, str]:
    """Return prompt and response of a golden file."""
    text = (GOLDEN / name).read_text(encoding="utf-8").removesuffix("\n")
    prompt, mark, response = text.partition(RESPONSE)
    return prompt + mark, response


def crystal_of(response: str) -> str:
    """Return the crystal text of a response, without '### '."""
    return "\n".join(line.removeprefix("### ") for line in response.strip("\n").splitlines())


def test_zero_shot_prompt_of_licuco3() -> None:
    prompt, _ = golden("zero_shot_licuco3.txt")
    assert crystal_prompt(LICUCO3) == prompt


def test_sentences_follow_the_papers_order_whatever_the_order_asked() -> None:
    assert condition_sentences(LICUCO3) == (
        "The chemical formula is LiCuCO3. The energy above the convex hull is 0.0469."
        " The spacegroup number is 67. The formation energy per atom is -1.681."
        " The band gap is 1.7254."
    )


def test_three_shot_prompt_of_mgago2f() -> None:
    prompt, response = golden("three_shot_mgago2f.txt")
    blocks = prompt.split(" Example:\n")[1:]
    shots = []
    for block in blocks:
        lines = [line.removeprefix("### ") for line in block.splitlines()]
        shots.append((lines[0], "\n".join(lines[1:12])))
    # the paper writes the elements of BeBaO2F in another order than reduced formulas here
    assert shots[0][0] == "The chemical formula is BeBaO2F. The spacegroup number is 123."
    assert crystal_prompt(Condition(formula="MgAgO2F", space_group=123), shots) == prompt
    assert response_text(crystal_of(response)) == response


def test_unconditional_prompt_of_carbon() -> None:
    prompt, response = golden("unconditional_c24.txt")
    assert crystal_prompt(Condition()) == prompt
    assert response_text(C24_TEXT) == response


def test_property_prompt_of_energy_above_hull() -> None:
    prompt, response = golden("property_e_above_hull.txt")
    assert property_prompt("energy_above_hull", RB_ZN_P) == prompt
    assert response == " 0.0"


def demonstration(**changes: object) -> Demonstration:
    fields: dict[str, object] = {
        "demonstration_id": "x",
        "source": "test",
        "formula": "BaBeO2F",
        "anonymous_formula": "ABCD2",
        "chemsys": "Ba-Be-F-O",
        "elements": ("Ba", "Be", "F", "O"),
        "num_sites": 5,
        "space_group": 123,
        "properties": {"band_gap": 0.5},
        "text": "P4/mmm\n4.9 4.9 4.9\n90 90 90\nBa\n0.50 0.50 0.50",
    }
    return Demonstration.model_validate({**fields, **changes})


def test_demonstrations_are_described_by_what_is_asked_and_nothing_else() -> None:
    prompt = crystal_prompt(Condition(space_group=123), [demonstration()])
    lines = prompt.splitlines()
    assert lines[0] == "Below is one description of bulk materials."
    assert lines[2] == "### The spacegroup number is 123."
    assert "formula" not in prompt
    assert "band gap" not in prompt


def test_a_property_that_a_demonstration_lacks_is_left_out_of_its_description() -> None:
    asked = Condition(space_group=123, properties={"band_gap": 1.0})
    prompt = crystal_prompt(asked, [demonstration(properties={})])
    assert prompt.count("The band gap is") == 1
    assert "The band gap is 1.0." in prompt


@pytest.mark.parametrize(
    ("shots", "count", "examples"),
    [(1, "one", "one example"), (2, "two", "two examples"), (5, "five", "five examples")],
)
def test_numbers_are_words(shots: int, count: str, examples: str) -> None:
    prompt = crystal_prompt(Condition(formula="CaTiO3"), [demonstration()] * shots)
    assert prompt.startswith(f"Below is {count} description of bulk materials.\n")
    assert f"Based on the {examples} provided, generate" in prompt
    assert prompt.endswith("\n### Response:")


def test_no_more_than_five_demonstrations() -> None:
    with pytest.raises(ValueError, match="at most 5 demonstrations fit, got 6"):
        crystal_prompt(Condition(), [demonstration()] * 6)


def test_a_range_is_named_by_its_middle_or_its_bound() -> None:
    assert (
        condition_sentences(Condition(properties={"band_gap": Range(min=1.0, max=2.0)}))
        == "The band gap is 1.5."
    )
    assert (
        condition_sentences(Condition(properties={"energy_above_hull": Range(max=0.1)}))
        == "The energy above the convex hull is 0.1."
    )


def test_the_other_texts_name_their_own_contents() -> None:
    xyz = crystal_prompt(Condition(formula="CaTiO3"), text_format="xyz")
    assert "space group symbol" not in xyz
    assert "lengths and angles of the lattice vectors" in xyz
    cif = crystal_prompt(Condition(formula="CaTiO3"), text_format="cif")
    assert "crystallographic information file" in cif


def test_unknown_names_are_refused() -> None:
    with pytest.raises(ValueError, match="text format 'poscar' is not one of"):
        crystal_prompt(Condition(), text_format="poscar")
    with pytest.raises(ValueError, match="'colour' is not known"):
        property_prompt("colour", RB_ZN_P)

"""Constraints as grammars, and as checks of finished texts, on real crystals and wrong ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints import ConstraintOptions, build_constraint
from crystalicl_jobflow.generation.constraints.finished_text import text_check
from crystalicl_jobflow.generation.constraints.grammar import text_grammar
from crystalicl_jobflow.generation.constraints.number import NumberConstraint
from crystalicl_jobflow.prompts import response_text
from crystalicl_jobflow.schemas import Condition, FailureReason
from crystalicl_jobflow.text import SGS, SGSW
from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal
from crystalicl_jobflow.text.sgs import SGSFormat

from .writing import walk

xgrammar = pytest.importorskip("xgrammar", reason="xgrammar reads the grammars")

PEROVSKITE = (
    "Pm-3m\n3.9 3.9 3.9\n90 90 90\nCa\n0.00 0.00 0.00\nTi\n0.50 0.50 0.50\nO\n0.00 0.50 0.50"
)
ASKED = Condition(formula="CaTiO3", space_group=221)


@lru_cache(maxsize=64)
def compiled(grammar: str) -> object:
    return xgrammar.Grammar.from_ebnf(grammar)


def grammar_of(condition: Condition, form: SGSFormat = SGS, **options: object) -> str:
    constraint = build_constraint(condition, ConstraintOptions(**options), form.name)
    assert constraint is not None
    grammar = text_grammar(constraint)
    assert grammar is not None
    return grammar


def accepts(grammar: str, text: str) -> bool:
    """Tell whether a whole text is in the grammar's language."""
    from xgrammar.testing import _is_grammar_accept_string

    return bool(_is_grammar_accept_string(compiled(grammar), text))


def crystals(path: Path, step: int) -> Iterator[tuple[Structure, SGSCrystal]]:
    for cif in pd.read_csv(path, usecols=["cif"])["cif"].iloc[::step]:
        structure = Structure.from_str(cif, fmt="cif")
        yield structure, SGS.analyze(structure)


def conditions(structure: Structure, crystal: SGSCrystal) -> list[Condition]:
    """Return everything that may be asked for of which the crystal is an answer."""
    composition = structure.composition
    elements = sorted(composition.get_el_amt_dict())
    return [
        Condition(formula=composition.reduced_formula, space_group=crystal.space_group_number),
        Condition(formula=composition.reduced_formula),
        Condition(anonymous_formula=composition.anonymized_formula),
        Condition(chemsys="-".join(elements)),
        Condition(elements=elements[:1], space_group=[crystal.space_group_number, 1]),
        Condition(),
    ]


@pytest.mark.parametrize(
    ("name", "step"), [("mp_20_test", 120), ("perov_5_test", 200), ("carbon_24_test", 100)]
)
def test_texts_of_real_crystals_are_in_the_grammar_of_their_conditions(
    name: str, step: int, shared_data: Path
) -> None:
    count = 0
    for structure, crystal in crystals(shared_data / f"{name}.csv.gz", step):
        for form in (SGS, SGSW):
            text = response_text(form.format(crystal))
            for condition in conditions(structure, crystal):
                assert accepts(grammar_of(condition, form, max_atoms=100), text), (condition, text)
                count += 1
    assert count > 100


@pytest.mark.slow
def test_texts_of_several_hundred_real_crystals_are(shared_data: Path) -> None:
    """Complex crystals, too: MPTS-52 has up to 52 atoms in a cell."""
    for name, step in (("mp_20_test", 10), ("mpts_52_train", 100)):
        for structure, crystal in crystals(shared_data / f"{name}.csv.gz", step):
            text = response_text(SGS.format(crystal))
            condition = conditions(structure, crystal)[0]
            assert accepts(grammar_of(condition), text), (condition, text)


def test_texts_of_other_crystals_are_not(shared_data: Path) -> None:
    previous = None
    count = 0
    for structure, crystal in crystals(shared_data / "mp_20_test.csv.gz", 60):
        text = response_text(SGS.format(crystal))
        asked = conditions(structure, crystal)[0]
        if previous is not None and asked != previous:
            assert not accepts(grammar_of(previous), text)
            count += 1
        previous = asked
    assert count > 50


WRONG = {
    "another group": PEROVSKITE.replace("Pm-3m", "P4/mmm"),
    "an element more": PEROVSKITE + "\nNa\n0.25 0.25 0.25",
    "an element less": PEROVSKITE.rsplit("\n", 2)[0],
    "another element": PEROVSKITE.replace("Ti", "Zr"),
    "two decimals of a length": PEROVSKITE.replace("3.9 3.9", "3.90 3.9"),
    "three decimals of a coordinate": PEROVSKITE.replace("0.00 0.50 0.50", "0.000 0.50 0.50"),
    "a coordinate of one": PEROVSKITE.replace("0.00 0.50 0.50", "1.00 0.50 0.50"),
    "angles of another system": PEROVSKITE.replace("90 90 90", "90 90 120"),
    "a cell that is too short": PEROVSKITE.replace("3.9 3.9 3.9", "1.9 1.9 1.9"),
    "a coordinate less": PEROVSKITE.replace("0.00 0.50 0.50", "0.00 0.50"),
    "no cell": "Pm-3m\n" + PEROVSKITE.split("\n", 3)[3],
    "words behind": PEROVSKITE + "\nThis is perovskite.",
    "nothing": "",
    "half a line": PEROVSKITE[:-2],
    "atoms before the cell": "Ca\n0.00 0.00 0.00\n" + PEROVSKITE,
}


@pytest.mark.parametrize("text", WRONG.values(), ids=WRONG)
def test_texts_that_break_the_condition_are_not(text: str) -> None:
    grammar = grammar_of(ASKED)
    assert accepts(grammar, response_text(PEROVSKITE))
    assert not accepts(grammar, response_text(text))


def test_whatever_a_constraint_lets_a_model_write_is(words: TokenVocabulary) -> None:
    """The grammar forbids nothing that decoding token by token would allow."""
    asked = [
        ASKED,
        Condition(anonymous_formula="AB2", elements="O"),
        Condition(chemsys="Na-Cl-O", num_sites="2:20"),
        Condition(elements="Li,Fe,P,O", space_group=[1, 2, 14, 62, 166, 227]),
        Condition(space_group=[3, 75, 143, 195]),
        Condition(),
    ]
    for condition in asked:
        for form in (SGS, SGSW):
            options = ConstraintOptions(max_atoms=24)
            constraint = build_constraint(condition, options, form.name)
            assert constraint is not None
            grammar = grammar_of(condition, form, max_atoms=24)
            for seed in range(4):
                text, _ = walk(constraint, words, seed)
                assert accepts(grammar, text), text


@pytest.mark.parametrize(
    ("options", "before", "between"),
    [
        ({}, "\n### ", "\n### "),
        ({"line_prefix": "", "text_prefix": ""}, "", "\n"),
        ({"text_prefix": " "}, " ", "\n### "),
    ],
)
def test_lines_begin_as_the_prompt_asks(options: dict[str, str], before: str, between: str) -> None:
    text = before + PEROVSKITE.replace("\n", between)
    assert accepts(grammar_of(ASKED, **options), text)
    assert not accepts(grammar_of(ASKED, **options), "x" + text)


def test_a_chats_answer_begins_a_text_of_its_own() -> None:
    constraint = build_constraint(ASKED)
    assert constraint is not None
    grammar = text_grammar(constraint, opening="### ")
    assert grammar is not None
    assert accepts(grammar, response_text(PEROVSKITE).lstrip("\n"))


def test_names_of_rules_are_those_that_every_reader_takes() -> None:
    """llama.cpp knows letters, digits and hyphens only."""
    for condition in (Condition(), ASKED, Condition(elements="Li,O")):
        for form in (SGS, SGSW):
            lines = grammar_of(condition, form).splitlines()
            names = [line.partition(" ::= ")[0] for line in lines]
            assert all(re.fullmatch(r"[a-zA-Z0-9-]+", name) for name in names)
            assert len(set(names)) == len(names)


def test_many_elements_cost_no_flood_of_rules() -> None:
    """Each of up to eight elements must come; of more, any may."""
    eight = Condition(chemsys="Li-Na-K-Rb-Cs-O-F-Cl")
    nine = Condition(chemsys="Li-Na-K-Rb-Cs-O-F-Cl-Br")
    assert grammar_of(eight).count("::=") > 256
    assert grammar_of(nine).count("::=") < 20


def test_other_constraints_have_neither_grammar_nor_check() -> None:
    assert text_grammar(NumberConstraint()) is None
    assert text_check(NumberConstraint()) is None


class TestCheck:
    """Finished texts are held to the same rules."""

    def reason(self, text: str, condition: Condition = ASKED, **options: object) -> object:
        constraint = build_constraint(condition, ConstraintOptions(**options))
        assert constraint is not None
        check = text_check(constraint)
        assert check is not None
        return check(text)

    @pytest.mark.parametrize(
        "text",
        [
            PEROVSKITE,
            response_text(PEROVSKITE),
            f"Here you are:\n```\n{PEROVSKITE}\n```\nEnjoy!",
            PEROVSKITE.replace("3.9 3.9 3.9", "3.90 3.87 3.9"),
            PEROVSKITE.replace("0.00 0.50 0.50", "0.50 0.00 0.50"),
        ],
    )
    def test_what_is_asked_for_passes_however_it_is_dressed(self, text: str) -> None:
        assert self.reason(text) is None

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (WRONG["another group"], FailureReason.CONDITION_NOT_MET),
            (WRONG["an element more"], FailureReason.CONDITION_NOT_MET),
            (WRONG["an element less"], FailureReason.CONDITION_NOT_MET),
            (WRONG["another element"], FailureReason.CONDITION_NOT_MET),
            (PEROVSKITE.replace("0.00 0.50 0.50", "0.10 0.20 0.30"),
             FailureReason.CONDITION_NOT_MET),
            (PEROVSKITE.replace("3.9 3.9 3.9", "190 190 190"), FailureReason.CONDITION_NOT_MET),
            (PEROVSKITE.replace("Ti\n", "Ti0.5 Zr0.5\n"), FailureReason.CONDITION_NOT_MET),
            (WRONG["no cell"], FailureReason.BAD_LATTICE),
            ("I cannot.", FailureReason.BAD_SPACE_GROUP),
            ("", FailureReason.EMPTY),
        ],
    )  # fmt: skip
    def test_the_reason_is_told(self, text: str, reason: FailureReason) -> None:
        assert self.reason(text) == reason

    def test_atoms_that_are_too_near(self) -> None:
        near = "P4mm\n4.0 4.0 4.5\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.00 0.00 0.20"
        polar = Condition(formula="NaCl", space_group=99)
        assert self.reason(near, polar) == FailureReason.ATOMS_OVERLAP
        assert self.reason(near, polar, min_distance=None, radii_fraction=None) is None

    def test_another_number_of_atoms_than_asked(self) -> None:
        doubled = "P4/mmm\n3.9 3.9 7.8\n90 90 90\n" + "\n".join(
            f"{name}\n{point}"
            for name, point in (
                ("Ca", "0.00 0.00 0.00"), ("Ca", "0.00 0.00 0.50"), ("Ti", "0.50 0.50 0.25"),
                ("O", "0.00 0.50 0.25"), ("O", "0.50 0.50 0.00"), ("O", "0.50 0.50 0.50"),
            )
        )  # fmt: skip
        tetragonal = Condition(formula="CaTiO3", space_group=123)
        assert self.reason(doubled, tetragonal) is None
        assert self.reason(doubled, tetragonal, max_atoms=9) == FailureReason.CONDITION_NOT_MET

    def test_real_crystals_pass_and_are_no_answer_to_each_other(self, shared_data: Path) -> None:
        previous = None
        for structure, crystal in crystals(shared_data / "mp_20_test.csv.gz", 60):
            for form in (SGS, SGSW):
                constraint = build_constraint(
                    conditions(structure, crystal)[0], text_format=form.name
                )
                assert constraint is not None
                check = text_check(constraint)
                assert check is not None
                assert check(response_text(form.format(crystal))) is None
                if previous is not None and previous != constraint.condition:
                    other = build_constraint(previous)
                    assert other is not None
                    foreign = text_check(other)
                    assert foreign is not None
                    assert foreign(SGS.format(crystal)) == FailureReason.CONDITION_NOT_MET
            previous = constraint.condition

    def test_it_agrees_with_decoding_token_by_token(self, words: TokenVocabulary) -> None:
        """What a constraint writes without giving anything up passes the check of itself."""
        for condition in (ASKED, Condition(chemsys="Na-Cl"), Condition(anonymous_formula="AB2")):
            constraint = build_constraint(condition, ConstraintOptions(max_atoms=24))
            assert constraint is not None
            check = text_check(constraint)
            assert check is not None
            for seed in range(8):
                text, state = walk(constraint, words, [seed, 1])
                expected = FailureReason.ATOMS_OVERLAP if state.relaxed else None
                assert check(text) == expected, text

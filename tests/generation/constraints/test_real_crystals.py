"""Real crystals are never forbidden: their own texts, token by token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints import ConstraintOptions, build_constraint
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.text import SGS, SGSW

from .writing import follow


def check(
    table: pd.DataFrame, words: TokenVocabulary, tokenize: Callable[[str], list[int]]
) -> tuple[int, list[str]]:
    stopped = []
    for row in table.itertuples():
        structure = Structure.from_str(row.cif, fmt="cif")
        crystal = SGS.analyze(structure)
        condition = Condition(
            formula=structure.composition.reduced_formula, space_group=crystal.space_group_number
        )
        for form in (SGS, SGSW):
            constraint = build_constraint(condition, text_format=form.name)
            assert constraint is not None
            text = form.format(crystal)
            stop = follow(constraint, words, tokenize(text))
            if stop is not None:
                stopped.append(f"{form.name} {condition.label()}: {stop}\n{text}")
    return len(table), stopped


def read(path: Path, step: int, **options: int) -> pd.DataFrame:
    return pd.read_csv(path, usecols=["cif"], **options).iloc[::step]


@pytest.mark.parametrize(
    ("name", "step"), [("mp_20_test", 40), ("perov_5_test", 100), ("carbon_24_test", 60)]
)
def test_texts_of_real_crystals_are_allowed(
    name: str,
    step: int,
    shared_data: Path,
    words: TokenVocabulary,
    word_tokens: Callable[[str], list[int]],
) -> None:
    _, stopped = check(read(shared_data / f"{name}.csv.gz", step), words, word_tokens)
    assert stopped == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "step"), [("mp_20_test", 1), ("mpts_52_train", 10)])
def test_texts_of_all_real_crystals_are_allowed(
    name: str,
    step: int,
    shared_data: Path,
    words: TokenVocabulary,
    word_tokens: Callable[[str], list[int]],
) -> None:
    count, stopped = check(read(shared_data / f"{name}.csv.gz", step), words, word_tokens)
    assert len(stopped) <= 0.001 * count, "\n\n".join(stopped)


def test_prototypes_are_allowed_under_every_kind_of_condition(
    words: TokenVocabulary, word_tokens: Callable[[str], list[int]]
) -> None:
    """Crystals that every machine has: AFLOW's prototypes inside pymatgen."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    # no rule on distances: three prototypes, NiSbS for one, are drawn with overlapping atoms
    options = ConstraintOptions(max_atoms=100, min_distance=None)
    for entry in AFLOW_PROTOTYPE_LIBRARY[::12]:
        structure = entry["snl"].structure
        crystal = SGS.analyze(structure)
        tokens = word_tokens(SGS.format(crystal))
        composition = structure.composition
        # per primitive cell, which may be smaller than the prototype's
        chemsys = "-".join(sorted(composition.get_el_amt_dict()))
        for fields in (
            {"formula": composition.reduced_formula},
            {"anonymous_formula": composition.anonymized_formula},
            {"chemsys": chemsys, "space_group": crystal.space_group_number},
            {"elements": chemsys.split("-")[:1]},
        ):
            constraint = build_constraint(Condition(**fields), options)
            assert constraint is not None
            assert follow(constraint, words, tokens) is None, (fields, SGS.format(crystal))

"""What the page opens with: asked for, found, new against what."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Structure

from checked_crystals import CSCL
from crystalicl_jobflow.datasets.crystal_data import read_data_set
from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_all
from crystalicl_jobflow.report import Run, build_page, build_run, different_crystals
from crystalicl_jobflow.report.best_candidates import best_candidates, best_first
from crystalicl_jobflow.report.different_crystals import valid_crystals
from crystalicl_jobflow.report.opening import Opening, opening
from crystalicl_jobflow.report.reference import read_reference, reference_name, with_novelty
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.editing import Edit


def opened(run: Run) -> Opening:
    return opening(run, valid_crystals(run, best_first(run)))


def alone(candidate: Candidate) -> Run:
    return build_run("alone", [candidate])


@pytest.fixture(scope="session")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV with rock salt under another name and caesium chloride."""
    import pandas as pd

    salt = Structure.from_spacegroup(
        "Fm-3m", [[5.65, 0, 0], [0, 5.65, 0], [0, 0, 5.65]], ["Na", "Cl"],
        [[0, 0, 0], [0.5, 0.5, 0.5]],
    )  # fmt: skip
    path = tmp_path_factory.mktemp("known") / "known.csv"
    other = Structure([[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]], ["Cs", "Cl"], [[0] * 3, [0.5] * 3])
    cifs = [salt.to(fmt="cif"), other.to(fmt="cif")]
    pd.DataFrame({"material_id": ["salt", "cscl"], "cif": cifs}).to_csv(path, index=False)
    return path


def test_draws_and_different_crystals_are_told_apart(candidates: list[Candidate]) -> None:
    said = opened(build_run("seven", candidates))
    assert said.asked == "Asked for: NaCl, group 225; TiO2, group 136; FeNi, group 123."
    valid = [item for item in candidates if item.valid]
    # rock salt came twice, and caesium chloride was not asked for
    assert len(valid) == 5
    assert said.found == "The 7 draws gave 4 different valid crystals, 3 of the 4 as asked for."
    assert said.new == (
        "They were compared with no known crystals: what is new about them is not known."
    )


def test_what_is_new_names_what_it_is_against(candidates: list[Candidate], known: Path) -> None:
    evaluation = evaluate_all(
        candidates, EvaluationOptions(novelty=True), reference=read_data_set(known)
    )
    said = opened(build_run("judged", candidates, evaluation=evaluation))
    expected = "2 of the 4 are new: not among the crystals of known (2 crystals)."
    assert said.new == expected
    assert "<small>against known, 2 crystals</small>" in build_page(
        build_run("judged", candidates, evaluation=evaluation), top=0
    )


def test_the_page_compares_with_its_reference_where_the_run_did_not(
    candidates: list[Candidate], known: Path
) -> None:
    run = build_run("seven", candidates)
    formulas = {item.formula_pretty for item in candidates if item.formula_pretty}
    page = build_page(run, reference=read_reference(known, formulas=formulas), top=4)
    assert "2 of the 4 are new: not among the crystals of known (2 crystals)." in page
    assert "known as known-salt" in page
    assert "novel_against" not in run.tolerances  # the caller's run is as it was


def test_a_part_of_a_reference_gives_no_verdict(candidates: list[Candidate], known: Path) -> None:
    found = read_reference(known, formulas={"NaCl"})
    found.num_total = 45_000
    run = build_run("seven", candidates)
    assert with_novelty(run, found) is run
    said = opening(run, valid_crystals(run, best_first(run)), found)
    assert said.new == (
        "Whether they are new is not known: of the 45,000 crystals of known 2 were read."
    )


@pytest.mark.parametrize("match", [True, False])
def test_one_crystal_is_spoken_of_as_one(
    candidates: list[Candidate], known: Path, match: bool
) -> None:
    salt = next(item for item in candidates if item.valid and item.joint_success)
    formulas = {"NaCl"} if match else set()
    said = opened(with_novelty(alone(salt), read_reference(known, formulas=formulas)))
    assert said.found == "The one draw gave 1 different valid crystal, as asked for."
    new = "not new: it is" if match else "new: not"
    assert said.new == f"It is {new} among the crystals of known (2 crystals)."


def test_where_nothing_is_valid_the_reasons_are_said(candidates: list[Candidate]) -> None:
    failed = [item for item in candidates if not item.valid]
    run = build_run("none", failed)
    said = opened(run)
    assert said.found.startswith("The 2 draws gave no valid crystal: 1 × ")
    assert said.new == "So there is nothing that could be new."
    assert said.found in build_page(run)


@pytest.mark.parametrize(
    ("same", "words"),
    [
        ((False, False), "Both differ from the crystals that they were made of; they"),
        ((False, True), "1 of the 2 differs from the crystals that they were made of; they"),
        ((True, True), "None of the 2 differ from the crystals that they were made of; they"),
        ((True,), "It is the crystal that it was made of; it was"),
        ((False,), "It differs from the crystal that it was made of; it was"),
    ],
)
def test_edits_are_told_with_their_parents(
    candidates: list[Candidate], same: tuple[bool, ...], words: str
) -> None:
    different = [candidates[0], next(c for c in candidates if c.formula_pretty == "TiO2")]
    edited = []
    for candidate, matches in zip(different, same, strict=False):
        edit = Edit(
            kind="substitute", parent_id="halite", parent_formula="LiF", pattern="",
            change="Li → Na", matches_parent=matches,
        )  # fmt: skip
        record = candidate.provenance.model_copy(update={"edit": edit})
        edited.append(candidate.model_copy(update={"provenance": record}))
    said = opened(build_run("edited", edited))
    assert said.asked == "Asked for: halite (LiF), Li → Na."
    assert said.new.startswith(words)


def test_where_too_many_are_alike_they_are_not_compared(
    candidates: list[Candidate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(different_crystals, "MOST_COMPARISONS", 1)
    run = build_run("many", candidates)
    assert opened(run).found == "The 7 draws gave 4 different valid crystals."  # as its rate says
    del run.rates["unique"]
    assert opened(run).found == (
        "The 7 draws gave 5 valid crystals; how many of them are different was not counted."
    )


def test_what_was_drawn_most_often_comes_first_among_equals(candidates: list[Candidate]) -> None:
    salt, other = candidates[0], candidates[2]
    assert other.text == CSCL
    equal = [item.model_copy(update={"joint_success": True}) for item in (other, salt, salt)]
    run = build_run("equal", equal)
    crystals = valid_crystals(run, best_first(run))
    assert crystals == {0: [0], 1: [1, 2]}
    assert best_candidates(run, 2, crystals) == [1, 0]


def test_secrets_of_a_reference_are_not_on_the_page(candidates: list[Candidate]) -> None:
    uri = "mongodb://someone:hunter2@host/known"
    run = build_run("x", candidates, document={"reference": uri})
    assert "hunter2" not in str(reference_name(run))
    assert "hunter2" not in opened(run).new

"""A measured pattern decides who comes first, and nothing is said where none was measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.benchmarks import PatternSimulation, simulate_pattern
from crystalicl_jobflow.candidates.contributions import candidate_part
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.diffraction import PatternFit, PowderPattern
from crystalicl_jobflow.selection import add_pattern_fits
from crystalicl_jobflow.selection.ranking import RANKINGS, WITH_PATTERN, Contender
from crystalicl_jobflow.selection.select import SelectionRules, ranked_places, select_candidates
from crystalicl_jobflow.text import SGS

from .test_select import CSCL_TYPE, KCL, NACL, NONSENSE, WIDER, made

Rows = Callable[[int], list[tuple[Structure, int, str]]]


@pytest.fixture(scope="module")
def pattern() -> PowderPattern:
    """Return a measurement of rock salt, whose cell is 1 % smaller than NACL's."""
    crystal = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    return simulate_pattern(crystal, PatternSimulation(), name="halite", seed=0)


def test_the_pattern_outvotes_the_crystal_that_was_drawn_most_often(pattern: PowderPattern) -> None:
    drawn = made([CSCL_TYPE, CSCL_TYPE, CSCL_TYPE, NONSENSE, WIDER], formula="NaCl")
    assert ranked_places(drawn) == [0, 2, 3, 4, 1]
    fitted = add_pattern_fits(drawn, pattern)
    assert ranked_places(fitted) == [1, 2, 3, 4, 0]
    rows, chosen = select_candidates(fitted)
    assert [row.rank for row in rows] == [2, None, None, None, 1]
    assert [item.candidate_id for item in chosen] == [
        fitted[4].candidate_id, fitted[0].candidate_id,
    ]  # fmt: skip
    assert SelectionRules().rankings(relaxed=False, pattern=True) == WITH_PATTERN


def test_among_equally_similar_crystals_votes_decide(pattern: PowderPattern) -> None:
    fit = PatternFit(pattern="x", wavelength=1.5, similarity=0.9)
    (one,) = made([NACL])
    often = Contender(one.model_copy(update={"xrd": fit}), 0, times_drawn=9)
    once = Contender(one.model_copy(update={"xrd": fit}), 0, times_drawn=1)
    better = fit.model_copy(update={"similarity": 0.97})
    similar = Contender(one.model_copy(update={"xrd": better}), 0, times_drawn=1)
    explained, alone = RANKINGS["xrd"][0], RANKINGS["xrd_similarity"][0]
    assert explained(often) > explained(once)
    assert explained(similar) > explained(once)
    assert alone(often) == alone(once) < alone(similar)
    # a similarity of 0 or 1 is a number like others
    for value in (0.0, 1.0):
        found = fit.model_copy(update={"similarity": value})
        explained(Contender(one.model_copy(update={"xrd": found}), 0, times_drawn=1))


def test_the_true_crystal_comes_first_among_real_ones(mp_20: Rows) -> None:
    """Its text has rounded numbers and a cell that is 3 % too small."""
    crystals = [crystal for crystal, _, _ in mp_20(5)]
    texts = [
        SGS.encode(Structure(Lattice(item.lattice.matrix * 0.99), item.species, item.frac_coords))
        for item in crystals
    ]
    drawn = made(texts)
    for place, crystal in enumerate(crystals):
        measured = simulate_pattern(crystal, PatternSimulation(), name=str(place), seed=3)
        fitted = add_pattern_fits(drawn, measured)
        assert ranked_places(fitted, ranking="xrd")[place] == 0
        fit = fitted[place].xrd
        assert fit.similarity > fit.similarity_as_written
        refined = fit.refined(fitted[place].structure)
        assert refined.volume / len(refined) == pytest.approx(
            crystal.volume / len(crystal), rel=0.02
        )


def test_texts_and_crystals_stay_as_they_were(pattern: PowderPattern) -> None:
    drawn = made([NACL, NONSENSE, KCL])
    fitted = add_pattern_fits(drawn, pattern)
    assert [item.xrd is None for item in fitted] == [False, True, False]
    again = [item.model_copy(update={"xrd": None}) for item in fitted]
    assert again == drawn
    assert fitted[0].xrd.volume_ratio == pytest.approx((5.64 / 5.7) ** 3, abs=0.005)
    assert fitted[0].xrd.pattern_sha256 == pattern.sha256


def test_without_a_pattern_nothing_is_said_and_nothing_changes() -> None:
    drawn = made([CSCL_TYPE, NACL, NACL])
    assert all(item.xrd is None for item in drawn)
    for name in ("xrd", "xrd_similarity"):
        score, _ = RANKINGS[name]
        assert [score(Contender(item, place)) for place, item in enumerate(drawn)] == [None] * 3
        assert ranked_places(drawn, ranking=name) == [0, 1, 2]  # their order
    assert SelectionRules().rankings(relaxed=False) == ("success", "times_drawn", "log_prob")


def test_a_file_of_another_kind_is_refused_before_anything_is_compared(tmp_path: Path) -> None:
    path = tmp_path / "x.xy"
    path.write_text("nothing")
    with pytest.raises(ValueError, match=r"x\.xy holds no rows"):
        add_pattern_fits(made([NACL]), path)


def test_a_fit_is_stored_and_read_back(pattern: PowderPattern) -> None:
    (fitted,) = add_pattern_fits(made([NACL]), pattern)
    assert Candidate.model_validate_json(fitted.model_dump_json()) == fitted
    old = fitted.model_dump(mode="json")
    del old["xrd"]  # a candidate of an earlier version
    assert Candidate.model_validate(old).xrd is None
    part = candidate_part(fitted.model_dump(mode="json"))
    assert PatternFit.model_validate(part.text["xrd"]) == fitted.xrd
    # the same text without a pattern takes nothing away from what is stored
    assert "xrd" not in candidate_part({**fitted.model_dump(mode="json"), "xrd": None}).text

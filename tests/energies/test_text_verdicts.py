"""What the texts of a search are worth: validity, condition, energy, each looked at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.energies import Energy, text_verdicts
from crystalicl_jobflow.energies.references import ElementalReferences, load_references
from crystalicl_jobflow.energies.text_verdicts import TextJudge, search_judge
from crystalicl_jobflow.generation.search import Verdict
from crystalicl_jobflow.prompts import response_text
from crystalicl_jobflow.schemas import Completion, Condition, TreeSearch
from crystalicl_jobflow.text import SGS
from reciting import NO_CRYSTAL, OVERLAPPING, PEROVSKITE, ROCK_SALT

SALT = Condition(formula="NaCl", space_group=225)
UNREADABLE = Verdict(is_crystal=False, is_valid=False)


class Dense:
    """A stand-in potential: the denser a crystal, the lower its energy."""

    name, version = "dense", "1"

    def __init__(self) -> None:
        self.asked: list[Structure] = []

    def energies(self, structures: Sequence[Any], *, progress: Any = None) -> list[Energy]:
        self.asked += structures
        return [Energy(item.volume / len(item) - 30.0) for item in structures]


@pytest.fixture(autouse=True)
def _no_references_of_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compute no elements with a stand-in potential, whatever is installed."""

    def load(model: Any) -> ElementalReferences:
        if model.name == "dense":
            raise ValueError("a stand-in has no references")
        return load_references(model)

    monkeypatch.setattr(text_verdicts, "load_references", load)


def text(sgs: str, **changes: Any) -> Completion:
    fields = {
        "request_index": 0, "sample_index": 0, "text": response_text(sgs), "finished": True,
        "num_tokens": 20, "log_prob": -7.5,
    }  # fmt: skip
    return Completion(**{**fields, **changes})


def test_only_valid_crystals_that_meet_the_condition_have_an_energy() -> None:
    judge = TextJudge([SALT], TreeSearch(energy="dense"), model=Dense())
    small = ROCK_SALT.replace("5.6", "5.4")
    texts = [ROCK_SALT, NO_CRYSTAL, PEROVSKITE, OVERLAPPING, small]
    found = judge([(0, text(item)) for item in texts])
    assert [item.is_crystal for item in found] == [True, False, True, True, True]
    assert [item.is_valid for item in found] == [True, False, False, False, True]
    volumes = [5.6**3 / 8, None, None, None, 5.4**3 / 8]
    assert [item.cost for item in found] == [
        None if volume is None else pytest.approx(volume - 30.0) for volume in volumes
    ]
    assert [item.energy_model for item in found] == ["dense 1", None, None, None, "dense 1"]


def test_each_crystal_is_computed_once() -> None:
    model = Dense()
    judge = TextJudge([SALT, Condition()], TreeSearch(energy="dense"), model=model)
    first = judge([(0, text(ROCK_SALT)), (0, text(ROCK_SALT)), (1, text(PEROVSKITE))])
    again = judge([(1, text(ROCK_SALT)), (0, text(PEROVSKITE))])
    assert len(model.asked) == 2
    assert first[0] == first[1] == again[0]
    # the same text is judged by the condition of its own request
    assert [first[2].is_valid, again[1].is_valid] == [True, False]


def test_a_text_that_was_cut_off_or_not_written_is_no_crystal() -> None:
    judge = TextJudge([SALT], TreeSearch(energy="dense"), model=Dense())
    cut = text(ROCK_SALT, finished=False)
    missing = text("", error="the prompt has 900 tokens")
    assert judge([(0, cut), (0, missing)]) == [UNREADABLE, UNREADABLE]


def test_cif_texts() -> None:
    cif = SGS.decode(ROCK_SALT).to(fmt="cif", symprec=0.1)
    judge = TextJudge([SALT], TreeSearch(energy="dense"), text_format="cif", model=Dense())
    valid, not_cif = judge([(0, text("", text=cif)), (0, text(ROCK_SALT))])
    assert valid.is_valid
    assert valid.cost == pytest.approx(5.6**3 / 8 - 30.0, abs=0.01)
    assert not_cif == UNREADABLE


def test_without_a_potential_probable_texts_are_worth_more() -> None:
    judge = search_judge([SALT], TreeSearch())
    assert judge is not None
    (found,) = judge([(0, text(ROCK_SALT))])
    assert found == Verdict(is_crystal=True, is_valid=True, cost=7.5)
    with pytest.raises(ValueError, match="no potential"):
        judge.energies([])
    assert search_judge([SALT], None) is None


def test_an_unknown_potential_is_told_before_any_text() -> None:
    with pytest.raises(ValueError, match="no energy model 'oracle'"):
        search_judge([SALT], TreeSearch(energy="oracle"))


def test_formation_energies_by_chgnet() -> None:
    """Two conditions of different elements are on one scale: that of formation energies."""
    pytest.importorskip("chgnet", reason="CHGNet needs the extra forcefields")
    judge = TextJudge([Condition()], TreeSearch(energy="chgnet"))
    (salt, perovskite) = judge([(0, text(ROCK_SALT)), (0, text(PEROVSKITE))])
    # the Materials Project: -2.1 and -3.5 eV/atom for relaxed crystals
    assert salt.cost == pytest.approx(-2.0, abs=0.2)
    assert perovskite.cost == pytest.approx(-3.4, abs=0.3)
    assert salt.energy_model == "chgnet 0.3.0, references mp"

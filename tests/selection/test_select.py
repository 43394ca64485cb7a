"""Who goes on: new crystals, the best first, the same whatever the order they come in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.datasets.crystal_data import CrystalData
from crystalicl_jobflow.energies.relaxations import best_relaxations
from crystalicl_jobflow.schemas import (
    Candidate,
    Completion,
    Condition,
    Generation,
    ModelInfo,
    SamplingParams,
)
from crystalicl_jobflow.schemas.discovery import SelectDoc, SelectionReason
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation
from crystalicl_jobflow.selection.ranking import parse_ranking
from crystalicl_jobflow.selection.select import SelectionRules, ranked_places, select_candidates
from crystalicl_jobflow.selection.summary import summarize
from crystalicl_jobflow.validation.validate import build_candidates

NACL = "Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
CSCL_TYPE = "Pm-3m\n3.5 3.5 3.5\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
KCL = NACL.replace("Na", "K").replace("5.7", "6.4")
WIDER = NACL.replace("5.7", "5.8")  # the same crystal as NACL to a matcher
NONSENSE = "no crystal"


def made(
    texts: list[str], *, log_probs: list[float | None] | None = None, **condition: object
) -> list[Candidate]:
    generation = Generation(
        condition=Condition.build(**condition),
        prompt="",
        sampling=SamplingParams(),
        model=ModelInfo(engine="by hand", base_model="nobody"),
        completions=[
            Completion(
                request_index=0,
                sample_index=place,
                text=text,
                finished=True,
                num_tokens=10,
                log_prob=None if log_probs is None else log_probs[place],
            )
            for place, text in enumerate(texts)
        ],
    )
    return build_candidates([generation])


def relaxation(candidate: Candidate, above: float | None = None, **fields) -> CandidateRelaxation:
    return CandidateRelaxation(
        candidate_id=candidate.candidate_id,
        structure=fields.pop("structure", candidate.structure),
        energy_above_hull=above,
        **{"converged": True, "energy_per_atom": -3.0, **fields},
    )


class TestWhoGoesOn:
    def test_every_candidate_has_one_row_with_its_reason(self):
        candidates = made([NACL, NONSENSE, WIDER, KCL, CSCL_TYPE])
        salt = Structure.from_spacegroup(
            "Fm-3m", Lattice.cubic(6.29), ["K", "Cl"], [[0, 0, 0], [0.5] * 3]
        )
        known = CrystalData(["mp-23193"], [salt], [{}])
        rows, chosen = select_candidates(candidates, SelectionRules(number=1), known=known)
        assert [row.candidate_id for row in rows] == [item.candidate_id for item in candidates]
        assert [row.reason for row in rows] == [
            None,
            SelectionReason.NOT_VALID,
            SelectionReason.DUPLICATE,
            SelectionReason.KNOWN,
            SelectionReason.BEYOND_BUDGET,
        ]
        assert rows[2].duplicate_of == candidates[0].candidate_id
        assert rows[3].known_as == "mp-23193"
        assert (rows[0].times_drawn, rows[4].times_drawn) == (2, 1)
        assert [(item.candidate_id, item.rank) for item in chosen] == [
            (candidates[0].candidate_id, 1)
        ]
        document = SelectDoc.from_rows(rows, chosen, ranking=["times_drawn"])
        assert (document.num_candidates, document.num_eligible, document.num_selected) == (5, 2, 1)
        assert sum(document.reasons.values()) == 4

    def test_of_the_same_crystal_the_first_in_rank_goes_on(self):
        candidates = made([NACL, WIDER], log_probs=[-9.0, -2.0])
        _, chosen = select_candidates(candidates, SelectionRules(ranking="log_prob"))
        assert [item.candidate_id for item in chosen] == [candidates[1].candidate_id]
        _, chosen = select_candidates(candidates, SelectionRules(ranking="-log_prob"))
        assert [item.candidate_id for item in chosen] == [candidates[0].candidate_id]
        _, chosen = select_candidates(candidates, SelectionRules(unique=False))
        assert len(chosen) == 2

    def test_a_condition_can_be_demanded_and_is_preferred(self):
        candidates = made([CSCL_TYPE, NACL], formula="NaCl", space_group=225)
        assert [item.joint_success for item in candidates] == [False, True]
        rows, chosen = select_candidates(candidates, SelectionRules(valid=False))
        assert chosen[0].candidate_id == candidates[1].candidate_id
        rows, chosen = select_candidates(candidates, SelectionRules(valid=False, successful=True))
        assert rows[0].reason is SelectionReason.CONDITION_NOT_MET
        assert len(chosen) == 1

    def test_one_condition_cannot_take_the_whole_budget(self):
        candidates = made([NACL, CSCL_TYPE], elements=["Na"]) + made([KCL], elements=["K"])
        _, chosen = select_candidates(
            candidates, SelectionRules(number=2, per_condition=1, ranking="order")
        )
        assert [item.candidate_id for item in chosen] == [
            candidates[0].candidate_id,
            candidates[2].candidate_id,
        ]

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"number": -1}, "number must be 0 or more"),
            ({"ranking": "beauty"}, "no ranking 'beauty'; there are success"),
            ({"novel": True}, "novel candidates need known crystals"),
        ],
    )
    def test_a_mistake_is_one_line(self, settings, said):
        with pytest.raises(ValueError, match=said) as caught:
            select_candidates([], SelectionRules(**settings))
        assert "\n" not in str(caught.value)

    def test_of_nothing_nothing_is_chosen(self):
        assert select_candidates([]) == ([], [])


class TestPlaces:
    def test_different_crystals_come_first_then_the_same_again_then_none(self):
        candidates = made([NONSENSE, CSCL_TYPE, NACL, WIDER, KCL])
        assert ranked_places(candidates) == [4, 1, 0, 3, 2]

    def test_of_equally_frequent_crystals_the_probable_one_is_first(self):
        candidates = made([CSCL_TYPE, NACL], log_probs=[-9.0, -2.0])
        assert ranked_places(candidates) == [1, 0]
        assert ranked_places(candidates, ranking="order") == [0, 1]

    def test_a_crystal_may_be_first_under_two_conditions(self):
        asked = made([NACL, CSCL_TYPE], formula="NaCl")
        again = [
            item.model_copy(
                update={"provenance": item.provenance.model_copy(update={"request_index": 1})}
            )
            for item in asked
        ]
        assert ranked_places([*asked, *again]) == [0, 1, 0, 1]
        assert ranked_places([*asked, *again], processes=2) == [0, 1, 0, 1]

    @given(st.permutations(range(5)))
    def test_the_order_in_which_candidates_come_makes_no_difference(self, order):
        candidates = made([NONSENSE, CSCL_TYPE, NACL, WIDER, KCL])
        shuffled = [candidates[place] for place in order]
        found = dict(zip((item.text for item in shuffled), ranked_places(shuffled), strict=True))
        assert [found[item.text] for item in candidates] == [4, 1, 0, 3, 2]


class TestAfterARelaxation:
    def test_the_lowest_above_the_hull_goes_on_with_its_relaxed_crystal(self):
        candidates = made([NACL, CSCL_TYPE, KCL])
        pressed = candidates[1].structure.copy()
        pressed.apply_strain(-0.02)
        found = [
            relaxation(candidates[0], 0.2),
            relaxation(candidates[1], -0.1, structure=pressed),
            relaxation(candidates[2], 0.05),
        ]
        _, chosen = select_candidates(candidates, SelectionRules(number=2), relaxations=found)
        assert [item.candidate_id for item in chosen] == [
            candidates[1].candidate_id,
            candidates[2].candidate_id,
        ]
        assert chosen[0].structure == pressed

    def test_failed_missing_and_high_ones_stay_behind(self):
        candidates = made([NACL, CSCL_TYPE, KCL, KCL.replace("K", "Rb")])
        found = [
            relaxation(candidates[0], 0.0, converged=False),
            relaxation(candidates[1], 0.3),
            relaxation(
                candidates[3],
                None,
                no_hull_reason="no competing phase of Rb-Cl in the reference set",
            ),
        ]
        rows, chosen = select_candidates(
            candidates, SelectionRules(max_energy_above_hull=0.1), relaxations=found
        )
        assert chosen == []
        assert [row.reason for row in rows] == [
            SelectionReason.RELAXATION_FAILED,
            SelectionReason.ABOVE_LIMIT,
            SelectionReason.NO_RELAXATION,
            SelectionReason.NOT_JUDGED,
        ]
        assert rows[3].message == "No competing phase of Rb-Cl in the reference set."

    def test_crystals_that_became_the_same_are_one(self):
        candidates = made([NACL, CSCL_TYPE])
        found = [
            relaxation(candidates[0], 0.1),
            relaxation(candidates[1], 0.0, structure=candidates[0].structure),
        ]
        rows, chosen = select_candidates(candidates, relaxations=found)
        assert [item.candidate_id for item in chosen] == [candidates[1].candidate_id]
        assert rows[0].duplicate_of == candidates[1].candidate_id

    def test_the_higher_level_counts_and_a_crystal_before_none(self):
        (candidate,) = made([NACL])
        field = relaxation(candidate, 0.1)
        dft = relaxation(candidate, 0.2, level="dft")
        crashed = relaxation(candidate, structure=None, level="dft", failure_reason="failed")
        name = candidate.candidate_id
        assert best_relaxations([dft, field])[name] is dft
        assert best_relaxations([crashed, field])[name] is field
        assert best_relaxations([crashed])[name] is crashed

    def test_the_summary_puts_the_best_first(self):
        candidates = made([NACL, CSCL_TYPE, KCL, NONSENSE])
        found = [
            relaxation(candidates[0], 0.05),
            relaxation(candidates[1], -0.01),
            relaxation(candidates[2], 0.3, level="dft"),
            relaxation(candidates[2], 0.0, level="forcefield"),
        ]
        document = summarize(candidates, [], found)
        assert document.candidate_ids == [candidates[place].candidate_id for place in (2, 1, 0)]
        assert document.counts == {
            "candidates": 4, "parsed": 3, "valid": 3, "forcefield_tried": 3,
            "forcefield_relaxed": 3, "dft_tried": 1, "dft_relaxed": 1, "judged": 3, "stable": 1,
            "metastable": 2,
        }  # fmt: skip
        assert document.not_judged == {}

    def test_what_nothing_competes_with_is_not_judged_in_the_summary(self):
        candidates = made([NACL, KCL])
        reason = "no competing phase of K-Cl in the reference set"
        unjudged = relaxation(candidates[1], None, no_hull_reason=reason)
        document = summarize(candidates, [], [relaxation(candidates[0], 0.0), unjudged])
        assert [item.no_hull_reason for item in document.found] == [None, reason]
        assert document.counts["judged"] == document.counts["stable"] == 1
        assert document.not_judged == {reason: 1}
        document = summarize(candidates, [], [unjudged])
        assert document.counts["stable"] is document.counts["metastable"] is None
        assert document.count_rows[-4:] == [
            ("judged", "0"),
            ("stable", "not judged"),
            ("metastable", "not judged"),
            (f"not judged: {reason}", "1"),
        ]


class TestRankings:
    @given(order=st.permutations(range(4)), scores=st.permutations([-1.0, -2.0, -3.0, -4.0]))
    def test_the_order_they_come_in_makes_no_difference(self, order, scores):
        texts = [NACL, CSCL_TYPE, KCL, KCL.replace("K", "Rb").replace("6.4", "6.6")]
        candidates = made(texts, log_probs=list(scores))
        ranked = [
            [
                item.candidate_id
                for item in select_candidates(given, SelectionRules(ranking="log_prob"))[1]
            ]
            for given in (candidates, [candidates[place] for place in order])
        ]
        assert ranked[0] == ranked[1]
        by_score = sorted(candidates, key=lambda item: -item.provenance.log_prob)
        assert ranked[0] == [item.candidate_id for item in by_score if item.valid]

    def test_what_has_no_score_comes_last_either_way(self):
        candidates = made([NACL, CSCL_TYPE, KCL], log_probs=[None, -5.0, -1.0])
        for ranking in ("log_prob", "-log_prob"):
            _, chosen = select_candidates(candidates, SelectionRules(ranking=ranking))
            assert chosen[-1].candidate_id == candidates[0].candidate_id

    def test_a_later_name_decides_between_equals(self):
        candidates = made([KCL, NACL], log_probs=[-4.0, -1.0])
        candidates[0].properties["band_gap"] = 5.0
        candidates[1].properties["band_gap"] = 5.0
        rows, chosen = select_candidates(
            candidates, SelectionRules(ranking=["property:band_gap", "log_prob"])
        )
        assert chosen[0].candidate_id == candidates[1].candidate_id
        assert rows[1].scores == {"property:band_gap": 5.0, "log_prob": -1.0}

    def test_chance_follows_from_the_ids(self):
        candidates = made([NACL, CSCL_TYPE, KCL])
        first, second = (
            [
                item.candidate_id
                for item in select_candidates(given, SelectionRules(ranking="random"))[1]
            ]
            for given in (candidates, candidates[::-1])
        )
        assert first == second

    @pytest.mark.parametrize(("ranking", "first"), [("num_sites", 0), ("-num_sites", 1)])
    def test_a_leading_minus_turns_it_round(self, ranking, first):
        candidates = made([CSCL_TYPE, NACL])
        for item, sites in zip(candidates, (2, 3), strict=True):
            item.nsites_primitive = sites
        rows, chosen = select_candidates(candidates, SelectionRules(ranking=ranking))
        assert chosen[0].candidate_id == candidates[first].candidate_id
        assert rows[0].scores == {ranking: 2.0}

    def test_names_are_checked(self):
        assert list(parse_ranking(["success", "-num_sites"])) == ["success", "-num_sites"]
        with pytest.raises(ValueError, match="no ranking 'succes'"):
            parse_ranking("succes")

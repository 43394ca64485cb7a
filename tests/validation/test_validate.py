"""Every text becomes a candidate, with all checks and a reason where it fails."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Lattice, Structure

from checked_crystals import CSCL, FENI, NACL
from crystalicl_jobflow.schemas import (
    Candidate,
    Completion,
    Condition,
    FailureReason,
    Generation,
)
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.validation.checks import validate_structure
from crystalicl_jobflow.validation.provenance import candidate_id
from crystalicl_jobflow.validation.success import with_properties
from crystalicl_jobflow.validation.validate import (
    build_candidates,
    validate_completion,
)
from deadly import DeadlyText

Make = Callable[..., Candidate]
Write = Callable[..., tuple[Completion, Generation]]


def test_a_good_text_of_what_was_asked_for(make: Make) -> None:
    candidate = make(NACL, condition=Condition(formula="NaCl", space_group=225, num_sites=2))
    assert candidate.parsed
    assert candidate.valid
    assert candidate.failure_reason is None
    assert candidate.failure_message is None
    assert candidate.success == {"formula": True, "space_group": True, "num_sites": True}
    assert candidate.joint_success is True
    assert candidate.declared_space_group == candidate.space_group == 225
    assert candidate.space_group_symbol == "Fm-3m"
    assert candidate.elements == ["Cl", "Na"]
    assert candidate.density == pytest.approx(2.1, abs=0.02)
    assert candidate.structure is not None
    assert len(candidate.structure) == 8
    checks = candidate.checks
    assert checks.min_distance == pytest.approx(2.85)
    assert checks.volume == pytest.approx(5.7**3)
    assert checks.structure_valid
    assert checks.structure_valid_radii
    assert checks.composition_valid
    assert checks.symmetry_adherent


@pytest.mark.parametrize("text", [CSCL, FENI], ids=["CsCl", "FeNi"])
def test_other_known_crystals_are_valid(make: Make, text: str) -> None:
    assert make(text).valid


def test_without_a_condition_nothing_is_judged(make: Make) -> None:
    candidate = make(NACL)
    assert candidate.success == {}
    assert candidate.joint_success is None
    assert candidate.checks.symmetry_adherent is True  # to the group it declares


LATTICE = "Fm-3m\n5.7 5.7 5.7\n90 90 90\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", FailureReason.EMPTY),
        ("\n \n", FailureReason.EMPTY),
        ("Fm-3m\n5.7 5.7 5.7", FailureReason.TRUNCATED),
        (LATTICE + "Na", FailureReason.TRUNCATED),
        (NACL + "\n" + CSCL, FailureReason.AMBIGUOUS),
        (NACL.replace("Fm-3m", "Fm-7m"), FailureReason.BAD_SPACE_GROUP),
        (NACL.replace("5.7 5.7 5.7", "5.7 -5.7 5.7"), FailureReason.BAD_LATTICE),
        ("P-1\n5 5 5\n10 10 170\nNa\n0.00 0.00 0.00", FailureReason.BAD_LATTICE),
        (NACL.replace("Cl", "Xx"), FailureReason.BAD_ELEMENT),
        (NACL.replace("0.50 0.50 0.50", "0.50 half 0.50"), FailureReason.BAD_COORDINATES),
        (LATTICE.strip(), FailureReason.NO_SITES),
        # two orbits on one place
        (NACL.replace("0.50 0.50 0.50", "0.00 0.00 0.00"), FailureReason.ATOMS_OVERLAP),
        # every distance above 0.5 Å, but Na and Cl need 1.4 Å
        (NACL.replace("5.7 5.7 5.7", "2.0 2.0 2.0"), FailureReason.ATOMS_OVERLAP),
        # an atom and its own image
        ("P1\n0.3 4.0 4.0\n90 90 90\nHe\n0.00 0.00 0.00", FailureReason.BAD_LATTICE),
        # declared a group lower than the one that is there
        ("P1\n4.1 4.1 4.1\n90 90 90\nCs\n0.00 0.00 0.00", FailureReason.SYMMETRY_DIFFERS),
        (NACL.replace("Cl", "He"), FailureReason.COMPOSITION_INVALID),
    ],
)
def test_every_failure_has_its_reason_and_a_sentence(
    make: Make, text: str, reason: FailureReason
) -> None:
    candidate = make(text)
    assert candidate.failure_reason == reason, candidate.failure_message
    assert candidate.failure_message
    assert "\n" not in candidate.failure_message
    assert candidate.text == text
    # of another group than the text declares is a crystal all the same
    assert candidate.valid is (reason == FailureReason.SYMMETRY_DIFFERS)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        # a cell of 2 Å: Na (1.80 Å) and Cl (1.00 Å) at 1 Å
        (
            NACL.replace("5.7 5.7 5.7", "2.0 2.0 2.0"),
            "Na and Cl are 1.00 Å apart; at least 1.40 Å are needed.",
        ),
        # an atom and its own image: Cs has 2.60 Å
        (
            "Pm-3m\n2.5 2.5 2.5\n90 90 90\nCs\n0.00 0.00 0.00",
            "Cs and its own image are 2.50 Å apart; at least 2.60 Å are needed.",
        ),
    ],
    ids=["two atoms", "one atom"],
)
def test_an_overlap_says_who_how_near_and_how_near_would_do(
    make: Make, text: str, says: str
) -> None:
    assert make(text).failure_message == says


def test_too_many_atoms(make: Make) -> None:
    sites = "".join(f"O\n0.{i:02d} 0.{i + 7:02d} 0.{i + 19:02d}\n" for i in range(10, 50))
    candidate = make("Fm-3m\n50.0 50.0 50.0\n90 90 90\n" + sites)
    assert candidate.failure_reason == FailureReason.TOO_MANY_ATOMS


def test_bad_cif(make: Make) -> None:
    candidate = make("data_NaCl\nloop_\n_atom_site_label\n", text_format="cif")
    assert not candidate.parsed
    assert candidate.failure_reason is not None


def test_a_crystal_that_is_not_the_one_asked_for(make: Make) -> None:
    candidate = make(NACL, condition=Condition(formula="KCl", space_group=225))
    assert candidate.valid
    assert candidate.success == {"formula": False, "space_group": True}
    assert candidate.joint_success is False
    assert candidate.failure_reason == FailureReason.CONDITION_NOT_MET
    assert candidate.failure_message == "The formula is NaCl, asked for was KCl."


def test_the_group_asked_for_counts_before_the_one_declared(make: Make) -> None:
    candidate = make(NACL, condition=Condition(space_group=221))
    assert candidate.checks.symmetry_adherent is False
    assert candidate.failure_reason == FailureReason.SYMMETRY_DIFFERS
    assert candidate.valid  # a valid crystal, of another group
    assert make(NACL, condition=Condition(space_group=(221, 225))).checks.symmetry_adherent


def test_a_text_that_the_model_did_not_end_was_cut_off(make: Make) -> None:
    text = NACL.replace("0.50 0.50 0.50", "0.50 half 0.50")
    assert make(text).failure_reason == FailureReason.BAD_COORDINATES
    assert make(text, finished=False).failure_reason == FailureReason.TRUNCATED
    # what there is reads as a crystal, but the next site may be missing
    cut = make(NACL, finished=False)
    assert cut.failure_reason == FailureReason.TRUNCATED
    assert not cut.valid
    assert cut.declared_space_group == 225
    assert make("", finished=False).failure_reason == FailureReason.EMPTY


def test_a_failed_text_fails_everything_asked_for(make: Make) -> None:
    candidate = make("no crystal", condition=Condition(formula="NaCl", num_sites=2))
    assert candidate.success == {"formula": False, "num_sites": False}
    assert candidate.joint_success is False
    assert not candidate.valid
    assert candidate.checks.structure_valid is None


def test_a_reader_that_breaks_loses_no_candidate(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(text: str) -> None:
        raise RuntimeError("out of order\nvery")

    monkeypatch.setattr(SGS, "parse", broken)
    candidate = make(NACL)
    assert not candidate.parsed
    assert candidate.failure_message == "the text cannot be read: RuntimeError: out of order"


def test_an_unknown_format_is_the_callers_mistake(make: Make) -> None:
    with pytest.raises(ValueError, match="poscar"):
        make(NACL, text_format="poscar")


def test_provenance_holds_all_that_is_needed_to_draw_again(write: Write) -> None:
    completion, generation = write(NACL, seed=7, attempts=3, rejected={"empty": 2})
    provenance = validate_completion(completion, generation).provenance
    assert provenance.prompt == generation.prompt
    assert provenance.demonstration_ids == ["a", "b"]
    assert provenance.strategy == "C"
    assert provenance.sampling == generation.sampling
    assert provenance.model == generation.model
    assert (provenance.attempts, provenance.rejected) == (3, {"empty": 2})
    assert provenance.tolerances["symprec"] == 0.1
    assert provenance.tolerances["oxidation_states_set"] == "smact14"
    assert {"torch", "pymatgen", "spglib", "smact"} <= set(provenance.versions)


def test_the_same_draw_has_the_same_id(write: Write) -> None:
    base = candidate_id(*write(NACL))
    assert candidate_id(*write(NACL)) == base
    assert candidate_id(*write(NACL, device="cuda")) == base  # where it ran does not matter
    others = [
        write(CSCL),
        write(NACL, seed=1),
        write(NACL, sample_index=1),
        write(NACL, request_index=1),
        write(NACL, condition=Condition(formula="NaCl")),
    ]
    assert len({base, *(candidate_id(*other) for other in others)}) == 6


def test_candidates_survive_json(make: Make) -> None:
    candidate = make(NACL, condition=Condition(formula="NaCl"))
    assert Candidate.model_validate_json(candidate.model_dump_json()) == candidate


def test_properties_that_become_known_later_are_judged(make: Make) -> None:
    candidate = make(NACL, condition=Condition(formula="NaCl", properties={"band_gap": 5.0}))
    assert candidate.joint_success is None
    assert candidate.failure_reason is None
    good = with_properties(candidate, {"band_gap": 5.3})
    assert good.success["band_gap"] is True
    assert good.joint_success is True
    bad = with_properties(candidate, {"band_gap": 1.0})
    assert bad.joint_success is False
    assert bad.failure_reason == FailureReason.CONDITION_NOT_MET
    assert candidate.properties == {}  # untouched
    assert bad.candidate_id == candidate.candidate_id
    mended = with_properties(bad, {"band_gap": 5.1})
    assert (mended.failure_reason, mended.failure_message) == (None, None)
    assert mended.joint_success is True


def test_what_is_unphysical_stays_the_reason_whatever_the_properties(make: Make) -> None:
    condition = Condition(properties={"band_gap": 5.0})
    candidate = make(NACL.replace("Cl", "He"), condition=condition)
    for gap in (1.0, 5.0):
        judged = with_properties(candidate, {"band_gap": gap})
        assert judged.joint_success is (gap == 5.0)
        assert judged.failure_reason == FailureReason.COMPOSITION_INVALID
        assert judged.failure_message == candidate.failure_message


@pytest.mark.parametrize("processes", [1, 2])
def test_build_keeps_order_and_number(write: Write, processes: int) -> None:
    texts = [NACL, "nonsense", CSCL, "", FENI]
    generations = [write(text, request_index=i)[1] for i, text in enumerate(texts)]
    seen: list[tuple[int, int]] = []
    candidates = build_candidates(
        generations, processes=processes, progress=lambda done, of: seen.append((done, of))
    )
    assert [c.text for c in candidates] == texts
    assert [c.parsed for c in candidates] == [True, False, True, False, True]
    assert seen == [(i, 5) for i in range(1, 6)]


@given(
    st.text(max_size=200)
    | st.lists(
        st.sampled_from(
            [
                *NACL.splitlines(),
                "### ",
                "P1",
                "0.1 0.1 0.1",
                "1 1 179",
                "Og",
                "nan inf 0.5",
                "P6/mmm",
            ]
        ),
        max_size=12,
    ).map("\n".join)
)
def test_no_text_makes_it_raise(text: str) -> None:
    from crystalicl_jobflow.schemas import ModelInfo, SamplingParams

    completion = Completion(request_index=0, sample_index=0, text=text, finished=True, num_tokens=1)
    generation = Generation(
        condition=Condition(formula="NaCl"),
        prompt="",
        sampling=SamplingParams(),
        model=ModelInfo(engine="by hand", base_model="nobody"),
    )
    candidate = validate_completion(completion, generation)
    assert candidate.parsed is (candidate.structure is not None)
    assert candidate.failure_reason is not None or candidate.joint_success
    assert candidate.joint_success is not None


def test_a_structure_by_itself(nacl: Structure) -> None:
    report = validate_structure(nacl)
    assert report.valid
    assert report.failure is None
    assert report.checks.symmetry_adherent is None  # nothing asked, nothing declared


def test_both_limits_of_cdvae_are_inclusive() -> None:
    atom = Structure(Lattice.cubic(0.5), ["H"], [[0, 0, 0]])
    assert validate_structure(atom).checks.structure_valid
    smaller = Structure(Lattice.cubic(0.49), ["H"], [[0, 0, 0]])
    assert validate_structure(smaller).checks.structure_valid is False


def test_a_flat_cell_is_an_answer() -> None:
    flat = Structure(Lattice([[3, 0, 0], [0, 3, 0], [3, 3, 0]]), ["H"], [[0, 0, 0]])
    report = validate_structure(flat)
    assert not report.valid
    assert report.failure is not None
    assert report.failure[0] == FailureReason.BAD_VOLUME


def test_real_crystals_are_valid(
    write: Write, mp_20: Callable[[int], list[tuple[Structure, int, str]]]
) -> None:
    rows = mp_20(100)
    generations = [
        write(
            SGS.encode(structure),
            condition=Condition(formula=formula, space_group=group),
            request_index=i,
        )[1]
        for i, (structure, group, formula) in enumerate(rows)
    ]
    candidates = build_candidates(generations)
    assert all(c.parsed and c.success["formula"] for c in candidates)
    assert all(c.checks.structure_valid and c.checks.structure_valid_radii for c in candidates)
    assert sum(bool(c.success["space_group"]) for c in candidates) >= 98
    # CDVAE's rule does not pass all known compounds (mixed valence, for one)
    assert 80 <= sum(bool(c.checks.composition_valid) for c in candidates) < 100


def test_a_text_at_which_a_worker_ends_costs_no_other(write: Write) -> None:
    generations = [write(NACL, request_index=i)[1] for i in range(6)]
    deadly = generations[3].completions[0]
    deadly.text = DeadlyText(NACL)
    candidates = build_candidates(generations, processes=2)
    assert [item.valid for item in candidates] == [True, True, True, False, True, True]
    lost = candidates[3]
    assert lost.failure_reason == FailureReason.INTERNAL
    assert lost.failure_message is not None
    assert lost.failure_message.startswith("The process that checked it ended")
    assert lost.candidate_id == candidate_id(deadly, generations[3])


def test_what_is_raised_for_one_text_is_its_reason(
    write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(structure: Structure, **settings: object) -> None:
        raise ZeroDivisionError("nought\nand more")

    monkeypatch.setattr("crystalicl_jobflow.validation.validate.validate_structure", broken)
    condition = Condition(formula="NaCl")
    (candidate,) = build_candidates([write(NACL, condition=condition)[1]])
    assert candidate.failure_reason == FailureReason.INTERNAL
    assert candidate.failure_message == "ZeroDivisionError: nought"
    assert (candidate.valid, candidate.parsed, candidate.structure) == (False, False, None)
    assert candidate.success == {"formula": False}
    assert candidate.joint_success is False


def test_a_format_that_does_not_exist_is_the_callers_mistake(write: Write) -> None:
    completion, generation = write(NACL)
    generation.text_format = "poem"
    with pytest.raises(ValueError, match="poem"):
        validate_completion(completion, generation)

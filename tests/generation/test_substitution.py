"""Substitution: known crystals with other elements, the most similar first."""

from __future__ import annotations

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Composition

from crystalicl_jobflow.crystal.wyckoff_letters import positions_key
from crystalicl_jobflow.generation import load_generator
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.prompting import as_shown
from crystalicl_jobflow.generation.substitution import (
    different_crystals,
    element_assignments,
    propose,
)
from crystalicl_jobflow.prompts import response_text
from crystalicl_jobflow.retrieval import DemonstrationIndex
from crystalicl_jobflow.retrieval.choosing import find_templates, retrieve
from crystalicl_jobflow.schemas import Condition, Demonstration, FailureReason, Retrieval
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.text.sgs import read_wyckoff
from crystalicl_jobflow.validation.validate import build_candidates

PEROVSKITE = (
    "Pm-3m\n3.9 3.9 3.9\n90 90 90\nSr\n0.00 0.00 0.00\nTi\n0.50 0.50 0.50\nO\n0.00 0.50 0.50"
)
ANTIFLUORITE = "Fm-3m\n6.5 6.5 6.5\n90 90 90\nK\n0.25 0.25 0.25\nO\n0.00 0.00 0.00"


def known(name: str, formula: str, group: int, text: str, anonymous: str) -> Demonstration:
    elements = tuple(sorted(Composition(formula).get_el_amt_dict()))
    return Demonstration(
        demonstration_id=name, source="by hand", formula=formula, anonymous_formula=anonymous,
        chemsys="", elements=elements, num_sites=5, space_group=group, text=text,
    )  # fmt: skip


def test_elements_of_equal_amount_take_each_others_places_the_nearest_first() -> None:
    (near, first), (far, second) = element_assignments("SrTiO3", "CaZrO3")
    assert dict(first) == {"Sr": "Ca", "Ti": "Zr", "O": "O"}
    assert dict(second) == {"Sr": "Zr", "Ti": "Ca", "O": "O"}
    assert near < far


@pytest.mark.parametrize("asked", ["CaO", "Ca2TiO4", "CaTiON2"])
def test_nothing_is_put_into_another_stoichiometry(asked: str) -> None:
    assert list(element_assignments("SrTiO3", asked)) == []


def test_a_long_formula_of_equal_amounts_has_its_nearest_assignment_only() -> None:
    (only,) = element_assignments("CrMnFeCoNiCuZn", "TcRuRhPdAgCdMo")
    assert dict(only[1])["Ni"] == "Pd"


def test_sites_stay_and_the_cell_grows_with_the_atoms() -> None:
    first, second = propose([known("a", "SrTiO3", 221, PEROVSKITE, "ABC3")], "BaZrO3")
    assert [site.species for site in first.crystal.sites] == ["Ba", "Zr", "O"]
    assert [site.species for site in second.crystal.sites] == ["Zr", "Ba", "O"]
    assert first.crystal.sites[2].frac_coords == (0.0, 0.5, 0.5)
    assert 3.9 < first.crystal.lengths[0] < 4.4  # BaZrO3: 4.19 Å
    assert first.template_id == "a"
    assert first.distance < second.distance


def test_a_text_is_written_as_the_crystals_that_the_prompt_shows() -> None:
    shown = known(
        "a", "KMgF3", 221,
        "Pm-3m\n4.0 4.0 4.0\n90 90 90\nF\n0.00 0.00 0.50\nMg\n0.00 0.00 0.00\nK\n0.50 0.50 0.50",
        "ABC3",
    )  # fmt: skip
    template = known("b", "SrTiO3", 221, PEROVSKITE, "ABC3")
    (crystal,) = [item.crystal for item in propose([template], "BaZrO3")][:1]
    (text,) = as_shown([crystal], [shown])
    lines = text.splitlines()
    assert lines[3::2] == ["O", "Zr", "Ba"]
    assert lines[4::2] == ["0.00 0.00 0.50", "0.00 0.00 0.00", "0.50 0.50 0.50"]
    assert StructureMatcher().fit(SGS.decode(text), SGS.build(crystal))
    other = known("c", "K2O", 225, ANTIFLUORITE, "AB2")
    (alone,), (beside_another,) = as_shown([crystal], []), as_shown([crystal], [other])
    assert beside_another == alone == SGS.format(crystal)
    retrieval = Retrieval(
        condition=Condition(formula="BaZrO3", space_group=221),
        strategy="CE", shots=1, seed=0, demonstrations=[shown], templates=[template],
    )  # fmt: skip
    (both,) = generate_for_retrievals([retrieval], load_generator("substitution"))
    assert both.completions[0].text == response_text(text)


def test_the_formula_itself_is_no_template() -> None:
    assert propose([known("a", "SrTiO3", 221, PEROVSKITE, "ABC3")], "SrTiO3") == []


def test_disordered_sites_keep_their_occupancies() -> None:
    text = PEROVSKITE.replace("\nSr\n", "\nSr0.5 Ba0.5\n")
    first, *_ = propose([known("a", "BaSrTi2O6", 221, text, "ABC2D6")], "CaSrZr2O6")
    assert set(first.crystal.sites[0].species.split()) == {"Ca0.5", "Sr0.5"}


def test_templates_meet_the_condition_and_the_nearest_come_first(
    prototypes_index: DemonstrationIndex,
) -> None:
    condition = Condition(formula="KCl", space_group=225)
    found = find_templates(prototypes_index, condition, 5)
    assert found
    assert all(item.space_group == 225 and item.anonymous_formula == "AB" for item in found)
    assert find_templates(prototypes_index, Condition(formula="NaCl", space_group=225), 50) == [
        item
        for item in find_templates(prototypes_index, Condition(formula="NaCl", space_group=225), 50)
        if item.formula != "NaCl"
    ]
    assert find_templates(prototypes_index, Condition(space_group=225), 5) == []


def test_asked_wyckoff_letters_choose_templates_and_which_element_goes_where(
    prototypes_index: DemonstrationIndex,
) -> None:
    asked = Condition(space_group=221, wyckoff="Ba:a Zr:b O:c")
    template = known("a", "SrTiO3", 221, PEROVSKITE, "ABC3")
    (only,) = propose([template], "BaZrO3", wyckoff=asked.wyckoff)
    assert dict(only.elements) == {"Sr": "Ba", "Ti": "Zr", "O": "O"}
    turned = Condition(space_group=221, wyckoff="Ba:b Zr:a O:c")
    (other,) = propose([template], "BaZrO3", wyckoff=turned.wyckoff)
    assert dict(other.elements) == {"Sr": "Zr", "Ti": "Ba", "O": "O"}
    # rock salt and zinc blende have one formula, and in F-43m one group
    for letters, found in (("K:a Cl:b", False), ("K:a Cl:c", True)):
        condition = Condition(space_group=216, wyckoff=letters)
        templates = find_templates(prototypes_index, condition, 20)
        assert bool(templates) is found
        assert all(item.space_group == 216 for item in templates)


def test_demonstrations_have_the_asked_letters_where_the_pool_has_enough(
    prototypes_index: DemonstrationIndex,
) -> None:
    """The same stoichiometry and group twice: fluorite's 4a, 8c and others of Fm-3m."""
    condition = Condition(space_group=225, wyckoff="Zr:a O:c")
    chosen = retrieve(prototypes_index, condition, shots=1)
    assert chosen.relaxed == []
    found = read_wyckoff(chosen.demonstrations[0].text)
    assert found is not None
    assert positions_key(found[1], 225) == positions_key({"Zr": ("a",), "O": ("c",)}, 225)
    # no prototype has these: the letters are given up before the group
    rare = Condition(space_group=225, wyckoff="Zr:a,c,d O:e,f,g")
    assert "wyckoff" in retrieve(prototypes_index, rare, shots=1).relaxed


def test_it_writes_candidates_that_name_their_template(
    prototypes_index: DemonstrationIndex,
) -> None:
    condition = Condition(formula="KCl", space_group=225)
    retrieval = retrieve(prototypes_index, condition, shots=0, templates=20)
    generations = generate_for_retrievals(
        [retrieval], load_generator("substitution"), num_samples=3
    )
    first, *rest = build_candidates(generations)
    assert first.formula_pretty == "KCl"
    assert first.space_group == 225
    assert first.success == {"formula": True, "space_group": True}
    assert first.provenance.template_id in {item.demonstration_id for item in retrieval.templates}
    assert first.provenance.model is not None
    assert first.provenance.model.base_model == "substitution"
    for other in rest:  # rock salt is the only crystal of AB in this group
        assert other.failure_reason is FailureReason.NOT_GENERATED
        assert other.failure_message == "Substitution gives 1 different crystals here."


def test_a_text_that_is_kept_with_a_flaw_counts_as_no_rejected_draw() -> None:
    """The template's group is higher than the one that it is listed under."""
    listed = known(
        "a", "SrTiO3", 99, PEROVSKITE.replace("Pm-3m", "P4mm") + "\nO\n0.50 0.50 0.00", "ABC3"
    )
    retrieval = Retrieval(
        condition=Condition(formula="BaZrO3", space_group=99), strategy="C", shots=0, seed=0,
        templates=[listed],
    )  # fmt: skip
    (candidate, *_) = build_candidates(
        generate_for_retrievals([retrieval], load_generator("substitution"), num_samples=1)
    )
    assert candidate.parsed
    assert candidate.failure_reason is FailureReason.SYMMETRY_DIFFERS
    assert (candidate.provenance.attempts, candidate.provenance.rejected) == (1, {})


def test_the_same_samples_come_whatever_the_shard(prototypes_index: DemonstrationIndex) -> None:
    from crystalicl_jobflow.generation.tasks import GenerationTask

    retrieval = retrieve(prototypes_index, Condition(formula="CaF2"), shots=0, templates=30)
    whole = generate_for_retrievals([retrieval], load_generator("substitution"), num_samples=4)
    part = generate_for_retrievals(
        [retrieval],
        load_generator("substitution"),
        tasks=[GenerationTask(index=0, key="k", first_sample=2, num_samples=2)],
    )
    assert [item.text for item in part[0].completions] == [
        item.text for item in whole[0].completions[2:]
    ]
    assert len({item.text for item in whole[0].completions}) == 4


def test_several_proposers_take_turns_and_each_text_says_who_wrote_it(
    prototypes_index: DemonstrationIndex,
) -> None:
    retrieval = retrieve(
        prototypes_index, Condition(formula="KCl", space_group=225), shots=0, templates=30
    )
    (both,) = generate_for_retrievals(
        [retrieval], load_generator("embedded+substitution"), num_samples=4
    )
    (alone,) = generate_for_retrievals([retrieval], load_generator("embedded"), num_samples=2)
    writers = [item.model and item.model.base_model for item in both.completions]
    # rock salt is the only crystal of AB in this group: the model writes in place of a second
    assert writers == ["embedded", "substitution", "embedded", "embedded"]
    assert [item.text for item in both.completions[::2]] == [
        item.text for item in alone.completions
    ]
    assert [item.sample_index for item in both.completions] == [0, 1, 2, 3]
    assert both.model.base_model == "embedded+substitution"
    candidates = build_candidates([both])
    assert [item.provenance.model.base_model for item in candidates if item.provenance.model] == (
        writers
    )


def test_without_a_formula_or_a_template_it_says_why() -> None:
    from crystalicl_jobflow.schemas import Retrieval

    asked = [Condition(space_group=225), Condition(formula="KCl")]
    retrievals = [Retrieval(condition=item, strategy="C", shots=0, seed=0) for item in asked]
    generations = generate_for_retrievals(retrievals, load_generator("substitution"))
    reasons = [item.failure_message for item in build_candidates(generations)]
    assert reasons == [
        "Substitution needs a formula.",
        "The pool has no crystal of this stoichiometry and space group.",
    ]


def test_texts_of_substitution_have_the_models_probability_and_their_votes(
    prototypes_index: DemonstrationIndex,
) -> None:
    retrieval = retrieve(prototypes_index, Condition(formula="CaF2"), shots=0, templates=30)
    model = load_generator("embedded")
    (both,) = generate_for_retrievals(
        [retrieval], load_generator("embedded+substitution"), num_samples=4
    )
    written, substituted = both.completions[::2], both.completions[1::2]
    again, given = (
        model.log_probs([both.prompt], [[item.text for item in items]])[0]
        for items in (written, substituted)
    )
    assert again == pytest.approx([item.log_prob for item in written], abs=0.011)
    assert [item.log_prob for item in substituted] == given
    assert [item.template_rank for item in substituted] == [0, 1]
    assert all((item.template_votes or 0) >= 1 for item in substituted)
    distances = [item.template_distance for item in substituted]
    assert distances == sorted(distances, key=lambda value: value or 0.0)


def test_votes_count_every_substitution_that_gives_the_crystal() -> None:
    templates = [
        known(name, formula, 221, PEROVSKITE.replace("Sr", a).replace("Ti", b), "ABC3")
        for name, formula, a, b in (
            ("a", "SrTiO3", "Sr", "Ti"), ("b", "BaTiO3", "Ba", "Ti"), ("c", "SrHfO3", "Sr", "Hf"),
        )
    ]  # fmt: skip
    found = different_crystals(templates, "BaZrO3")
    assert [item.votes for item in found] == [3, 3]  # and with barium and zirconium swapped
    assert found[0].proposal.distance <= found[1].proposal.distance
    (only,) = different_crystals(templates, "BaZrO3", wanted=1)
    assert only == found[0]

"""Edited crystals, written by the model that ships with the package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pymatgen.core import Composition, Structure

from crystalicl_jobflow import edit
from crystalicl_jobflow.editing import edit_crystals, plan_edits, read_parents, write_edits
from crystalicl_jobflow.editing.edit import compare_with_parents
from crystalicl_jobflow.generation import GenerationError, Writing
from crystalicl_jobflow.generation.resuming import UnfinishedWork
from crystalicl_jobflow.schemas import Candidate, SamplingParams
from crystalicl_jobflow.schemas.editing import EditRequest
from crystalicl_jobflow.text import SGS, SGSCrystal
from crystalicl_jobflow.text.alignment import with_positions
from crystalicl_jobflow.validation import build_candidates
from reciting import PEROVSKITE, RecitingGenerator

WARM = Writing(SamplingParams(temperature=1.5))
"""Hot enough that the shipped model does not write the same crystal each time."""


def written(candidate: Candidate) -> SGSCrystal:
    found = with_positions(SGS.parse(candidate.text))
    assert found is not None
    return found


def lines_of(candidate: Candidate) -> list[str]:
    return [line.removeprefix("###").strip() for line in candidate.text.splitlines() if line]


def own_text(structure: Structure) -> list[str]:
    return SGS.encode(structure).splitlines()


def crystals_of(
    structure: Any, model: Any, *, samples: int = 4, **request: Any
) -> Sequence[Candidate]:
    found = edit_crystals(
        {"parent": structure}, request, model=model, samples=samples, writing=WARM
    )
    assert all(item.structure is not None for item in found)
    return found


def test_substitutions_keep_group_and_sites_and_are_told_with_both_probabilities(
    perovskite: Structure, model: Any
) -> None:
    crystals = edit(perovskite, substitute="Ti=Zr,Hf", model=model, samples=4)
    assert {item.formula for item in crystals} == {"CaZrO3", "CaHfO3"}
    probable = [item.log_prob for item in crystals]
    assert probable == sorted(probable, reverse=True)
    for item in crystals:
        assert item.space_group == 221
        told = item.edit
        assert told is not None
        assert told.kind == "substitute"
        assert told.parent_formula == "CaTiO3"
        assert told.substitution_probability is not None
        assert 0 < told.substitution_probability < 1
        assert told.matches_parent is False
    frame = crystals.to_frame()
    assert {"parent", "change", "new", "log_prob", "ions"} <= set(frame.columns)
    assert "p (ions)" in crystals._repr_html_()


def test_a_masked_orbit_is_filled_and_the_others_stay(tilted: Structure, model: Any) -> None:
    own = own_text(tilted)
    for candidate in crystals_of(tilted, model, mask="O 8d"):
        lines = lines_of(candidate)
        assert lines[:9] == own[:9]
        assert candidate.formula_pretty == "CaTiO3"
        assert sum(site.multiplicity or 0 for site in written(candidate).sites) == 20


def test_a_mask_in_the_middle_leaves_what_is_behind_it(tilted: Structure, model: Any) -> None:
    own = own_text(tilted)
    for candidate in crystals_of(tilted, model, mask="Ti", elements="Zr,Sn"):
        lines = lines_of(candidate)
        assert lines[:5] == own[:5]
        assert lines[-4:] == own[-4:]
        new = written(candidate).sites[1:-2]
        assert new
        assert {site.species for site in new} <= {"Zr", "Sn"}


def test_a_mutation_keeps_group_and_orbits_and_draws_the_rest(
    tilted: Structure, model: Any
) -> None:
    own = SGS.encode(tilted).splitlines()
    found = crystals_of(tilted, model, samples=6, mutate=True)
    for candidate in found:
        sites = written(candidate).sites
        assert [(site.species, site.wyckoff_letter) for site in sites] == [
            ("Ca", "c"), ("Ti", "a"), ("O", "c"), ("O", "d"),
        ]  # fmt: skip
        assert lines_of(candidate)[0] == "Pnma"
    assert len({candidate.text for candidate in found}) > 1
    assert any(lines_of(candidate)[1] != own[1] for candidate in found)
    assert any(lines_of(candidate)[4] != own[4] for candidate in found)


def test_a_mutation_may_leave_the_cell(tilted: Structure, model: Any) -> None:
    own = own_text(tilted)
    for candidate in crystals_of(tilted, model, mutate=True, redraw=["coordinates"]):
        assert lines_of(candidate)[:4] == own[:4]


def test_a_new_formula_keeps_the_prototype(spinel: Structure, model: Any) -> None:
    for candidate in crystals_of(spinel, model, mutate=True, formula="ZnGa2O4"):
        assert candidate.structure is not None
        assert candidate.structure.composition.reduced_composition == Composition("ZnGa2O4")
        sites = written(candidate).sites
        assert [(site.species, site.wyckoff_letter) for site in sites] == [
            ("Zn", "a"), ("Ga", "d"), ("O", "e"),
        ]  # fmt: skip


@pytest.mark.parametrize("length", [6, 20, 35, 51, 66])
def test_a_beginning_is_kept_wherever_it_was_cut(length: int, model: Any) -> None:
    beginning = PEROVSKITE[:length]
    found = edit_crystals(
        {"cut": beginning}, {"complete": True, "formula": "CaTiO3"}, model=model, samples=2
    )
    for candidate in found:
        assert "\n".join(lines_of(candidate)).startswith(beginning)
        assert candidate.formula_pretty == "CaTiO3"
        edit_ = candidate.provenance.edit
        assert edit_ is not None
        assert edit_.parent_id == "cut"
        assert edit_.matches_parent is None  # there is no crystal to compare with


def test_fixed_lines_are_kept(model: Any) -> None:
    text = "?\n3.8..4.2 ? ?\n?\nSr 1a\n0.00 0.00 0.00\n... Ti|O"
    found = edit_crystals({"lines": text}, {"complete": True}, model=model, writing=WARM, samples=3)
    for candidate in found:
        crystal = written(candidate)
        assert 3.8 <= crystal.lengths[0] <= 4.2
        assert lines_of(candidate)[3:5] == ["Sr", "0.00 0.00 0.00"]
        assert {site.species for site in crystal.sites[1:]} <= {"Ti", "O"}


def test_a_crystal_that_is_its_parent_again_is_told(perovskite: Structure) -> None:
    """The model recites the parent; or a fluoride."""
    parents = read_parents({"CaTiO3": perovskite})
    retrievals = plan_edits(parents, EditRequest.build(mask="O"), shots=0)
    reciting = RecitingGenerator([PEROVSKITE, PEROVSKITE.replace("O\n0.00 0.50", "F\n0.00 0.50")])
    generations = write_edits(retrievals, reciting, writing=Writing(), samples=12)
    found = compare_with_parents(build_candidates(generations), parents)
    told = {
        item.formula_pretty: (item.provenance.edit.matches_parent, item.provenance.edit.parent_id)
        for item in found
        if item.provenance.edit is not None
    }
    assert told == {"CaTiO3": (True, "CaTiO3"), "CaTiF3": (False, "CaTiO3")}
    again = next(item.provenance.edit for item in found if item.formula_pretty == "CaTiO3")
    assert again is not None
    assert again.rms_from_parent == pytest.approx(0.0, abs=0.02)


def test_the_same_seed_gives_the_same_crystals_whatever_the_batch_size(
    tilted: Structure, rock_salt: Structure, model: Any
) -> None:
    from crystalicl_jobflow.generation import load_generator

    parents = {"tilted": tilted, "salt": rock_salt}

    def texts(writer: Any, source: Any, **options: Any) -> list[str]:
        found = edit_crystals(
            source, {"mutate": True}, model=writer, samples=3, writing=WARM, **options
        )
        return [item.text for item in found]

    whole = texts(model, parents)
    single = load_generator("embedded", device="cpu", num_threads=1, batch_size=1)
    assert texts(single, parents) == whole
    assert texts(model, {"tilted": tilted}) + texts(model, {"salt": rock_salt}) == whole
    assert texts(model, parents, seed=1) != whole


def test_each_edit_of_one_condition_has_draws_and_ids_of_its_own(
    tilted: Structure, model: Any
) -> None:
    """Both have the same prompt; only what is kept differs."""
    found = [
        crystals_of(tilted, model, samples=2, mutate=True, redraw=[redrawn])
        for redrawn in ("cell", "coordinates")
    ]
    ids = [item.candidate_id for row in found for item in row]
    assert len(set(ids)) == len(ids) == 4


def test_a_killed_edit_goes_on_where_it_was(tilted: Structure, model: Any, tmp_path: Any) -> None:
    retrievals = plan_edits(read_parents({"t": tilted}), EditRequest.build(mutate=True))
    found: list[int] = []

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    def write(progress: Any = None) -> list[str]:
        work = UnfinishedWork(tmp_path, on_found=lambda done, total: found.append(done))
        generations = write_edits(
            retrievals, model, writing=WARM, samples=4, progress=progress, unfinished=work
        )
        return [item.text for generation in generations for item in generation.completions]

    with pytest.raises(KeyboardInterrupt):
        write(stop)
    texts = write()
    assert found
    assert found[0] >= 1
    again = edit_crystals({"t": tilted}, {"mutate": True}, model=model, samples=4, writing=WARM)
    assert texts == [item.text for item in again]


def test_a_large_parent_may_be_written_as_long_as_it_is(model: Any) -> None:
    """Sixty orbits need more tokens than a text has by default."""
    lattice = [[14, 0, 0], [0, 14.5, 0], [0, 0, 15]]
    points = [
        [0.25 * x + 0.03 * y, 0.25 * y + 0.01 * z, 0.25 * z + 0.02 * x]
        for x in range(4)
        for y in range(4)
        for z in range(4)
    ]
    large = Structure(lattice, ["Na", "Cl"] * 32, points)
    request = {"substitute": {"Na": ["K"]}}
    (candidate,) = edit_crystals({"large": large}, request, model=model, samples=1, shots=0)
    assert candidate.formula_pretty == "KCl"
    assert candidate.nsites_primitive == 64


@pytest.mark.parametrize("name", ["substitution", "embedded+substitution"])
def test_what_substitutes_by_itself_cannot_edit(perovskite: Structure, name: str) -> None:
    with pytest.raises(GenerationError, match="cannot edit"):
        edit(perovskite, mutate=True, model=name)


@pytest.mark.parametrize("writing", [Writing(constrain=False), Writing(text_format="xyz")])
def test_an_edit_needs_the_constraint(perovskite: Structure, writing: Writing) -> None:
    with pytest.raises(GenerationError, match=r"constraint|sgs or sgsw"):
        edit(perovskite, mutate=True, model=RecitingGenerator(), writing=writing, shots=0)

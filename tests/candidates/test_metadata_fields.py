"""Stored candidates carry emmet's fields; documents of earlier versions are found and read."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.candidates import (
    CandidateQuery,
    find_documents,
    load_candidates,
    open_candidate_store,
    open_candidates,
    query_candidates,
    read_document,
    store_candidates,
    write_candidates,
)
from crystalicl_jobflow.candidates.contributions import candidate_part, relaxation_part
from crystalicl_jobflow.candidates.merging import merge
from crystalicl_jobflow.crystal.metadata import METADATA_FIELDS
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs._inputs import as_retrievals
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.stores import write_documents
from crystalicl_jobflow.validation import build_candidates
from reciting import RecitingGenerator


@pytest.fixture(scope="module")
def candidates() -> list[Candidate]:
    """Return candidates with and without a crystal."""
    generations = generate_for_retrievals(
        as_retrievals([{"elements": ["O"]}]), RecitingGenerator(), num_samples=6, constrain=False
    )
    return build_candidates(generations)


@pytest.fixture(scope="module")
def crystal(candidates: list[Candidate]) -> Candidate:
    return next(item for item in candidates if item.valid)


def old_candidate(candidate: Candidate) -> dict[str, Any]:
    """Return a candidate as earlier versions wrote it."""
    new = candidate.model_dump(mode="json")
    old = {name: value for name, value in new.items() if name not in METADATA_FIELDS}
    del old["nsites_primitive"]
    return old | {
        "formula": new["formula_pretty"],
        "anonymous_formula": new["formula_anonymous"],
        "chemsys": new["chemsys"],
        "elements": new["elements"],
        "num_sites": new["nsites_primitive"],
        "density": new["density"],
        "space_group": new["symmetry"]["number"],
        "space_group_symbol": new["symmetry"]["symbol"],
    }


def old_document(candidate: Candidate) -> dict[str, Any]:
    """Return the stored document that an earlier version made of a candidate."""
    new = merge(None, [candidate_part(candidate.model_dump(mode="json"))])
    absent = ("nsites_primitive", "composition", "volume", "density_atomic")
    old = {name: value for name, value in new.items() if name not in absent}
    symmetry = {
        "number": candidate.space_group,
        "symbol": candidate.space_group_symbol,
        "crystal_system": "cubic",
        "symprec": 0.1,
    }
    old |= {"nsites": candidate.nsites_primitive, "symmetry": symmetry}
    old["generated"] = {
        "structure": None,
        "symmetry": symmetry,
        "density": candidate.density,
        "nsites": candidate.nsites_primitive,
    }
    return old


def test_a_stored_candidate_has_emmets_fields(crystal: Candidate) -> None:
    store = open_candidate_store("memory:")
    store_candidates([crystal], store)
    (document,) = find_documents(store)
    assert crystal.structure is not None
    assert document["nsites"] == len(crystal.structure) == crystal.nsites
    assert document["nsites_primitive"] == crystal.nsites_primitive
    assert document["volume"] == pytest.approx(crystal.structure.volume)
    assert document["density_atomic"] == pytest.approx(document["volume"] / document["nsites"])
    assert sum(document["composition"].values()) == document["nsites"]
    symmetry = document["symmetry"]
    assert symmetry["number"] == crystal.space_group
    assert symmetry["point_group"]
    assert symmetry["hall"]
    assert symmetry["crystal_system"].istitle()
    assert read_document(document).symmetry == crystal.symmetry
    assert query_candidates(store) == [crystal]


def test_a_file_of_candidates_has_them_too(candidates: list[Candidate], tmp_path) -> None:
    path = tmp_path / "candidates.jsonl"
    write_candidates(path, candidates)
    assert load_candidates(path) == candidates
    found = list(find_documents(open_candidates(path), CandidateQuery(valid=True)))
    assert found
    assert all(document["volume"] > 0 and document["symmetry"]["hall"] for document in found)
    stored = tmp_path / "stored.jsonl"
    stored.write_text("\n".join(json.dumps(item, default=str) for item in found))
    assert [item.symmetry for item in load_candidates(stored)] == [
        item.symmetry for item in candidates if item.valid
    ]


def test_a_relaxed_candidate_has_the_fields_of_the_relaxed_cell(crystal: Candidate) -> None:
    assert crystal.structure is not None
    relaxed = crystal.structure.get_primitive_structure()
    relaxed.scale_lattice(relaxed.volume * 1.1)
    relaxation = {"candidate_id": crystal.candidate_id, "structure": relaxed.as_dict(),
                  "converged": True, "level": "forcefield"}  # fmt: skip
    origin = {"name": "relax", "job_uuid": "r", "job_index": 1, "job_name": "",
              "completed_at": "2026-01-01T00:00:00"}  # fmt: skip
    document = merge(
        None,
        [candidate_part(crystal.model_dump(mode="json")), relaxation_part(relaxation, origin)],
    )
    assert document["nsites"] == len(relaxed)
    assert document["volume"] == pytest.approx(relaxed.volume)
    assert document["density"] == pytest.approx(relaxed.density)
    assert document["generated"]["nsites"] == len(crystal.structure)
    assert document["generated"]["volume"] == pytest.approx(crystal.structure.volume)
    store = open_candidate_store("memory:")
    write_documents(store, [document])
    (again,) = query_candidates(store)
    assert again.model_dump(exclude={"created_at"}) == crystal.model_dump(exclude={"created_at"})


def test_a_candidate_of_an_earlier_version_is_read_and_stored(candidates: list[Candidate]) -> None:
    for candidate in candidates:
        old = old_candidate(candidate)
        read = Candidate.model_validate_json(json.dumps(old))
        assert read.formula_pretty == candidate.formula_pretty
        assert read.nsites_primitive == candidate.nsites_primitive
        assert read.symmetry.hall == candidate.symmetry.hall
        new, stored = (merge(None, [candidate_part(item)])
                       for item in (candidate.model_dump(mode="json"), old))  # fmt: skip
        for document in (new, stored):
            document["symmetry"].pop("version", None)
            if document["generated"] is not None:
                document["generated"]["symmetry"].pop("version", None)
        assert stored == new


@pytest.mark.parametrize("place", ["memory:", "old.sqlite"])
def test_a_document_of_an_earlier_version_is_found_and_brought_up_to_date(
    crystal: Candidate, tmp_path, place: str
) -> None:
    cubic = (crystal.space_group or 0) >= 195
    store = open_candidate_store(place if place == "memory:" else str(tmp_path / place))
    write_documents(store, [old_document(crystal)])
    questions = [
        {"num_sites": crystal.nsites_primitive},
        {"formula": crystal.formula_pretty},
        {"space_group": crystal.space_group},
        *([{"crystal_system": "cubic"}] if cubic else []),
    ]
    for question in questions:
        (found,) = query_candidates(store, **question)
        assert found.nsites_primitive == crystal.nsites_primitive
        assert found.structure == crystal.structure
    (document,) = find_documents(store)
    assert read_document(document).nsites_primitive == crystal.nsites_primitive
    assert isinstance(read_document(document).structure, Structure)
    # as soon as something is added to it, it has all fields
    assert store_candidates([crystal], store, run="again") == 1
    (document,) = find_documents(store)
    assert document["nsites"] == crystal.nsites
    assert document["symmetry"]["hall"] == crystal.symmetry.hall
    assert document["generated"]["volume"] == pytest.approx(document["volume"])
    assert query_candidates(store, num_sites=crystal.nsites_primitive) == [crystal]

"""The documents of the jobs: batches in the store, lists everywhere else."""

from __future__ import annotations

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.schemas import Candidate, Condition, Provenance
from crystalicl_jobflow.schemas.base import BATCH, BATCH_SIZE
from crystalicl_jobflow.schemas.candidate import ValidateDoc


def candidate(number: int, *, structure: Structure | None = None) -> Candidate:
    return Candidate(
        candidate_id=f"candidate-{number}",
        condition=Condition(formula="NaCl", properties={"band_gap": "1:2"}),
        text="Fm-3m",
        structure=structure,
        valid=structure is not None,
        parsed=structure is not None,
        failure_reason=None if structure is not None else "empty",
        provenance=Provenance(prompt="prompt"),
    )


@pytest.fixture(scope="module")
def large() -> Structure:
    """A crystal of 240 atoms."""
    cell = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    return cell.make_supercell([5, 3, 2])


@pytest.mark.parametrize("number", [0, 1, BATCH_SIZE, BATCH_SIZE + 1, 3 * BATCH_SIZE - 1])
def test_a_document_comes_back_from_a_store(number):
    doc = ValidateDoc.from_candidates([candidate(i) for i in range(number)])
    stored = jsanitize(doc, strict=True, enum_values=True, allow_bson=True)
    batches = stored["candidates"]
    assert [len(batch[BATCH]) for batch in batches] == [
        min(BATCH_SIZE, number - start) for start in range(0, number, BATCH_SIZE)
    ]
    assert MontyDecoder().process_decoded(stored) == doc


@given(st.integers(0, 250))
def test_a_document_comes_back_from_json(number):
    doc = ValidateDoc.from_candidates([candidate(i) for i in range(number)])
    assert ValidateDoc.model_validate_json(doc.model_dump_json()) == doc


def test_a_batch_of_the_largest_crystals_fits_into_a_mongodb_document(large):
    assert len(large) == 240
    doc = ValidateDoc.from_candidates([candidate(i, structure=large) for i in range(BATCH_SIZE)])
    stored = jsanitize(doc, strict=True, enum_values=True, allow_bson=True)
    assert len(bson.encode(stored["candidates"][0])) < 16 * 1024**2


def test_counts_are_those_of_the_candidates(large):
    doc = ValidateDoc.from_candidates([candidate(0, structure=large), candidate(1), candidate(2)])
    assert (doc.num_candidates, doc.num_parsed, doc.num_valid) == (3, 1, 1)
    assert doc.reasons == {"empty": 2}
    assert doc.structures == [large]

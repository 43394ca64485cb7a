"""Candidates as rows of plain cells, with the types that the schema gives them."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from crystalicl_jobflow.candidates.flat_rows import FLAT_FIELDS, flat_table
from made_up import synthetic_documents


@pytest.fixture(scope="module")
def documents() -> list[dict]:
    """Return candidates with and without a crystal, an energy and a verdict."""
    return list(synthetic_documents(30, seed=3))


def test_a_row_has_what_its_document_says(documents):
    table = flat_table(documents)
    assert list(table.columns) == list(FLAT_FIELDS)
    assert len(table) == 30
    for row, document in zip(table.to_dict("records"), documents, strict=True):
        assert row["candidate_id"] == document["candidate_id"]
        for name in ("formula_pretty", "nsites", "density", "is_stable", "energy_above_hull"):
            cell = row[name]
            assert (None if pd.isna(cell) else cell) == document[name], name
        number = document["symmetry"]["number"]
        assert (None if pd.isna(row["symmetry.number"]) else row["symmetry.number"]) == number
    assert table["last_updated"].tolist() == [
        pd.Timestamp(document["last_updated"], tz="UTC") for document in documents
    ]


@pytest.mark.parametrize("count", [0, 30])
def test_columns_have_the_types_of_the_schema_also_without_cells(documents, count):
    table = flat_table(
        documents[:count],
        ["formula", "nsites", "symmetry.number", "space_group_symbol", "band_gap", "valid",
         "created_at", "symmetry", "properties.band_gap"],
    )  # fmt: skip
    assert {name: str(kind) for name, kind in table.dtypes.items()} == {
        "candidate_id": "string",
        "formula_pretty": "string",
        "nsites": "Int64",
        "symmetry.number": "Int64",
        "symmetry.symbol": "string",
        "band_gap": "Float64",
        "valid": "boolean",
        "created_at": "datetime64[ms, UTC]",
        "symmetry": "string",
        "properties.band_gap": "string",
    }


def test_lists_and_mappings_are_json(documents):
    table = flat_table(documents, ["elements", "checks", "candidate_id"])
    assert list(table.columns) == ["candidate_id", "elements", "checks"]
    for row, document in zip(table.to_dict("records"), documents, strict=True):
        assert json.loads(row["elements"]) == document["elements"]
        assert json.loads(row["checks"]) == document["checks"]


def test_a_field_that_does_not_exist_is_told(documents):
    with pytest.raises(ValueError, match="no field 'colour'"):
        flat_table(documents, ["colour"])

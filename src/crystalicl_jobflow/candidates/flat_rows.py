"""Stored candidates as rows of plain cells: for CSV and Parquet files, and pandas."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from pydantic import BaseModel

from crystalicl_jobflow.candidates.candidate_query import field_name
from crystalicl_jobflow.candidates.indexes import CANDIDATE_KEY
from crystalicl_jobflow.candidates.ordering import as_moment
from crystalicl_jobflow.schemas.stored_candidate import CandidateDoc
from crystalicl_jobflow.stores.sqlite.mongo_to_sql import dig
from crystalicl_jobflow.utils.files import json_default

if TYPE_CHECKING:
    import pandas as pd

FLAT_FIELDS = (
    "candidate_id", "formula_pretty", "formula_anonymous", "chemsys", "nelements", "nsites",
    "nsites_primitive", "volume", "density", "density_atomic", "symmetry.number",
    "symmetry.symbol", "symmetry.hall", "symmetry.point_group", "symmetry.crystal_system",
    "energy_per_atom", "formation_energy_per_atom", "energy_above_hull",
    "no_hull_reason", "band_gap",
    "is_relaxed", "is_stable", "is_metastable", "is_unique", "duplicate_of", "is_novel",
    "known_as", "is_sun", "valid", "joint_success", "failure_reason", "failure_message",
    "checks.min_distance", "declared_space_group", "text", "created_at", "last_updated",
)  # fmt: skip
"""Fields that a row has where none are chosen: those that hold one value."""

_TYPES: dict[type, str] = {
    bool: "boolean",
    int: "Int64",
    float: "Float64",
    datetime: "datetime64[ms, UTC]",
}
"""Type of a field → of its column, which may have empty cells; all others hold texts."""


def flat_table(
    documents: Iterable[Mapping[str, Any]], fields: Sequence[str] = FLAT_FIELDS
) -> pd.DataFrame:
    """Return stored candidates as a table.

    Parameters
    ----------
    documents
        As :func:`~crystalicl_jobflow.candidates.find_documents` yields them.
    fields
        The columns, dotted below others; the id is always the first.

    Returns
    -------
    pandas.DataFrame
        One row per document. Columns have the types that the schema gives their fields, also
        where all cells are empty; lists and mappings are JSON texts, times are UTC.

    Raises
    ------
    ValueError
        If a field is not known; one line.
    """
    import pandas as pd

    names = list(dict.fromkeys([CANDIDATE_KEY, *map(field_name, fields)]))
    cells: dict[str, list[Any]] = {name: [] for name in names}
    for document in documents:
        for name in names:
            cells[name].append(_cell(dig(document, name)))
    return pd.DataFrame({name: _column(name, values) for name, values in cells.items()})


def _column(name: str, values: list[Any]) -> Any:
    import pandas as pd

    kind = _TYPES.get(_field_type(name), "string")
    if kind.startswith("datetime"):
        return pd.to_datetime(pd.Series(list(map(as_moment, values))), utc=True).astype(kind)
    return pd.array(values, dtype=kind)


@cache
def _field_type(name: str) -> type:
    """Return the type of a field by the schema; object where it is not a plain one."""
    model: type[BaseModel] | None = CandidateDoc
    kind: Any = object
    for part in name.split("."):
        if model is None or part not in model.model_fields:
            return object
        annotation = model.model_fields[part].annotation
        options = [item for item in get_args(annotation) if item is not type(None)]
        kind = options[0] if len(options) == 1 else annotation
        model = kind if isinstance(kind, type) and issubclass(kind, BaseModel) else None
    return kind if isinstance(kind, type) else object


def _cell(value: Any) -> Any:
    if isinstance(value, Mapping | list | tuple):
        return json.dumps(value, default=json_default, ensure_ascii=False)
    return value

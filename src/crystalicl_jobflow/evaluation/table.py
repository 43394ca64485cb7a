"""The files of an evaluation: the table of structures and the sums."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.evaluation.intervals import CONFIDENCE, rate_with_interval
from crystalicl_jobflow.evaluation.rates import rate_meaning
from crystalicl_jobflow.schemas import Evaluation
from crystalicl_jobflow.schemas.structure_table import (
    METRICS_FILE,
    STRUCTURES_CSV,
    STRUCTURES_PARQUET,
    SUCCESS_PREFIX,
    Kind,
    structure_columns,
)
from crystalicl_jobflow.utils.files import replacing

if TYPE_CHECKING:
    import pandas as pd

_TYPES: dict[Kind, str] = {
    "string": "string",
    "integer": "Int64",
    "number": "Float64",
    "flag": "boolean",
}


def structures_table(evaluation: Evaluation) -> pd.DataFrame:
    """Return one row per candidate.

    Returns
    -------
    pandas.DataFrame
        Columns as :func:`crystalicl_jobflow.schemas.structure_columns` gives them for what
        was asked, then any further ones (properties that were registered), with nullable
        types: an empty cell was not computed or does not apply.
    """
    import pandas as pd

    names: dict[str, None] = {}
    for row in evaluation.results:
        names.update(dict.fromkeys(row))
    parts = [n.removeprefix(SUCCESS_PREFIX) for n in names if n.startswith(SUCCESS_PREFIX)]
    columns = structure_columns(parts)
    data: dict[str, Any] = {}
    for name in (*columns, *(n for n in names if n not in columns)):
        cells = [row.get(name) for row in evaluation.results]
        kind = columns[name].kind if name in columns else _kind(cells)
        data[name] = pd.array(cells, dtype=_TYPES[kind])
    return pd.DataFrame(data)


def metrics_document(
    evaluation: Evaluation, *, more: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the sums of an evaluation as one JSON document.

    Parameters
    ----------
    evaluation
        The evaluation.
    more
        Further fields, such as what was asked and where the candidates come from.

    Returns
    -------
    dict
        ``num_candidates``; ``rates`` with ``rate``, ``count``, ``of``, ``low``, ``high``
        and ``meaning``; ``confidence`` of low and high; ``reasons``; ``metrics``;
        ``tolerances``; ``versions``; ``created_at``.
    """
    rates = {
        name: {**rate_with_interval(rate), "meaning": rate_meaning(name)}
        for name, rate in evaluation.rates.items()
    }
    return {
        **(more or {}),
        "num_candidates": evaluation.num_candidates,
        "rates": rates,
        "confidence": {"level": CONFIDENCE, "interval": "Wilson score, cases independent"},
        "reasons": evaluation.reasons,
        "metrics": {name: _finite(value) for name, value in evaluation.metrics.items()},
        "tolerances": evaluation.tolerances,
        "versions": evaluation.versions,
        "created_at": evaluation.created_at.isoformat(),
    }


def write_evaluation(
    folder: str | Path, evaluation: Evaluation, *, more: Mapping[str, Any] | None = None
) -> list[Path]:
    """Write the sums and the table of structures.

    Parameters
    ----------
    folder
        Where to; made if need be.
    evaluation
        The evaluation.
    more
        Further fields of the sums, see :func:`metrics_document`.

    Returns
    -------
    list of Path
        ``metrics.json``, ``structures.csv``, and ``structures.parquet`` where pyarrow is
        installed; a Parquet file of an earlier evaluation is removed where it is not.
    """
    place = Path(folder)
    sums = metrics_document(evaluation, more=more)
    paths = [place / METRICS_FILE, place / STRUCTURES_CSV]
    table = structures_table(evaluation)
    parquet = place / STRUCTURES_PARQUET
    # an earlier evaluation's files stay until all of this one's are whole
    with replacing(paths[0]) as metrics, replacing(paths[1]) as rows:
        metrics.write_text(json.dumps(sums, indent=2, default=str) + "\n", encoding="utf-8")
        table.to_csv(rows, index=False)
        if parquet_available():
            with replacing(parquet) as beside:
                table.to_parquet(beside, index=False)
            paths.append(parquet)
        else:
            parquet.unlink(missing_ok=True)  # never beside a table of another evaluation
    return paths


def parquet_available() -> bool:
    """Return whether Parquet files can be written."""
    return find_spec("pyarrow") is not None


def _kind(cells: list[Any]) -> Kind:
    values = [cell for cell in cells if cell is not None]
    if values and all(isinstance(cell, bool) for cell in values):
        return "flag"
    if values and all(isinstance(cell, int | float) for cell in values):
        return "number"
    return "string"


def _finite(value: float | None) -> float | None:
    """Return the value, or None for what JSON has no word for."""
    return value if value is None or math.isfinite(value) else None

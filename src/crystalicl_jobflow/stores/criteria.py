"""Criteria that are data: MongoDB's operators that run code are refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from crystalicl_jobflow.utils.errors import CrystalICLError

CODE_OPERATORS = frozenset(
    {"$where", "$expr", "$function", "$accumulator", "$eval", "$code", "$scope", "$jsonSchema"}
)
"""Operators that run code or expressions, or may make a server do so; none is needed here."""

PIPELINE_OPERATORS = frozenset(
    {"$out", "$merge", "$lookup", "$unionWith", "$graphLookup", "$currentOp", "$mapReduce"}
)
"""Stages of pipelines that write, or read other collections; criteria have no use for them."""

MAX_DEPTH = 32
"""Deepest nesting of criteria; MongoDB itself ends at 100."""


class ForbiddenCriteriaError(CrystalICLError, ValueError):
    """Criteria hold an operator that would run code, or are nested too deeply."""


def refuse_code(criteria: Any) -> None:
    """Refuse criteria with an operator that runs code, at any depth.

    The embedded stores evaluate ``$where`` as Python, and a MongoDB server as JavaScript.

    Parameters
    ----------
    criteria
        Criteria, a sort, or what an aggregation takes; None for none.

    Raises
    ------
    ForbiddenCriteriaError
        With the operator's name; one line.

    Examples
    --------
    >>> refuse_code({"$or": [{"nsites": {"$lt": 5}}, {"formula_pretty": "NaCl"}]})
    >>> refuse_code({"$and": [{"$where": "1"}]})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    crystalicl_jobflow.stores.criteria.ForbiddenCriteriaError: criteria with $where are refused: ...
    """
    _look(criteria, 0)


def _look(value: Any, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise ForbiddenCriteriaError(f"criteria are nested more than {MAX_DEPTH} times")
    if isinstance(value, Mapping):
        for name, item in value.items():
            operator = str(name).strip()
            if operator in CODE_OPERATORS:
                raise ForbiddenCriteriaError(f"criteria with {operator} are refused: it runs code")
            if operator in PIPELINE_OPERATORS:
                raise ForbiddenCriteriaError(
                    f"criteria with {operator} are refused: it is no condition on a document"
                )
            _look(item, depth + 1)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            _look(item, depth + 1)
    elif type(value).__name__ == "Code" and hasattr(value, "scope"):  # bson's JavaScript
        raise ForbiddenCriteriaError("criteria with JavaScript code are refused")

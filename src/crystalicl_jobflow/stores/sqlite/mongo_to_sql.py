"""MongoDB's criteria as SQL over indexed columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import Any

from maggma.core import Sort

from crystalicl_jobflow.stores.criteria import refuse_code


@dataclass(frozen=True)
class Fields:
    """What criteria can find in a table of columns.

    Parameters
    ----------
    scalars
        Fields with a column.
    lists
        Fields whose items lie in a table of their own.
    items
        That table's quoted name.
    """

    scalars: frozenset[str]
    lists: frozenset[str]
    items: str


@dataclass
class Where:
    """A condition in SQL; not exact where it lets more documents through than meet it."""

    sql: str
    values: list[Any] = field(default_factory=list)
    exact: bool = True


_ALL = "1"
_MARKS = "\x01\x02\x03"


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def column_value(value: Any) -> Any:
    """Return a value as its column holds it: flags and times as marked texts.

    Marks keep the kinds of values apart, as MongoDB does: true is not 1.
    """
    if isinstance(value, bool):
        return "\x01true" if value else "\x01false"
    if isinstance(value, datetime):
        if value.tzinfo is not None:
            value = value.astimezone(UTC).replace(tzinfo=None)
        return f"\x02{value.isoformat(timespec='milliseconds')}"
    if value is None or isinstance(value, int | float | str):
        return value
    return f"\x03{value!r}"


def dig(document: Mapping[str, Any], name: str) -> Any:
    """Return the value of a field, dotted below others; None where it is missing."""
    value: Any = document
    for part in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def flat_values(document: Mapping[str, Any], name: str) -> list[Any]:
    """Return the values of a field: the items of a list, nothing where it is missing."""
    value = dig(document, name)
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def translate(criteria: Mapping[str, Any], fields: Fields) -> Where:
    """Return criteria as SQL over the alias ``c`` of the table of columns.

    Raises
    ------
    ForbiddenCriteriaError
        If they hold an operator that runs code, which mongomock would run as Python.
    """
    refuse_code(criteria)
    return _every(criteria, fields)


def _every(criteria: Mapping[str, Any], fields: Fields) -> Where:
    terms = [_term(name, condition, fields) for name, condition in criteria.items()]
    return _join(terms, " AND ")


def _join(terms: list[Where], how: str) -> Where:
    if not terms:
        return Where(_ALL)
    return Where(
        "(" + how.join(term.sql for term in terms) + ")",
        [value for term in terms for value in term.values],
        all(term.exact for term in terms),
    )


def _term(name: str, condition: Any, fields: Fields) -> Where:
    """Return one entry of criteria: a field with its condition, or $and, $or, $nor."""
    if name in ("$and", "$or"):
        return _join([_every(item, fields) for item in condition], f" {name[1:].upper()} ")
    if name == "$nor":
        return _not(_join([_every(item, fields) for item in condition], " OR "))
    if name not in fields.scalars and name not in fields.lists:
        return _anything()
    if isinstance(condition, Mapping) and any(str(key).startswith("$") for key in condition):
        terms = [_operator(name, key, value, fields) for key, value in condition.items()]
        return _join(terms, " AND ")
    return _operator(name, "$eq", condition, fields)


def _anything() -> Where:
    """Return a condition that every document meets: what it says is compared elsewhere."""
    return Where(_ALL, exact=False)


def _not(inner: Where) -> Where:
    return Where(f"NOT {inner.sql}", inner.values) if inner.exact else _anything()


def _operator(name: str, operator: str, operand: Any, fields: Fields) -> Where:
    translation = _OPERATORS.get(operator)
    return _anything() if translation is None else translation(name, operand, fields)


def _equal(name: str, value: Any, fields: Fields) -> Where:
    if not _plain(value):
        return _anything()
    if value is not None:
        return _is_one_of(name, [value], fields)
    if name in fields.lists:
        # an empty list is not null, and looks like it here
        return _anything()
    return Where(f"(c.{quoted(name)} IS NULL)")


def _not_equal(name: str, value: Any, fields: Fields) -> Where:
    if value is None and name in fields.scalars:
        return Where(f"c.{quoted(name)} IS NOT NULL")
    return _not(_equal(name, value, fields))


def _in(name: str, values: Any, fields: Fields) -> Where:
    options = list(values)
    if any(not _plain(item) for item in options):
        return _anything()
    named = [item for item in options if item is not None]
    found = _is_one_of(name, named, fields) if named else Where("0")
    if len(named) < len(options):
        found = _join([found, _equal(name, None, fields)], " OR ")
    return found


def _not_in(name: str, values: Any, fields: Fields) -> Where:
    return _not(_in(name, values, fields))


def _all_of(name: str, values: Any, fields: Fields) -> Where:
    if name not in fields.lists:
        return _anything()
    return _join([_equal(name, item, fields) for item in values], " AND ")


def _ordered(comparison: str, name: str, bound: Any, fields: Fields) -> Where:
    """Return a comparison with a bound; only values of its kind are larger or smaller."""
    if not _plain(bound) or bound is None or name not in fields.scalars:
        return _anything()
    value = column_value(bound)
    column = f"c.{quoted(name)}"
    if not isinstance(value, str):
        kinds = f"typeof({column}) IN ('integer', 'real')"
        return Where(f"({column} {comparison} ? AND {kinds})", [value])
    first = f"substr({column}, 1, 1)"
    mark = value[:1] if value[:1] in _MARKS else ""
    kind = f"{first} = ?" if mark else f"{first} NOT IN (?, ?, ?)"
    return Where(
        f"({column} {comparison} ? AND typeof({column}) = 'text' AND {kind})",
        [value, *(mark or _MARKS)],
    )


_OPERATORS: Mapping[str, Callable[[str, Any, Fields], Where]] = {
    "$eq": _equal,
    "$ne": _not_equal,
    "$in": _in,
    "$nin": _not_in,
    "$all": _all_of,
    "$gt": partial(_ordered, ">"),
    "$gte": partial(_ordered, ">="),
    "$lt": partial(_ordered, "<"),
    "$lte": partial(_ordered, "<="),
}
"""Operator → its translation from field, operand and what is indexed."""


def _is_one_of(name: str, values: list[Any], fields: Fields) -> Where:
    marked = [column_value(value) for value in values]
    same = "= ?" if len(values) == 1 else f"IN ({', '.join('?' * len(values))})"
    scalar = f"(c.{quoted(name)} IS NOT NULL AND c.{quoted(name)} {same})"
    if name not in fields.lists:
        return Where(scalar, marked)
    # a document may hold a single value where others hold lists
    return Where(
        f"(c.id IN (SELECT id FROM {fields.items} WHERE field = ? AND value {same}) OR {scalar})",
        [name, *marked, *marked],
    )


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | datetime)


def project(
    document: dict[str, Any], properties: Mapping[str, Any] | Sequence[str] | None
) -> dict[str, Any]:
    """Return only some fields of a document, dotted names below others, as MongoDB does."""
    if not properties:
        return document
    names = list(properties)
    if isinstance(properties, Mapping) and not any(
        properties[name] for name in names if name != "_id"
    ):
        return {name: value for name, value in document.items() if name not in names}
    found: dict[str, Any] = {}
    for name in names:
        if isinstance(properties, Mapping) and not properties[name]:
            continue
        source, target, parts = document, found, str(name).split(".")
        for part in parts[:-1]:
            if not isinstance(source.get(part), Mapping):
                break
            source, target = source[part], target.setdefault(part, {})
        else:
            if parts[-1] in source:
                target[parts[-1]] = source[parts[-1]]
    return found


def sanitized(document: dict[str, Any]) -> dict[str, Any]:
    """Turn objects into what documents hold."""
    from monty.json import jsanitize

    return dict(jsanitize(document, allow_bson=True, recursive_msonable=True))


def direction(way: Sort | int) -> int:
    """Return 1 or -1."""
    return int(way.value) if isinstance(way, Sort) else int(way)


def applies(criteria: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Return whether a document meets criteria."""
    from mongomock_ng.filtering import filter_applies

    return bool(filter_applies(dict(criteria), document))  # type: ignore[no-untyped-call]  # untyped


def order_by(name: str, document: Mapping[str, Any]) -> tuple[int, Any]:
    """Return a key by which documents sort by a field."""
    return _order(dig(document, name))


def _order(value: Any) -> tuple[int, Any]:
    """Return a key by which values of different kinds sort as in MongoDB."""
    if value is None:
        return (0, 0)
    if isinstance(value, bool):
        return (3, value)
    if isinstance(value, int | float):
        return (1, value)
    if isinstance(value, datetime):
        return (4, value)
    return (2, str(value))

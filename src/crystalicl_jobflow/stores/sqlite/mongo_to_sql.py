"""MongoDB's criteria as SQL over indexed columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from maggma.core import Sort


@dataclass(frozen=True)
class Fields:
    """What a table of columns can be asked about.

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
    """A condition in SQL; not exact where it lets through more than was asked for."""

    sql: str
    values: list[Any] = field(default_factory=list)
    exact: bool = True


_ALL = "1"
_MARKS = "\x01\x02\x03"
_ORDER = {"$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}


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
    """Return criteria as SQL over the alias ``c`` of the table of columns."""
    terms = [_term(name, asked, fields) for name, asked in criteria.items()]
    return _join(terms, " AND ")


def _join(terms: list[Where], how: str) -> Where:
    if not terms:
        return Where(_ALL)
    return Where(
        "(" + how.join(term.sql for term in terms) + ")",
        [value for term in terms for value in term.values],
        all(term.exact for term in terms),
    )


def _term(name: str, asked: Any, fields: Fields) -> Where:
    if name == "$and":
        return _join([translate(item, fields) for item in asked], " AND ")
    if name == "$or":
        return _join([translate(item, fields) for item in asked], " OR ")
    if name == "$nor":
        inner = _join([translate(item, fields) for item in asked], " OR ")
        if not inner.exact:
            return Where(_ALL, exact=False)
        return Where(f"NOT {inner.sql}", inner.values)
    if name not in fields.scalars and name not in fields.lists:
        return Where(_ALL, exact=False)
    if isinstance(asked, Mapping) and any(str(key).startswith("$") for key in asked):
        return _join([_operator(name, key, value, fields) for key, value in asked.items()], " AND ")
    return _operator(name, "$eq", asked, fields)


def _operator(name: str, operator: str, asked: Any, fields: Fields) -> Where:
    if operator in ("$ne", "$nin"):
        inner = _operator(name, "$eq" if operator == "$ne" else "$in", asked, fields)
        if not inner.exact:
            return Where(_ALL, exact=False)
        if operator == "$ne" and asked is None and name in fields.scalars:
            return Where(f"c.{quoted(name)} IS NOT NULL")
        return Where(f"NOT {inner.sql}", inner.values)
    if operator == "$in":
        options = list(asked)
        if any(not _plain(item) for item in options):
            return Where(_ALL, exact=False)
        named = [item for item in options if item is not None]
        found = _is_one_of(name, named, fields) if named else Where("0")
        if len(named) < len(options):
            found = _join([found, _operator(name, "$eq", None, fields)], " OR ")
        return found
    if operator == "$all" and name in fields.lists:
        return _join([_operator(name, "$eq", item, fields) for item in asked], " AND ")
    if not _plain(asked):
        return Where(_ALL, exact=False)
    if operator == "$eq":
        if asked is not None:
            return _is_one_of(name, [asked], fields)
        if name in fields.lists:
            # an empty list is not null, and looks like it here
            return Where(_ALL, exact=False)
        return Where(f"(c.{quoted(name)} IS NULL)")
    if operator in _ORDER and name in fields.scalars and asked is not None:
        value = column_value(asked)
        column = f"c.{quoted(name)}"
        # only values of the kind asked for are larger or smaller
        if isinstance(value, str):
            first = f"substr({column}, 1, 1)"
            mark = value[:1] if value[:1] in _MARKS else ""
            kind = f"{first} = ?" if mark else f"{first} NOT IN (?, ?, ?)"
            return Where(
                f"({column} {_ORDER[operator]} ? AND typeof({column}) = 'text' AND {kind})",
                [value, *(mark or _MARKS)],
            )
        return Where(
            f"({column} {_ORDER[operator]} ? AND typeof({column}) IN ('integer', 'real'))", [value]
        )
    return Where(_ALL, exact=False)


def _is_one_of(name: str, values: list[Any], fields: Fields) -> Where:
    held = [column_value(value) for value in values]
    same = "= ?" if len(values) == 1 else f"IN ({', '.join('?' * len(values))})"
    scalar = f"(c.{quoted(name)} IS NOT NULL AND c.{quoted(name)} {same})"
    if name not in fields.lists:
        return Where(scalar, held)
    # a document may hold a single value where others hold lists
    return Where(
        f"(c.id IN (SELECT id FROM {fields.items} WHERE field = ? AND value {same}) OR {scalar})",
        [name, *held, *held],
    )


def _plain(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str | datetime)


def project(document: dict[str, Any], properties: Mapping | Sequence | None) -> dict[str, Any]:
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

    return bool(filter_applies(dict(criteria), document))


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

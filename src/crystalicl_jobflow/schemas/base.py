"""What all documents share: crystals, times, and lists that are stored in batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from datetime import UTC, datetime
from html import escape
from typing import Annotated, Any, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    SerializationInfo,
)
from pymatgen.core import Structure

from crystalicl_jobflow.crystal.structure_documents import structure_from_dict


def _from_dictionary(value: Any) -> Any:
    return structure_from_dict(value) if isinstance(value, Mapping) else value


Crystal = Annotated[
    Structure,
    # before pydantic, which would let monty import whatever module the dictionary names
    BeforeValidator(_from_dictionary),
    PlainSerializer(lambda crystal: crystal.as_dict(), when_used="json"),
]
"""A pymatgen structure; its dictionary in JSON, from which it is read again."""


def utcnow() -> datetime:
    """Return the current time in UTC, without sub-millisecond digits (BSON keeps none)."""
    now = datetime.now(UTC)
    return now.replace(microsecond=now.microsecond // 1000 * 1000)


class Document(BaseModel):
    """Base of all documents: unknown fields are refused, so that a typo is seen."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # fits on a screen: what is empty is left out, what is long is cut or counted
        for name, value in super().__repr_args__():
            if value is not None and not (isinstance(value, Sized) and not len(value)):
                yield name, Shown(value)

    def _repr_html_(self) -> str:
        return html_rows(type(self).__name__, self.__repr_args__())


def html_rows(title: str, rows: Iterable[tuple[Any, Any]]) -> str:
    """Return names and what stands beside them as an HTML table; everything is escaped.

    Parameters
    ----------
    title
        Above the table.
    rows
        Names, and strings or values of which the `repr` is shown.
    """
    cells = "".join(
        f"<tr><th style='text-align:left'>{escape(str(name))}</th><td style='text-align:left'>"
        f"{escape(value if isinstance(value, str) else repr(value))}</td></tr>"
        for name, value in rows
    )
    return f"<table><caption>{escape(title)}</caption><tbody>{cells}</tbody></table>"


class Shown:
    """A value as a document's `repr` shows it: short, whatever it holds.

    Parameters
    ----------
    value
        The value.
    depth
        How many levels of documents are opened.
    """

    def __init__(self, value: Any, depth: int = 2) -> None:
        self._value, self._depth = value, depth

    def __repr__(self) -> str:
        value = self._value
        if isinstance(value, Structure):
            return f"{value.composition.reduced_formula}, {len(value)} sites"
        if isinstance(value, BaseModel):
            text = repr(value) if self._depth > 1 else type(value).__name__
        elif isinstance(value, Mapping):
            items = list(value.items())
            parts = [f"{name}: {Shown(item, 1)!r}" for name, item in items[:_MOST_ITEMS]]
            text = "{" + ", ".join([*parts, *_rest(items)]) + "}"
        elif isinstance(value, list | tuple):
            if any(isinstance(item, BaseModel | Mapping | Structure) for item in value):
                kinds = sorted({type(item).__name__ for item in value})
                return f"[{len(value)} × {' or '.join(kinds)}]"
            parts = [repr(Shown(item, 1)) for item in value[:_MOST_ITEMS]]
            text = "[" + ", ".join([*parts, *_rest(value)]) + "]"
        elif isinstance(value, datetime):
            return value.isoformat(timespec="seconds")
        else:
            text = repr(value)
            if isinstance(value, float) and len(text) > 9:
                text = f"{value:.6g}"
        longest = _LONGEST if self._depth < 2 else 2 * _LONGEST
        return text if len(text) <= longest else f"{text[: longest - 2]} …"


_MOST_ITEMS = 6
"""Items of a list or mapping that a `repr` shows."""

_LONGEST = 70
"""Characters of one value that a `repr` shows, twice as many for a field's own."""


def _rest(items: Sequence[Any]) -> list[str]:
    return [f"… {len(items) - _MOST_ITEMS} more"] if len(items) > _MOST_ITEMS else []


BATCH_SIZE = 100
"""Documents in one blob of the additional store. A candidate of 240 atoms takes 85 kB, so
a hundred stay below MongoDB's 16 MB; a thousand blobs of one candidate each would take the
file-based stores minutes, whose upserts are quadratic."""

ROWS_SIZE = 2000
"""Rows of a table in one blob: a row has some 2 kB."""

BATCH = "batch"
"""Key under which a batch lies in a job's output, and which goes to the store ``data``."""

DATA = [BATCH]
"""The ``data=`` argument of the job decorator: what goes into the additional store."""

ItemT = TypeVar("ItemT")


def _to_batches(items: list[Any], info: SerializationInfo) -> list[dict[str, Any]]:
    dumped = [item.model_dump(mode=info.mode) for item in items]
    return [
        {BATCH: dumped[start : start + BATCH_SIZE]} for start in range(0, len(dumped), BATCH_SIZE)
    ]


def _rows_to_batches(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    starts = range(0, len(rows), ROWS_SIZE)
    return [{BATCH: rows[start : start + ROWS_SIZE]} for start in starts]


def from_batches(value: Any) -> Any:
    """Return a list that is stored in batches as the list that it is; anything else as given."""
    if not isinstance(value, list | tuple) or not any(map(_is_batch, value)):
        return value
    return [item for part in value for item in (part[BATCH] if _is_batch(part) else [part])]


def without_marks(value: Any) -> Any:
    """Return a document without monty's class marks, but for those of structures.

    Documents refuse the marks (``@module``, ``@class``) as unknown fields.
    """
    if isinstance(value, Mapping):
        if value.get("@class") in ("Structure", "Composition", "Lattice"):
            return dict(value)
        return {
            name: without_marks(item) for name, item in value.items() if not name.startswith("@")
        }
    if isinstance(value, list | tuple):
        return [without_marks(item) for item in value]
    return value


def _is_batch(item: Any) -> bool:
    return isinstance(item, Mapping) and set(item) == {BATCH}


Batched = Annotated[
    list[ItemT],
    BeforeValidator(from_batches),
    PlainSerializer(_to_batches),
]
"""A list that is stored in batches, ``[{"batch": [...]}, ...]``, and read as a plain list."""


BatchedRows = Annotated[
    list[dict[str, Any]],
    BeforeValidator(from_batches),
    PlainSerializer(_rows_to_batches),
]
"""Rows of a table, stored in batches of :data:`ROWS_SIZE`, and read as a plain list."""

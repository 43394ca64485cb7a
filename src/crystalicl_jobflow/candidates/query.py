"""Find stored candidates by what they are: any maggma store, the same questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from maggma.core import Sort, Store
from pymatgen.core import Structure

from crystalicl_jobflow.candidates.blobs import BlobStore, blobs_for, resolve_blobs
from crystalicl_jobflow.candidates.candidate_query import (
    CandidateQuery,
    field_name,
    joined,
    terms_of,
)
from crystalicl_jobflow.candidates.indexes import CANDIDATE_KEY
from crystalicl_jobflow.candidates.metadata_fields import as_structure
from crystalicl_jobflow.candidates.ordering import as_moment
from crystalicl_jobflow.candidates.writing import RETRY_SECONDS, retrying
from crystalicl_jobflow.crystal.metadata import CELL_FIELDS
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.base import without_marks
from crystalicl_jobflow.schemas.stored_candidate import CandidateDoc


@dataclass(frozen=True)
class Access:
    """How stored candidates are reached.

    Parameters
    ----------
    blobs
        Where large fields lie, see :func:`~crystalicl_jobflow.candidates.blobs.blobs_for`.
    patience
        Seconds for which a page is asked for again where the server is away.
    """

    blobs: Store | BlobStore | None = None
    patience: float = RETRY_SECONDS


DEFAULT_ACCESS = Access()


def find_documents(
    store: Store,
    query: CandidateQuery | None = None,
    *,
    sort: str | None = None,
    descending: bool = False,
    limit: int | None = None,
    skip: int = 0,
    fields: Sequence[str] | None = None,
    access: Access = DEFAULT_ACCESS,
) -> Iterator[dict[str, Any]]:
    """Yield the documents that answer a question.

    Parameters
    ----------
    store
        A connected store of candidates.
    query
        The question; None for all.
    sort
        Field to sort by. Candidates without a value come last, whatever the direction.
    descending
        Largest first.
    limit, skip
        At most so many, after so many.
    fields
        Fields to return, dotted below others; all by default. The id is always there.
    access
        Where large fields lie, and how long an absent server is waited for.

    Raises
    ------
    ValueError
        If a field is not known, or a number negative; one line.
    """
    if (limit is not None and limit < 1) or skip < 0:
        raise ValueError("a limit is at least 1, and what is passed over at least 0")
    criteria = (query or CandidateQuery()).mongo_criteria
    names = None
    if fields is not None:
        names = list(dict.fromkeys([CANDIDATE_KEY, *(field_name(name) for name in fields)]))
    order = None if sort is None else field_name(sort)
    place = blobs_for(store, access.blobs)
    ask = partial(_ask, store, names, access.patience)
    for document in _pages(ask, store, criteria, order, -1 if descending else 1, limit, skip):
        document.pop("_id", None)
        yield _in_order(resolve_blobs(document, place), names)


def _in_order(document: dict[str, Any], names: list[str] | None) -> dict[str, Any]:
    """Return a document with its fields in the order in which they were asked for."""
    if names is None:
        return document
    heads = dict.fromkeys(name.partition(".")[0] for name in names)
    return {head: document[head] for head in heads if head in document} | document


def _pages(
    ask: Callable[..., Iterator[dict[str, Any]]],
    store: Store,
    criteria: dict[str, Any],
    order: str | None,
    way: int,
    limit: int | None,
    skip: int,
) -> Iterator[dict[str, Any]]:
    """Yield sorted documents: those with a value, then those without."""
    if order is None:
        yield from ask(criteria, None, limit or 0, skip)
        return
    with_value = joined([*terms_of(criteria), {order: {"$ne": None}}])
    found = 0
    for document in ask(with_value, {order: way}, limit or 0, skip):
        found += 1
        yield document
    if limit is not None and found >= limit:
        return
    if found == 0 and skip:  # the page may lie among those without a value
        skip -= min(skip, store.count(with_value))
    elif found:
        skip = 0
    without = joined([*terms_of(criteria), {order: None}])
    yield from ask(without, None, (limit - found) if limit else 0, skip)


def _ask(
    store: Store,
    names: list[str] | None,
    patience: float,
    criteria: dict[str, Any],
    sort: dict[str, Sort | int] | None,
    limit: int,
    skip: int,
) -> Iterator[dict[str, Any]]:
    if limit:  # a page is asked for again as a whole where the server goes away
        yield from retrying(
            lambda: list(store.query(criteria, names, sort=sort, limit=limit, skip=skip)),
            seconds=patience,
        )
        return
    yield from store.query(criteria, names, sort=sort, skip=skip)


def count_documents(
    store: Store, query: CandidateQuery | None = None, *, patience: float = RETRY_SECONDS
) -> int:
    """Return how many candidates answer a question; ``patience`` as in find_documents."""
    question = query or CandidateQuery()
    return retrying(lambda: store.count(question.mongo_criteria), seconds=patience)


def find_structures(
    store: Store, query: CandidateQuery | None = None, **how: Any
) -> Iterator[tuple[str, Structure]]:
    """Yield id and crystal of the candidates that answer a question and have one.

    Parameters
    ----------
    store, query
        As for :func:`find_documents`.
    **how
        Its ``sort``, ``descending``, ``limit``, ``skip`` and ``access``.
    """
    for document in find_documents(store, query, fields=["structure"], **how):
        if document.get("structure") is not None:
            yield document[CANDIDATE_KEY], as_structure(document["structure"])


def query_candidates(
    store: Store,
    *,
    sort: str | None = None,
    descending: bool = False,
    limit: int | None = None,
    skip: int = 0,
    blobs: Store | BlobStore | None = None,
    **question: Any,
) -> list[Candidate]:
    """Search stored candidates by what they are (not by what was asked for).

    Parameters
    ----------
    store
        A connected store of candidates.
    sort, descending, limit, skip
        As for :func:`find_documents`.
    blobs
        Where large fields lie, see :func:`~crystalicl_jobflow.candidates.blobs.blobs_for`.
    **question
        The fields of :class:`CandidateQuery`.

    Returns
    -------
    list of Candidate
        Those that meet everything, as the validation made them: with the crystal that the
        text describes, not the relaxed one. Texts that were not validated are not among them.

    Raises
    ------
    ConditionError
        If a formula, element, group or property is not known, or a range reversed.

    Examples
    --------
    >>> from crystalicl_jobflow.candidates import open_candidate_store
    >>> store = open_candidate_store("memory:")
    >>> query_candidates(store, elements=["Ca", "O"], valid=True, properties={"band_gap": (1, 3)})
    []
    """
    found = find_documents(
        store, CandidateQuery(**question), sort=sort, descending=descending, limit=limit, skip=skip,
        access=Access(blobs=blobs),
    )  # fmt: skip
    return [read_candidate(document) for document in found if document.get("stage") != "generated"]


def read_document(document: Mapping[str, Any]) -> CandidateDoc:
    """Return a stored document as its schema, pymatgen objects in it.

    Raises
    ------
    pydantic.ValidationError
        If it is none.
    """
    return CandidateDoc.model_validate(without_marks(document))


def read_candidate(document: Mapping[str, Any]) -> Candidate:
    """Return the candidate of a stored document, as the validation made it."""
    known = without_marks({k: v for k, v in document.items() if k != "structure"})
    generated = known.get("generated") or {}
    structure = (document.get("generated") or {}).get("structure") or document.get("structure")
    fields = {name: known[name] for name in Candidate.model_fields if known.get(name) is not None}
    fields |= {name: generated.get(name) for name in CELL_FIELDS if name in generated}
    if "nsites_primitive" not in known:  # a document of an earlier version
        fields["nsites_primitive"] = fields.pop("nsites", None)
    created = as_moment(known.get("created_at"))
    if created is not None:
        fields["created_at"] = created.isoformat() + "Z"
    return Candidate.model_validate({**fields, "structure": structure if generated else None})

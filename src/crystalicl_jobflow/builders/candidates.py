"""The store of candidates: one queryable document per generated crystal."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from maggma.core import Builder, Store
from maggma.stores import MemoryStore, MongoStore

from crystalicl_jobflow.schemas import Candidate, Condition, Range, find_property
from crystalicl_jobflow.stores import StoreSpec, connect_store, open_store, write_documents

if TYPE_CHECKING:
    from jobflow import JobStore

CANDIDATES = "candidates"
"""Name of the collection that holds the candidates."""

CANDIDATE_KEY = "candidate_id"
"""Key field of the candidates."""

JOB_FIELDS = ("job_uuid", "job_index")
"""Fields that the Builder adds to a candidate: the job it comes from."""

INDEXED = ("formula", "chemsys", "elements", "space_group", "valid", "job_uuid")


def open_candidate_store(spec: StoreSpec, *, must_exist: bool = False) -> Store:
    """Open a store of candidates, in any form :func:`~crystalicl_jobflow.stores.open_store` takes.

    Parameters
    ----------
    spec
        Path, URI, configuration or store.
    must_exist
        Refuse a file or folder that does not exist instead of creating it.

    Raises
    ------
    ValueError
        If the spec is not understood; one line.
    """
    return open_store(spec, CANDIDATES, key=CANDIDATE_KEY, must_exist=must_exist)


def store_candidates(
    candidates: Iterable[Candidate],
    store: Store,
    *,
    fields: Mapping[str, Any] | None = None,
) -> int:
    """Store candidates, in bulk; one with a known id takes the known one's place.

    Parameters
    ----------
    candidates
        Candidates; of several with one id the last is stored.
    store
        A connected store with the key ``candidate_id``.
    fields
        Further fields for each document, such as the job it comes from.

    Returns
    -------
    int
        Number of documents that are new or changed.

    Raises
    ------
    ValueError
        If the store has another key.
    """
    if store.key != CANDIDATE_KEY:
        raise ValueError(f"a candidates store has the key {CANDIDATE_KEY!r}, not {store.key!r}")
    documents = {
        candidate.candidate_id: {**_document(candidate), **(fields or {})}
        for candidate in candidates
    }
    if not documents:
        return 0
    if isinstance(store, MongoStore) and not isinstance(store, MemoryStore):
        for name in (CANDIDATE_KEY, *INDEXED):
            store.ensure_index(name, unique=name == CANDIDATE_KEY)
        return write_documents(store, documents.values())
    # Replacing is a search through everything in the file-based stores, so what is the same
    # already is left alone: storing again what is stored costs one reading.
    known = {
        stored[CANDIDATE_KEY]: _same(stored, documents[stored[CANDIDATE_KEY]])
        for stored in store.query()
        if stored[CANDIDATE_KEY] in documents
    }
    changed = [document for name, document in documents.items() if not known.get(name, False)]
    return write_documents(store, changed, existing=set(known))


def query_candidates(
    store: Store,
    *,
    formula: str | None = None,
    elements: Sequence[str] | str | None = None,
    chemsys: str | None = None,
    space_group: int | str | Sequence[int] | None = None,
    valid: bool | None = None,
    properties: Mapping[str, float | Range | tuple[float | None, float | None]] | None = None,
    criteria: Mapping[str, Any] | None = None,
    limit: int | None = None,
) -> list[Candidate]:
    """Search stored candidates by what they are (not by what was asked for).

    Parameters
    ----------
    store
        A connected store of candidates.
    formula
        Formula; its reduced form is compared.
    elements
        Elements that must be present; others may be.
    chemsys
        The exact chemical system, e.g. 'Ca-O-Ti'.
    space_group
        Number or symbol found in the crystal, or several.
    valid
        Only valid or only invalid ones.
    properties
        Property name or alias to a range, or to a value (met within 1e-6).
    criteria
        Further conditions in MongoDB's language.
    limit
        At most so many, in the order of the store.

    Returns
    -------
    list of Candidate
        Those that meet everything.

    Raises
    ------
    ConditionError
        If a formula, element, group or property is not known, or a range reversed.

    Examples
    --------
    >>> store = open_candidate_store("memory:")
    >>> query_candidates(store, elements=["Ca", "O"], valid=True, properties={"band_gap": (1, 3)})
    []
    """
    asked = Condition.build(
        formula=formula,
        elements=elements,
        chemsys=chemsys,
        space_group=space_group,
        properties=dict(properties) if properties else None,
    )
    terms: list[dict[str, Any]] = [dict(criteria)] if criteria else []
    if asked.formula is not None:
        terms.append({"formula": asked.formula})
    if asked.elements is not None:
        terms.append({"elements": {"$all": list(asked.elements)}})
    if asked.chemsys is not None:
        terms.append({"chemsys": asked.chemsys})
    if asked.space_groups is not None:
        groups = asked.space_groups
        terms.append({"space_group": groups[0] if len(groups) == 1 else {"$in": list(groups)}})
    if valid is not None:
        terms.append({"valid": valid})
    terms += [
        {f"properties.{name}": _bounds(value)}
        for name, value in asked.properties.items()
        if find_property(name) is not None
    ]
    found = store.query({"$and": terms} if terms else {}, limit=limit or 0)
    return [read_candidate(document) for document in found]


def read_candidate(document: Mapping[str, Any]) -> Candidate:
    """Return the candidate in a stored document, without what stores add to it."""
    return Candidate.model_validate(
        {name: value for name, value in document.items() if name in Candidate.model_fields}
    )


class CandidateBuilder(Builder):
    """Copy the candidates of validation jobs from a job store into a store of their own.

    Incremental: jobs whose candidates are there already are passed over.

    Parameters
    ----------
    job_store
        Job store with the outputs of ``ValidateMaker`` jobs and its additional stores.
    candidates
        Store with the key ``candidate_id``.
    query
        Further conditions on the job documents, in MongoDB's language, e.g.
        ``{"metadata.project": "perovskites"}``.
    rebuild
        Whether jobs are read again whose candidates are there already.
    chunk_size
        Jobs whose candidates are written at once.

    Examples
    --------
    >>> from jobflow import SETTINGS
    >>> from crystalicl_jobflow.builders.candidates import CandidateBuilder, open_candidate_store
    >>> builder = CandidateBuilder(SETTINGS.JOB_STORE, open_candidate_store("memory:"))
    >>> builder.run()  # doctest: +SKIP
    """

    def __init__(
        self,
        job_store: JobStore,
        candidates: Store,
        *,
        query: Mapping[str, Any] | None = None,
        rebuild: bool = False,
        chunk_size: int = 10,
    ) -> None:
        self.job_store = job_store
        self.candidates = candidates
        self.query = dict(query or {})
        self.rebuild = rebuild
        super().__init__(sources=job_store, targets=candidates, chunk_size=chunk_size)

    def connect(self) -> None:
        """Connect both stores; a JSON file is read in one go."""
        self.job_store.connect()
        connect_store(self.candidates)

    def get_items(self) -> Iterator[dict[str, Any]]:
        """Yield the documents of validation jobs, with their candidates."""
        criteria = {"output.@class": "ValidateDoc", **self.query}
        done = set() if self.rebuild else set(self.candidates.distinct("job_uuid"))
        names = [
            (document["uuid"], document["index"])
            for document in self.job_store.query(criteria, properties=["uuid", "index"])
            if document["uuid"] not in done
        ]
        self.total = len(names)
        for uuid, index in names:
            try:
                document = self.job_store.query_one({"uuid": uuid, "index": index}, load=True)
            except KeyError as error:
                # a job whose blobs were removed must not hide all others
                self.logger.warning("job %s: its data is missing (%s), passed over", uuid, error)
                continue
            if document is not None:
                yield document

    def process_item(self, item: dict[str, Any]) -> tuple[dict[str, Any], list[Candidate]]:
        """Return the job's name and its candidates."""
        job = {"job_uuid": item["uuid"], "job_index": item["index"]}
        batches = item["output"]["candidates"]
        return job, [read_candidate(entry) for batch in batches for entry in batch["batch"]]

    def update_targets(self, items: list[tuple[dict[str, Any], list[Candidate]]]) -> None:
        """Store the candidates."""
        for job, candidates in items:
            store_candidates(candidates, self.candidates, fields=job)

    def run(self, log_level: int = logging.WARNING) -> None:
        """Copy what is new.

        Parameters
        ----------
        log_level
            Level of this Builder's own logger; maggma's would change the root logger.
        """
        self.logger.setLevel(log_level)
        self.connect()
        for item in self.get_items():
            self.update_targets([self.process_item(item)])
        self.finalize()

    def finalize(self) -> None:
        """Leave the stores open: they are their owner's, and one in memory cannot reopen."""


def _document(candidate: Candidate) -> dict[str, Any]:
    document = candidate.model_dump(mode="json")
    # a date, not its text: databases sort and compare it
    document["created_at"] = candidate.created_at
    return document


def _same(stored: Mapping[str, Any], document: Mapping[str, Any]) -> bool:
    """Return whether nothing but the moment of the checks differs."""
    return all(
        stored.get(name) == value for name, value in document.items() if name != "created_at"
    )


def _bounds(asked: float | Range) -> dict[str, float]:
    if not isinstance(asked, Range):
        return {"$gte": asked - 1e-6, "$lte": asked + 1e-6}
    bounds = {}
    if asked.min is not None:
        bounds["$gte"] = asked.min
    if asked.max is not None:
        bounds["$lte"] = asked.max
    return bounds

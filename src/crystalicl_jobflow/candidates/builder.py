"""The store of candidates: job outputs become one queryable document per crystal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from maggma.core import Store
from maggma.stores import MemoryStore

from crystalicl_jobflow.candidates.blobs import BlobStore, blobs_for
from crystalicl_jobflow.candidates.contributions import SOURCES, Part, candidate_part, job_parts
from crystalicl_jobflow.candidates.indexes import CANDIDATE_KEY, ensure_indexes
from crystalicl_jobflow.candidates.writing import retrying, write_parts
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.stores import connect_store, refuse_code
from crystalicl_jobflow.stores.serial_builder import SerialBuilder
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.redaction import redact

if TYPE_CHECKING:
    from jobflow import JobStore


def store_candidates(
    candidates: Iterable[Candidate],
    store: Store,
    *,
    run: str | None = None,
    blobs: Store | BlobStore | None = None,
    updated: datetime | None = None,
) -> int:
    """Store candidates, in bulk; what is known of them from jobs stays.

    Parameters
    ----------
    candidates
        Candidates; of several with one id the last is stored, and takes the place of what
        was stored of its text and checks before.
    store
        A connected store with the key ``candidate_id``.
    run
        A name for where they come from, by which they can be found.
    blobs
        Where large fields go, see :func:`~crystalicl_jobflow.candidates.blobs.blobs_for`.
    updated
        When they changed; now by default.

    Returns
    -------
    int
        Number of documents that are new or changed.

    Raises
    ------
    ValueError
        If the store has another key.
    """
    _check_key(store)
    parts = []
    for candidate in candidates:
        part = candidate_part(candidate.model_dump(mode="json"))
        part.replaces = True
        part.run_ids = {run} if run else set()
        parts.append(part)
    if parts:
        retrying(lambda: ensure_indexes(store))
    return write_parts(parts, store, blobs=blobs_for(store, blobs), updated=updated)


class CandidateBuilder(SerialBuilder):
    """Gather what jobs say about candidates into one document each.

    Reads the outputs of generation, validation, evaluation and relaxation jobs, and of any
    job of atomate2 whose metadata names its candidate (``candidate_id``, or ``candidate_ids``
    in the order of a list of crystals). Structure optimisations become its relaxations, all
    other jobs are listed among its ``calculations``.

    Incremental: a job that was read to its end is not read again, until it runs again. Safe to
    stop at any moment and to run again, and beside other builders: jobs may come in any order,
    and each only adds to the documents.

    Parameters
    ----------
    job_store
        Job store with its additional stores.
    candidates
        Store with the key ``candidate_id``.
    blobs
        Where fields go that are too large for one document: a maggma store with the key
        ``blob_uuid``. By default GridFS beside the collection, on a MongoDB server.
    query
        Further conditions on the job documents, in MongoDB's language, e.g.
        ``{"metadata.project": "perovskites"}``.
    rebuild
        Whether jobs are read again that were read before.
    time_zone
        Zone of the workers, as ``Europe/Berlin``: jobflow writes their local time without it.
        Needed only for jobs of other packages, between which nothing but the time tells which
        is later; None: their times are compared as they are written.
    chunk_size
        Jobs whose parts are merged at once; more for stores in memory and in files.

    Examples
    --------
    >>> from jobflow import SETTINGS
    >>> from crystalicl_jobflow.candidates import CandidateBuilder, open_candidate_store
    >>> builder = CandidateBuilder(SETTINGS.JOB_STORE, open_candidate_store("memory:"))
    >>> builder.run()  # doctest: +SKIP
    """

    def __init__(
        self,
        job_store: JobStore,
        candidates: Store,
        *,
        blobs: Store | None = None,
        query: Mapping[str, Any] | None = None,
        rebuild: bool = False,
        time_zone: str | None = None,
        chunk_size: int = 10,
    ) -> None:
        _check_key(candidates)
        self.job_store = job_store
        self.candidates = candidates
        self.blobs = blobs
        refuse_code(query)
        self.query = dict(query or {})
        self.rebuild = rebuild
        self.zone = None if time_zone is None else _zone(time_zone)
        super().__init__(sources=job_store, targets=candidates, chunk_size=chunk_size)

    def connect(self) -> None:
        """Connect both stores; a JSON file is read in one go."""
        self.job_store.connect()
        connect_store(self.candidates)

    def get_items(self) -> Iterator[dict[str, Any]]:
        """Yield the documents of jobs that speak of candidates, with their large data."""
        retrying(lambda: ensure_indexes(self.candidates))
        criteria = {"$and": [SOURCES, self.query]} if self.query else SOURCES
        done: set[str] = set()
        if not self.rebuild:
            done = set(retrying(lambda: self.candidates.distinct("completes")))
        fields = ["uuid", "index", "completed_at"]
        found = retrying(lambda: list(self.job_store.query(criteria, properties=list(fields))))
        names = [
            (document["uuid"], document["index"])
            for document in sorted(found, key=lambda item: str(item.get("completed_at")))
            if _mark(document) not in done
        ]
        self.total = len(names)
        for uuid, index in names:
            wanted = {"uuid": uuid, "index": index}
            try:
                document = retrying(lambda: self.job_store.query_one(wanted, load=True))  # noqa: B023
            except KeyError as error:
                # a job whose blobs were removed must not hide all others
                self.logger.warning("job %s: its data is missing (%s), passed over", uuid, error)
                continue
            if document is not None:
                yield document

    def process_item(self, item: dict[str, Any]) -> list[Part]:
        """Return what the job says about its candidates.

        A job whose output is not understood contributes nothing, with a warning.
        """
        try:
            parts = list(job_parts(item, zone=self.zone))
        except (KeyError, TypeError, ValueError) as error:
            self.logger.warning(
                "job %s: its output is not understood (%s: %s), passed over",
                item.get("uuid"), type(error).__name__, redact(first_line(error)),
            )  # fmt: skip
            return []
        if parts:
            # written last, and only when everything else of the job has been: a builder that
            # is killed in between reads the job again
            parts.append(Part(parts[0].candidate_id, completes={_mark(item)}))
        return parts

    def update_targets(self, items: list[list[Part]]) -> None:
        """Merge the parts into the store."""
        blobs = retrying(lambda: blobs_for(self.candidates, self.blobs))
        every = [part for parts in items for part in parts]
        write_parts((part for part in every if not part.completes), self.candidates, blobs=blobs)
        write_parts((part for part in every if part.completes), self.candidates, blobs=blobs)

    def is_large_enough(self, chunk: list[list[Part]]) -> bool:
        """Return whether a chunk is worth a write.

        The stores in memory and in files are read, and files written, as a whole each time.
        Chunks that grow with the store keep the whole run in proportion to its candidates.
        """
        if not isinstance(self.candidates, MemoryStore):
            return True
        return sum(map(len, chunk)) >= self.candidates.count()

    def finalize(self) -> None:
        """Leave the stores open: they are their owner's, and one in memory cannot reopen."""


def _check_key(store: Store) -> None:
    if store.key != CANDIDATE_KEY:
        raise ValueError(f"a candidates store has the key {CANDIDATE_KEY!r}, not {store.key!r}")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ValueError, ZoneInfoNotFoundError):
        raise ValueError(f"time_zone {name!r} is not known; one such as Europe/Berlin") from None


def _mark(job: Mapping[str, Any]) -> str:
    """Return the name of one run of one job."""
    return f"{job['uuid']}/{job['index']}/{job.get('completed_at') or ''}"

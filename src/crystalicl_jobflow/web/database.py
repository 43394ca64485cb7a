"""The store whose past runs a page shows, asked from one thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import Any, TypeVar

from maggma.core import Store

from crystalicl_jobflow.candidates import (
    Access,
    CandidateQuery,
    count_documents,
    find_documents,
    store_candidates,
)
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.web.limits import Limits
from crystalicl_jobflow.web.questions import Search
from crystalicl_jobflow.web.work import FullError

Found = TypeVar("Found")

_AT_ONCE = Access(patience=0)  # a server that is away is told, not waited for


class Database:
    """A store of candidates.

    Every question goes through one thread: not every store may be used from several.

    Parameters
    ----------
    open_it
        Opens and connects the store.
    label
        The store in words, without passwords.
    limits
        How long a question may take, and how many candidates a page or a download has.
    """

    def __init__(self, open_it: Callable[[], Store], label: str, limits: Limits) -> None:
        self.label, self.limits = label, limits
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        self._store: Store = self._thread.submit(open_it).result()

    def page(self, search: Search) -> tuple[list[dict[str, Any]], int]:
        """Return a page of the documents that answer a question, and how many do in all."""
        number = self.limits.shown
        return self._ask(
            lambda: (
                self._found(search, limit=number, skip=number * (search.page - 1)),
                count_documents(self._store, search.query, patience=0),
            )
        )

    def all(self, search: Search) -> list[dict[str, Any]]:
        """Return the documents that answer a question, as many as a download may have."""
        return self._ask(lambda: self._found(search, limit=self.limits.downloaded))

    def one(self, candidate_id: str) -> dict[str, Any] | None:
        """Return one document by its id."""
        search = Search(CandidateQuery(candidate_ids=candidate_id))
        found = self._ask(lambda: self._found(search, limit=2))
        return found[0] if len(found) == 1 else None

    def write(self, candidates: Sequence[Candidate], run: str) -> None:
        """Store candidates under the name of a run."""
        self._thread.submit(store_candidates, candidates, self._store, run=run).result()

    def close(self) -> None:
        """Wait for what is being written, and close the store."""
        self._thread.submit(self._store.close)
        self._thread.shutdown(wait=True, cancel_futures=False)

    def _found(self, search: Search, *, limit: int, skip: int = 0) -> list[dict[str, Any]]:
        return list(
            find_documents(
                self._store, search.query, sort=search.sort, descending=search.descending,
                limit=limit, skip=skip, access=_AT_ONCE,
            )
        )  # fmt: skip

    def _ask(self, question: Callable[[], Found]) -> Found:
        asked = self._thread.submit(question)
        try:
            return asked.result(timeout=self.limits.query_seconds)
        except LateError:
            asked.cancel()
            raise FullError(
                f"the store did not answer within {self.limits.query_seconds:g} s: ask for less"
            ) from None

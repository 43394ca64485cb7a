"""A server without a model: it recites, at once or when it is told to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from starlette.testclient import TestClient

from checked_crystals import CSCL, NACL
from crystalicl_jobflow.candidates import open_candidate_store, store_candidates
from crystalicl_jobflow.generation import Writing
from crystalicl_jobflow.schemas import Candidate, Condition, SamplingParams
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.web import Limits
from crystalicl_jobflow.web.app import build_app
from crystalicl_jobflow.web.database import Database
from crystalicl_jobflow.web.generating import Generating
from crystalicl_jobflow.web.guard import Doorkeeping
from crystalicl_jobflow.web.place import Place
from crystalicl_jobflow.web.questions import Question
from crystalicl_jobflow.web.work import Work
from reciting import NO_CRYSTAL, PEROVSKITE, ROCK_SALT, RecitingGenerator

HERE = "http://127.0.0.1:8000"
HOSTILE = "</pre></script><script>window.broken = 1; alert(1)</script><img src=x onerror=alert(2)>"


class Held:
    """An answer that recites, text by text, while it is let."""

    def __init__(self) -> None:
        self.let = threading.Semaphore(0)
        self.begun = threading.Event()
        self.recite = reciting_answer()

    def __call__(self, question: Question, progress: Progress) -> Sequence[Candidate]:
        for done in range(question.samples):
            self.begun.set()
            self.let.acquire(timeout=30)
            progress(done + 1, question.samples)
        return self.recite(question, lambda done, total: None)

    def go_on(self, texts: int = 100) -> None:
        self.let.release(texts)


def reciting_answer(*texts: str) -> Generating:
    model = RecitingGenerator(texts or (ROCK_SALT, PEROVSKITE, NO_CRYSTAL, HOSTILE))
    writing = Writing(SamplingParams(max_redraws=0), constrain=False)
    return Generating(model, "reciting", None, shots=0, writing=writing)


Serving = Callable[..., TestClient]


@pytest.fixture
def serving() -> Iterator[Serving]:
    """Return a function that serves pages; everything is ended afterwards."""
    works: list[Work] = []

    def serve(
        answer: Any = None,
        *,
        limits: Limits | None = None,
        database: Database | None = None,
        doors: Doorkeeping | None = None,
    ) -> TestClient:
        limits = limits or Limits()
        keep = None if database is None else database.write
        work = Work(answer or reciting_answer(), limits, keep=keep)
        works.append(work)
        place = Place(work, "reciting", database, limits)
        return TestClient(
            build_app(place, doors), base_url=HERE, follow_redirects=False,
            headers={"accept": "application/json"},
        )  # fmt: skip

    yield serve
    for work in works:
        work.close()


@pytest.fixture
def held(serving: Serving) -> Iterator[Held]:
    answer = Held()
    yield answer
    answer.go_on(10_000)


def ask(client: TestClient, **fields: Any) -> dict[str, Any]:
    """Ask, and return the state of the run once it has ended."""
    asked = client.post("/runs", json=fields)
    assert asked.status_code == 201, asked.text
    return wait(client, asked.json()["id"])


def wait(client: TestClient, run_id: str, state: str | None = None) -> dict[str, Any]:
    pause = threading.Event()
    for _ in range(1500):
        found: dict[str, Any] = client.get(f"/runs/{run_id}/state").json()
        if found["state"] == state or (state is None and found["ended"]):
            return found
        pause.wait(0.02)
    raise AssertionError(f"still {found}")


@pytest.fixture
def database(make: Callable[..., Candidate]) -> Iterator[Database]:
    """Return a store of three candidates: rock salt, CsCl and a hostile text."""
    texts = {NACL: "NaCl", CSCL: "CsCl", HOSTILE: "NaCl"}
    candidates = [
        make(text, condition=Condition(formula=formula), sample_index=sample)
        for sample, (text, formula) in enumerate(texts.items())
    ]

    def open_it() -> Any:
        store = open_candidate_store("memory:")
        store_candidates(candidates, store, run="before")
        return store

    found = Database(open_it, "candidates.sqlite", Limits())
    yield found
    found.close()

"""One question at a time; what becomes of those that fail, take too long, or are stopped."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

import pytest

from crystalicl_jobflow.schemas import Candidate, Condition
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.web import Limits
from crystalicl_jobflow.web.questions import Question
from crystalicl_jobflow.web.work import FullError, Run, State, Work

from .conftest import Held, reciting_answer

NACL = Question(Condition(formula="NaCl"), samples=3)


def ended(run: Run) -> Run:
    until = time.monotonic() + 30
    while not run.ended:
        assert time.monotonic() < until
        time.sleep(0.01)
    return run


def test_questions_are_answered_one_after_the_other() -> None:
    at_once: list[int] = []
    running = threading.Semaphore(1)

    def answer(question: Question, progress: Progress) -> Sequence[Candidate]:
        at_once.append(running.acquire(blocking=False))
        try:
            return reciting_answer()(question, progress)
        finally:
            running.release()

    work = Work(answer, Limits())
    runs = [work.ask(NACL) for _ in range(5)]
    assert all(ended(run).state is State.DONE for run in runs)
    assert at_once == [True] * 5
    assert work.close()


@pytest.mark.parametrize(
    ("error", "state", "words"),
    [
        (ValueError("no such thing"), State.FAILED, "no such thing"),
        (RuntimeError("odd"), State.FAILED, "internal error: odd"),
        (ValueError("mongodb://me:secret@host/db is away"), State.FAILED, "host/db is away"),
        (MemoryError(), State.FAILED, "MemoryError"),
    ],
)
def test_a_question_that_fails_says_why_and_the_next_is_answered(
    error: Exception, state: State, words: str
) -> None:
    errors: list[Exception] = [error]

    def answer(question: Question, progress: Progress) -> Any:
        if errors:
            raise errors.pop()
        return reciting_answer()(question, progress)

    work = Work(answer, Limits())
    failed, well = ended(work.ask(NACL)), ended(work.ask(NACL))
    assert failed.state is state
    assert words in failed.message
    assert "secret" not in failed.message
    assert well.state is State.DONE
    work.close()


def test_a_question_that_takes_too_long_is_given_up() -> None:
    def answer(question: Question, progress: Progress) -> Any:
        for done in range(10_000):
            progress(done, 10_000)
            time.sleep(0.01)

    work = Work(answer, Limits(seconds=0.05))
    run = ended(work.ask(NACL))
    assert run.state is State.STOPPED
    assert run.message.startswith("given up after 0.05 s, with ")
    work.close()


def test_a_waiting_question_is_stopped_at_once(held: Held) -> None:
    work = Work(held, Limits())
    first, second = work.ask(NACL), work.ask(NACL)
    held.begun.wait(10)
    work.stop(second)
    assert second.state is State.STOPPED
    held.go_on()
    assert ended(first).state is State.DONE
    assert second.crystals is None
    work.close()


def test_the_end_of_the_server_is_told_to_every_question(held: Held) -> None:
    work = Work(held, Limits())
    runs = [work.ask(NACL) for _ in range(3)]
    held.begun.wait(10)
    held.go_on()
    assert work.close()
    assert [run.state for run in runs] == [State.STOPPED] * 3
    assert all("the server was ended" in run.message for run in runs)
    with pytest.raises(FullError, match="ended"):
        work.ask(NACL)


def test_old_answers_are_forgotten_and_waiting_questions_are_not(held: Held) -> None:
    work = Work(held, Limits(kept=2, waiting=5))
    held.go_on(10_000)
    old = [ended(work.ask(NACL)) for _ in range(4)]
    assert [work.find(run.run_id) is not None for run in old] == [False, False, True, True]
    work.close()


def test_an_answer_that_cannot_be_stored_is_there_all_the_same() -> None:
    def keep(candidates: Any, run: str) -> None:
        raise OSError("disk full")

    work = Work(reciting_answer(), Limits(), keep=keep)
    run = ended(work.ask(NACL))
    assert run.state is State.DONE
    assert run.message == "not stored: disk full"
    assert run.crystals is not None
    work.close()


def test_questions_wait_for_the_model_to_be_loaded() -> None:
    loaded, calls = threading.Event(), []

    def prepare() -> None:
        calls.append("prepare")
        loaded.wait(30)

    def answer(question: Question, progress: Progress) -> Sequence[Candidate]:
        calls.append("answer")
        return reciting_answer()(question, progress)

    work = Work(answer, Limits(), prepare=prepare)
    run = work.ask(NACL)
    assert work.loading
    assert run.state is State.WAITING
    loaded.set()
    assert ended(run).state is State.DONE
    assert not work.loading
    assert calls == ["prepare", "answer"]
    work.close()


def test_a_model_that_cannot_be_loaded_is_kept_as_a_fault() -> None:
    def prepare() -> None:
        raise OSError("no such model")

    work = Work(reciting_answer(), Limits(), prepare=prepare)
    run = work.ask(NACL)
    until = time.monotonic() + 30
    while work.fault is None:
        assert time.monotonic() < until
        time.sleep(0.01)
    assert work.close()
    assert run.state is State.STOPPED
    assert str(work.fault) == "no such model"

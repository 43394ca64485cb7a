"""Work in several processes: in order, and a process that dies costs one item."""

from __future__ import annotations

import os
import signal
import time

import pytest

from crystalicl_jobflow.utils.parallel import WorkerDiedError, map_list, parallel_map, time_limit


def square(number: int) -> int:
    """Return the square; 37 ends the process, as a crash in compiled code would."""
    if number == 37:
        os.kill(os.getpid(), signal.SIGKILL)
    return number * number


def lost(number: int) -> int:
    return -number


def test_an_item_that_kills_its_process_costs_no_other() -> None:
    found = list(parallel_map(square, range(60), processes=2, batch_size=4, on_death=lost))
    assert found == [-37 if number == 37 else number * number for number in range(60)]


def test_without_an_answer_for_it_the_item_is_named() -> None:
    with pytest.raises(WorkerDiedError, match="'37'"):
        map_list(square, range(60), processes=2)


def test_results_and_progress_come_in_order() -> None:
    calls: list[tuple[int, int]] = []
    found = map_list(
        square, range(20), processes=2, progress=lambda done, of: calls.append((done, of))
    )
    assert found == [number * number for number in range(20)]
    assert calls == [(done, 20) for done in range(1, 21)]


def test_less_than_one_process_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="processes must be at least 1, got 0"):
        map_list(square, [1], processes=0)


def work(seconds: float) -> str:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return "done"


def test_a_time_limit_counts_the_work_and_not_the_waiting() -> None:
    with pytest.raises(TimeoutError, match=r"longer than 0\.05 s"), time_limit(0.05):
        work(5)
    with time_limit(0.2):
        time.sleep(0.3)
    with time_limit(None):
        assert work(0.1) == "done"

"""Work in several processes: in order, bounded in memory, interruptible."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def default_processes() -> int:
    """Return the number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Cut items into lists of at most `size`."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch


def parallel_map(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    processes: int | None = None,
    batch_size: int = 16,
) -> Iterator[Result]:
    """Apply a picklable function to items in several processes.

    Parameters
    ----------
    function
        Must not raise for a bad item; what it raises ends the whole map.
    items
        Read as the work goes on, at most a few batches ahead.
    processes
        Processes; None for as many as there are cores, 1 for none beside this one.
    batch_size
        Items sent to a process at once.

    Yields
    ------
    Result
        In the order of the items.
    """
    processes = default_processes() if processes is None else processes
    source = batches(items, batch_size)
    # few items are not worth the processes
    head = list(islice(source, 2))
    if processes <= 1 or len(head) < 2:
        for batch in _chain(head, source):
            yield from map(function, batch)
        return
    # fork needs no __main__ guard in the user's script or notebook
    method = "fork" if "fork" in multiprocessing.get_all_start_methods() else "spawn"
    executor = ProcessPoolExecutor(
        processes, mp_context=multiprocessing.get_context(method), initializer=_quiet_worker
    )
    waiting: deque[Future[list[Result]]] = deque()
    try:
        for batch in _chain(head, source):
            waiting.append(executor.submit(_apply, function, batch))
            if len(waiting) >= 3 * processes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _chain(head: list[list[Item]], rest: Iterator[list[Item]]) -> Iterator[list[Item]]:
    yield from head
    yield from rest


def _apply(function: Callable[[Item], Result], batch: list[Item]) -> list[Result]:
    return [function(item) for item in batch]


def _quiet_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what to save
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in the body after some seconds, where the platform can.

    Signals interrupt only the main thread of a process on POSIX; elsewhere there is no
    limit.
    """
    main = threading.current_thread() is threading.main_thread()
    if not seconds or not main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took longer than {seconds:g} s")

    previous = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)

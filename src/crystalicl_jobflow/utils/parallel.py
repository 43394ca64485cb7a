"""Work in several processes: in order, bounded in memory, interruptible.

Workers are started afresh (joblib's loky): a fork of a process that runs torch can hang, and
loky, unlike ``spawn``, needs no ``__main__`` guard in a user's script or notebook. The workers
stay for the next call, and each computes with one thread.
"""

from __future__ import annotations

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager
from itertools import chain, islice
from typing import Any, TypeVar

from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.progress import Progress

Item = TypeVar("Item")
Result = TypeVar("Result")

_THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
ITEMS_PER_PROCESS = 2
"""Fewer are not worth the start of the processes: `map_list` then works in this one."""

_BATCHES_AHEAD = 3
"""Batches per process that are read and sent before their results are taken."""


DIED = "a worker process ended while it worked on this: a crash, or no memory left"
"""What is said of an item whose worker process ended."""


class WorkerDiedError(CrystalICLError, RuntimeError):
    """A worker process ended while it worked on an item."""


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
    on_death: Callable[[Item], Result] | None = None,
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
    on_death
        Gives the result of an item whose worker process ended (a crash in compiled code,
        no memory left); the other items are worked on again. None raises
        `WorkerDiedError`.

    Yields
    ------
    Result
        In the order of the items.

    Raises
    ------
    WorkerDiedError
        If a worker process ended and there is no `on_death`.
    """
    processes = default_processes() if processes is None else processes
    source = batches(items, batch_size)
    # few items are not worth the processes
    head = list(islice(source, 2))
    if processes <= 1 or len(head) < 2:
        for batch in chain(head, source):
            yield from map(function, batch)
        return
    waiting: deque[tuple[list[Item], Future[list[Result]]]] = deque()
    try:
        for batch in chain(head, source):
            waiting.append((batch, _executor(processes).submit(_apply, function, batch)))
            if len(waiting) >= _BATCHES_AHEAD * processes:
                yield from _results(function, *waiting.popleft(), processes, on_death)
        while waiting:
            yield from _results(function, *waiting.popleft(), processes, on_death)
    finally:
        for _, future in waiting:
            future.cancel()


def map_list(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    processes: int = 1,
    progress: Progress | None = None,
    on_death: Callable[[Item], Result] | None = None,
) -> list[Result]:
    """Return the function's result for every item, in the items' order.

    Parameters
    ----------
    function
        Importable function of one item.
    items
        What to work on.
    processes
        Worker processes; 1 works in this one, as few items always do (see
        :data:`ITEMS_PER_PROCESS`).
    progress
        Called after every item.
    on_death
        As in `parallel_map`.

    Raises
    ------
    ValueError
        If there is less than one process.
    WorkerDiedError
        As in `parallel_map`.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    if len(items) < ITEMS_PER_PROCESS * processes:
        processes = 1
    # items may take very different times: small batches keep all processes busy
    batch_size = max(1, min(16, len(items) // (8 * processes)))
    results: list[Result] = []
    for result in parallel_map(
        function, items, processes=processes, batch_size=batch_size, on_death=on_death
    ):
        results.append(result)
        if progress is not None:
            progress(len(results), len(items))
    return results


def _executor(processes: int) -> Executor:
    from joblib.externals.loky import get_reusable_executor

    # the same workers as long as they live; new ones after a death
    executor: Executor = get_reusable_executor(processes, initializer=_quiet_worker, env=_THREADS)
    return executor


def _results(
    function: Callable[[Item], Result],
    batch: list[Item],
    future: Future[list[Result]],
    processes: int,
    on_death: Callable[[Item], Result] | None,
) -> list[Result]:
    """Return a batch's results; find the item that ended its worker, where one did."""
    try:
        return future.result()
    except BrokenExecutor:
        pass  # one death breaks all batches under way: most of them are innocent
    try:
        return _executor(processes).submit(_apply, function, batch).result()
    except BrokenExecutor:
        return [_one_result(function, item, processes, on_death) for item in batch]


def _one_result(
    function: Callable[[Item], Result],
    item: Item,
    processes: int,
    on_death: Callable[[Item], Result] | None,
) -> Result:
    try:
        return _executor(processes).submit(function, item).result()
    except BrokenExecutor:
        if on_death is None:
            raise WorkerDiedError(
                f"a worker process ended while it worked on {str(item)[:80]!r}"
            ) from None
        return on_death(item)


def _apply(function: Callable[[Item], Result], batch: list[Item]) -> list[Result]:
    return [function(item) for item in batch]


def _quiet_worker() -> None:
    # Ctrl-C reaches the whole process group; the parent alone decides what to save
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@contextmanager
def time_limit(seconds: float | None) -> Iterator[None]:
    """Raise TimeoutError in the body after some seconds of CPU time, where the platform can.

    CPU time of the whole process: what else a machine does decides nothing. Signals interrupt
    only the main thread of a process on POSIX; elsewhere there is no limit.
    """
    main = threading.current_thread() is threading.main_thread()
    if not seconds or not main or not hasattr(signal, "setitimer"):
        yield
        return

    def stop(*_: Any) -> None:
        raise TimeoutError(f"took longer than {seconds:g} s")

    previous = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)

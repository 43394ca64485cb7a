"""Threads that wait for answers without delaying the end of the process."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

Task = TypeVar("Task")
Result = TypeVar("Result")


class Workers(Generic[Task, Result]):
    """Threads that all run the same function.

    Unlike those of ``concurrent.futures`` they do not delay the end of the process: a thread
    that waits for a server's answer cannot be woken, and an interrupted run would hang until
    the time-out.

    Parameters
    ----------
    work
        Function that is called with each task.
    count
        Maximum number of threads.
    """

    def __init__(self, work: Callable[[Task], Result], count: int) -> None:
        self._work = work
        self._count = count
        self._threads: list[threading.Thread] = []
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[Task, Result | BaseException]] = queue.SimpleQueue()
        self.under_way = 0

    @property
    def are_free(self) -> bool:
        """Whether there is a thread for another task."""
        return self.under_way < self._count

    def begin(self, task: Task) -> None:
        """Give a task to a free thread."""
        self.under_way += 1
        if len(self._threads) < self.under_way:
            thread = threading.Thread(target=self._run, name="model-server", daemon=True)
            self._threads.append(thread)
            thread.start()
        self._tasks.put(task)

    def next_done(self) -> tuple[Task, Result | BaseException]:
        """Wait for any task; return it with its result, or with what was raised."""
        done = self._done.get()
        self.under_way -= 1
        return done

    def stop(self) -> None:
        """Stop the threads; busy ones end after their current task."""
        for _ in self._threads:
            self._tasks.put(None)

    def _run(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None:
                return
            try:
                self._done.put((task, self._work(task)))
            except BaseException as error:
                self._done.put((task, error))

"""One function over many items, in this process or several, in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

Item = TypeVar("Item")
Answer = TypeVar("Answer")
Progress = Callable[[int, int], None]
"""Called with (done, of) while work goes on."""


def run_chunks(
    function: Callable[[Item], Answer],
    items: Sequence[Item],
    *,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[Answer]:
    """Return the function's answer for every item, in the items' order.

    Parameters
    ----------
    function
        Importable function of one item.
    items
        What to work on.
    processes
        Worker processes; 1 works in this one.
    progress
        Called after every item.

    Raises
    ------
    ValueError
        If there is less than one process.
    """
    if processes < 1:
        raise ValueError(f"processes must be at least 1, got {processes}")
    answers: list[Answer] = []
    if processes == 1 or len(items) < 2 * processes:
        stream = map(function, items)
    else:
        # joblib's workers are started afresh: a fork of a process that runs torch can hang
        from joblib import Parallel, delayed

        stream = Parallel(n_jobs=processes, return_as="generator", batch_size="auto")(
            delayed(function)(item) for item in items
        )
    for answer in stream:
        answers.append(answer)
        if progress is not None:
            progress(len(answers), len(items))
    return answers

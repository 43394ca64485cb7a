"""Torch's number of threads, changed for a while.

Lies below the rooms, beside the settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_threads(number: int | None) -> Iterator[None]:
    """Hold torch to a number of threads, and give it back its own afterwards.

    Parameters
    ----------
    number
        Threads; None leaves torch's own choice.
    """
    if number is None:
        yield
        return
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)

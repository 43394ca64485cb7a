"""A Builder that runs in the user's process writes in chunks and leaves its logging alone."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

import pytest
from maggma.stores import MemoryStore

from crystalicl_jobflow.stores.serial_builder import SerialBuilder


class Doubling(SerialBuilder):
    """Doubles numbers, and notes what it is told to write."""

    def __init__(self, numbers: Iterable[int], chunk_size: int, least: int = 0) -> None:
        self.numbers = list(numbers)
        self.least = least
        self.written: list[list[int]] = []
        super().__init__(MemoryStore(), MemoryStore(), chunk_size=chunk_size)

    def get_items(self) -> Iterable[int]:
        return self.numbers

    def process_item(self, item: int) -> int:
        return 2 * item

    def update_targets(self, items: list[int]) -> None:
        self.written.append(list(items))

    def is_large_enough(self, chunk: list[Any]) -> bool:
        return super().is_large_enough(chunk) and sum(chunk) >= self.least


@pytest.mark.parametrize(
    ("numbers", "chunk_size", "written"),
    [
        (5, 2, [[0, 2], [4, 6], [8]]),
        (4, 2, [[0, 2], [4, 6]]),
        (2, 3, [[0, 2]]),
        (0, 3, []),
    ],
)
def test_chunks_are_written_as_they_fill_and_the_rest_at_the_end(
    numbers: int, chunk_size: int, written: list[list[int]]
) -> None:
    builder = Doubling(range(numbers), chunk_size)
    builder.run()
    assert builder.written == written


def test_a_chunk_that_is_not_worth_a_write_waits() -> None:
    builder = Doubling([1, 1, 1, 5, 1], 2, least=6)
    builder.run()
    assert builder.written == [[2, 2, 2], [10, 2]]


def test_the_programs_logging_stays_as_it_was() -> None:
    root = logging.getLogger()
    before = root.level, list(root.handlers)
    builder = Doubling([1], 2)
    builder.run(logging.ERROR)
    assert (root.level, root.handlers) == before
    assert builder.logger.level == logging.ERROR

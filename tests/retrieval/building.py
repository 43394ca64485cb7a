"""Build a pool in a process of its own, to be killed or to run beside another one.

Arguments: the store, the first record, how many, and at which of them to die (-1: never).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator

from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.datasets.records import Record
from crystalicl_jobflow.retrieval import fill_pool, pool

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


class Salts:
    """Rock salt in ever larger cells."""

    name = "salts"

    def __init__(self, first: int, count: int, die_at: int) -> None:
        self.numbers = range(first, first + count)
        self.die_at = die_at

    def total(self) -> int:
        """Return how many there are."""
        return len(self.numbers)

    def records(self) -> Iterator[Record]:
        """Yield them; at one of them the process ends as if killed by `kill -9`."""
        for place, number in enumerate(self.numbers):
            if place == self.die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield Record(f"salt-{number:04d}", ROCK_SALT.copy().scale_lattice(170 + number))


if __name__ == "__main__":
    store, first, count, die_at = sys.argv[1:]
    pool.CHUNK_SIZE = 5
    report = fill_pool(
        Salts(int(first), int(count), int(die_at)), store, fingerprints=False, processes=1
    )
    print(report.added)

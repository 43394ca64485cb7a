"""Crystals that are at hand in Python, as a source like any other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from crystalicl_jobflow.crystal.given import as_structure
from crystalicl_jobflow.datasets.records import Record


class GivenSource:
    """Structures or ASE atoms, in their order.

    Parameters
    ----------
    crystals
        The crystals; ids are their places in the list, from 0.
    """

    name = "given"

    def __init__(self, crystals: Sequence[Any]) -> None:
        self._crystals = list(crystals)

    def total(self) -> int:
        """Return how many there are."""
        return len(self._crystals)

    def records(self) -> Iterator[Record]:
        """Yield the records; what is no crystal carries its error."""
        for place, given in enumerate(self._crystals):
            try:
                yield Record(f"{self.name}-{place}", as_structure(given))
            except ValueError as error:
                yield Record(f"{self.name}-{place}", None, error=str(error))

"""Crystals that must not be learned: those of files to test on.

A crystal is known by its reduced formula and its space group. The group depends on the
tolerance with which it is looked for, so it is found at two of them, and one in common is
enough to be taken out.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from crystalicl_jobflow.training.data.crystals import TrainingCrystal, read_training_crystals


def compounds(crystal: TrainingCrystal) -> set[tuple[str, int]]:
    """Return reduced formula and space group of a crystal, at both tolerances."""
    formula = crystal.demonstration.formula
    groups = {crystal.demonstration.space_group, crystal.exact_group}
    return {(formula, group) for group in groups if group is not None}


def read_compounds(
    paths: Iterable[str | Path], *, cache: str | Path | None = None, workers: int = 1
) -> frozenset[tuple[str, int]]:
    """Read reduced formulas and space groups of the crystals of CSV files.

    Parameters
    ----------
    paths
        CSV files with a column ``cif``, gzipped or not.
    cache, workers
        As in `read_training_crystals`.

    Raises
    ------
    ValueError
        If a file is missing or has no column ``cif``, or one of its rows cannot be read:
        nothing would be known of what it holds.
    """
    crystals, skipped = read_training_crystals(paths, cache=cache, workers=workers)
    if skipped:
        raise ValueError(
            f"{len(skipped)} rows that are to be excluded cannot be read; the first is {skipped[0]}"
        )
    return frozenset(compound for crystal in crystals for compound in compounds(crystal))


def without_compounds(
    crystals: Sequence[TrainingCrystal], excluded: Collection[tuple[str, int]]
) -> list[TrainingCrystal]:
    """Return the crystals that are none of these at either tolerance."""
    held = frozenset(excluded)
    return [crystal for crystal in crystals if held.isdisjoint(compounds(crystal))]

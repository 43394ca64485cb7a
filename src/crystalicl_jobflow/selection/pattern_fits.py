"""Candidates beside a measured powder pattern: each gets its similarity and its refined cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crystalicl_jobflow.crystal.structure_hash import structure_hash
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.diffraction import PowderPattern
from crystalicl_jobflow.thresholds import SYMPREC
from crystalicl_jobflow.utils.progress import Progress


def add_pattern_fits(
    candidates: Sequence[Candidate],
    pattern: PowderPattern | Mapping[str, Any] | str | Path,
    *,
    wavelength: str | float | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> list[Candidate]:
    """Return the candidates with `Candidate.xrd`: how well each explains a measured pattern.

    Parameters
    ----------
    candidates
        Candidates of any conditions, valid or not; their texts and crystals stay as they are.
    pattern
        What was measured: a pattern, its document, or a file, see
        :func:`~crystalicl_jobflow.comparison.diffraction.read_pattern`.
    wavelength
        Name of a radiation, or Å; None: what the file says, else Cu Kα.
    processes
        Processes that share the crystals.
    progress
        Called with (crystals done, of).

    Returns
    -------
    list of Candidate
        In their order; a text that is no crystal is as it was.

    Raises
    ------
    ValueError
        If there is no pattern in the file, or it covers too short a range; one line.
    """
    # imported here: it takes scipy's optimisation along, which nothing else of selecting needs
    from crystalicl_jobflow.comparison.diffraction import fit_patterns, read_pattern

    measured = read_pattern(pattern, wavelength=wavelength)
    first: dict[str, int] = {}
    names: dict[int, str] = {}
    for place, candidate in enumerate(candidates):
        if candidate.structure is not None:
            names[place] = structure_hash(candidate.structure)
            first.setdefault(names[place], place)  # equal draws are compared once
    tolerances = {
        float(candidates[place].provenance.tolerances.get("symprec", SYMPREC))
        for place in first.values()
    }
    fits = fit_patterns(
        [candidates[place].structure for place in first.values()],
        measured,
        symprec=max(tolerances, default=SYMPREC),
        processes=processes,
        progress=progress,
    )
    by_name = dict(zip(first, fits, strict=True))
    return [
        candidate.model_copy(update={"xrd": by_name[names[place]]}) if place in names else candidate
        for place, candidate in enumerate(candidates)
    ]

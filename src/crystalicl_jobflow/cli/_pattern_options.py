"""Options of a measured powder pattern as a condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, progress

if TYPE_CHECKING:
    from crystalicl_jobflow.schemas import Candidate
    from crystalicl_jobflow.schemas.diffraction import PowderPattern

Command = TypeVar("Command", bound=Callable[..., Any])


def pattern_options(command: Command) -> Command:
    """Add the options of a measured pattern."""
    options = [
        click.option(
            "--xrd",
            type=click.Path(exists=True, dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Measured powder pattern (2θ and intensity: .xy, .xye, .csv, .dat): crystals are"
            " ranked by their similarity to it, with the cell refined.",
        ),
        click.option(
            "--wavelength",
            metavar="NAME|Å",
            help="Of the pattern: CuKa, MoKa1, Co, … or a number.  [the file's, else CuKa]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def read_pattern_option(options: Mapping[str, Any]) -> PowderPattern | None:
    """Read the pattern that the options name; None for none.

    Raises
    ------
    UserError
        If a wavelength is given without a pattern.
    ValueError
        If the file holds no pattern; one line.
    """
    if options["xrd"] is None:
        if options["wavelength"] is not None:
            raise UserError("--wavelength has no effect without --xrd")
        return None
    from crystalicl_jobflow.comparison.diffraction import measured_pattern

    pattern = measured_pattern(options["xrd"], options["wavelength"])
    assert pattern is not None  # a file was named
    note(f"Pattern: {pattern.label}")
    for remark in pattern.remarks:
        note(f"Pattern: {remark}")
    return pattern


def compare_with_pattern(
    candidates: list[Candidate], pattern: PowderPattern | None
) -> list[Candidate]:
    """Return the candidates with their fits to a pattern; as they are where there is none."""
    if pattern is None:
        return candidates
    from crystalicl_jobflow.selection import add_pattern_fits

    with progress("Compare") as report:
        return add_pattern_fits(candidates, pattern, progress=report)


def pattern_summary(candidates: list[Candidate], pattern: PowderPattern | None) -> dict[str, Any]:
    """Return what a run's summary says of its pattern; nothing where there is none."""
    if pattern is None:
        return {}
    known = [
        (item.xrd.similarity, item.candidate_id)
        for item in candidates
        if item.xrd is not None and item.xrd.similarity is not None
    ]
    similarity, best = max(known, key=lambda found: found[0], default=(None, None))
    summary = pattern.model_dump(exclude={"two_theta", "intensity"})
    return {
        "xrd": {
            **summary,
            "two_theta": [pattern.two_theta[0], pattern.two_theta[-1]],
            "num_points": len(pattern.two_theta),
            "num_compared": len(known),
            "most_similar": best,
            "similarity": similarity,
        }
    }

"""Reading the lines of an SGS crystal that a model may have surrounded with other text."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.bounds import (
    angles_fault,
    coordinates_fault,
    lengths_fault,
    num_sites_fault,
    number_fault,
    text_fault,
)
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.numbers import ANGLE_STEP, LENGTH_STEP
from crystalicl_jobflow.text.species import read_species
from crystalicl_jobflow.thresholds import MAX_COORDINATE, MAX_LENGTH, MIN_LENGTH

Triple = tuple[float, float, float]

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)", re.ASCII)
_LETTER = re.compile(r"(.*\S)\s+\d*([a-zA])")
#: Maximum length of a species line; twelve elements that share a site take less.
_MAX_SPECIES = 120


@dataclass(frozen=True)
class Line:
    """A line with content: its number in the text, from 1, and its characters."""

    number: int
    text: str


def content_lines(text: str) -> list[Line]:
    """Return the lines with content, without ``###`` and surrounding spaces.

    Raises
    ------
    TextError
        ``EMPTY`` where there is none, ``TOO_MANY_ATOMS`` where the text is too long.
    """
    fault = text_fault(text)
    if fault is not None:
        raise TextError(FailureReason.TOO_MANY_ATOMS, fault)
    lines = []
    for number, raw in enumerate(text.splitlines(), start=1):
        content = raw.strip().lstrip("#").strip()
        if content and not content.startswith("```"):
            lines.append(Line(number, content))
    if not lines:
        raise TextError(FailureReason.EMPTY, "the text is empty")
    return lines


def numbers(line: Line) -> list[float] | None:
    """Return the numbers of a line that holds nothing else, or None.

    A number with too many characters is returned as infinity, which is out of all bounds.
    """
    tokens = line.text.replace(",", " ").split()
    if not tokens or not all(_NUMBER.fullmatch(token) for token in tokens):
        return None
    return [math.inf if number_fault(token) else float(token) for token in tokens]


def triple(line: Line) -> Triple | None:
    """Return the three numbers of a line that holds nothing else, or None."""
    values = numbers(line)
    return (values[0], values[1], values[2]) if values is not None and len(values) == 3 else None


def is_group(line: Line) -> bool:
    """Return whether a line names a space group and nothing else."""
    try:
        wyckoff.number(line.text)
    except ValueError:
        return False
    return True


def species_of(line: Line) -> tuple[str, str | None] | None:
    """Return species and Wyckoff letter (or None) of a species line, None of any other."""
    if len(line.text) > _MAX_SPECIES:
        return None
    try:
        return read_species(line.text)[0], None
    except ValueError:
        pass
    match = _LETTER.fullmatch(line.text)
    if match is None:
        return None
    try:
        return read_species(match[1])[0], match[2]
    except ValueError:
        return None


def read_crystal_lines(
    lines: Sequence[Line],
) -> tuple[Line, Triple, Triple, list[tuple[Line, str, str | None, Triple]]]:
    """Find the one SGS crystal among lines.

    Returns
    -------
    tuple
        The group's line, lengths, angles, and for each site its species line, species,
        Wyckoff letter or None, and coordinates.

    Raises
    ------
    TextError
        Where there is none, or more than one.
    """
    # Pm and Cm are elements as well as groups: only a group has two lines of numbers below it.
    starts = [
        i
        for i in range(len(lines) - 2)
        if triple(lines[i + 1]) is not None
        and numbers(lines[i + 2]) is not None
        and is_group(lines[i])
    ]
    if not starts:
        raise _no_start(lines)
    if len(starts) > 1:
        raise TextError(
            FailureReason.AMBIGUOUS,
            f"a second crystal begins; the first does in line {lines[starts[0]].number}",
            line=lines[starts[1]].number,
        )
    group, rest = lines[starts[0]], lines[starts[0] + 1 :]
    lengths = read_lengths(rest[0])
    angles = read_angles(rest[1], is_last=len(rest) == 2)
    check_cell(wyckoff.number(group.text), lengths, angles, rest[0])
    return group, lengths, angles, read_sites(rest[2:])


def _no_start(lines: Sequence[Line]) -> TextError:
    """Return the error that explains why no crystal was found."""
    for i in range(1, len(lines) - 1):
        if triple(lines[i]) is not None and triple(lines[i + 1]) is not None:
            return TextError(
                FailureReason.BAD_SPACE_GROUP,
                f"{lines[i - 1].text[:40]!r} is no space group in the standard setting",
                line=lines[i - 1].number,
            )
    for i, line in enumerate(lines):
        if is_group(line):
            if i + 1 == len(lines):
                return TextError(FailureReason.TRUNCATED, "the text ends before the lengths")
            if i + 2 == len(lines) and numbers(lines[i + 1]) is not None:
                return TextError(FailureReason.TRUNCATED, "the text ends before the angles")
            bad = lines[i + 1] if triple(lines[i + 1]) is None else lines[i + 2]
            what = "lengths" if bad is lines[i + 1] else "angles"
            return TextError(
                FailureReason.BAD_LATTICE,
                f"three {what} must stand here, not {bad.text[:40]!r}",
                line=bad.number,
            )
    return TextError(
        FailureReason.BAD_SPACE_GROUP,
        f"no line names a space group; the text begins {lines[0].text[:40]!r}",
        line=lines[0].number,
    )


def read_lengths(line: Line) -> Triple:
    """Return three cell lengths in Å."""
    values = triple(line)
    if values is None or lengths_fault(values) is not None:
        raise TextError(
            FailureReason.BAD_LATTICE,
            f"{line.text[:40]!r} are not three lengths between {MIN_LENGTH:g} and "
            f"{MAX_LENGTH:.0f} Å",
            line=line.number,
        )
    return values


def read_angles(line: Line, *, is_last: bool = False) -> Triple:
    """Return three cell angles in degrees; `is_last`: a short line may be cut off."""
    values = triple(line)
    if values is None and is_last and numbers(line) is not None:
        raise TextError(FailureReason.TRUNCATED, "the text ends within the angles")
    if values is None or not all(0 < x < 180 for x in values):
        raise TextError(
            FailureReason.BAD_LATTICE,
            f"{line.text[:40]!r} are not three angles between 0 and 180 degrees",
            line=line.number,
        )
    return values


def check_cell(number: int, lengths: Triple, angles: Triple, line: Line) -> None:
    """Raise an error for a cell that its space group cannot have, or angles without a volume.

    Parameters
    ----------
    number
        Space-group number.
    lengths, angles
        As written, in Å and degrees.
    line
        Where the lengths are; the angles are in the next line.

    Raises
    ------
    TextError
        ``BAD_LATTICE``.
    """
    fault = cell_against_group(number, lengths, angles)
    if fault is not None:
        place = line.number + (0 if fault.startswith("lengths") else 1)
        raise TextError(FailureReason.BAD_LATTICE, fault, line=place)
    fault = angles_fault(wyckoff.constrain_lattice(lengths, angles, number)[1])
    if fault is not None:
        raise TextError(FailureReason.BAD_LATTICE, fault, line=line.number + 1)


def cell_against_group(number: int, lengths: Triple, angles: Triple) -> str | None:
    """Describe why a group in the standard setting cannot have a cell, rounding allowed for.

    Lengths at one decimal and whole degrees may each be off by half a step; a step is allowed.

    Parameters
    ----------
    number
        Space-group number.
    lengths, angles
        Of the conventional cell, in Å and degrees.
    """
    exact_lengths, exact_angles = wyckoff.constrain_lattice(lengths, angles, number)
    name = f"the {wyckoff.crystal_system(number)} group {wyckoff.symbol(number)}"
    for what, values, exact, step in (
        ("lengths", lengths, exact_lengths, LENGTH_STEP),
        ("angles", angles, exact_angles, ANGLE_STEP),
    ):
        if any(abs(x - y) > step + 1e-6 for x, y in zip(values, exact, strict=True)):
            return f"{what} of {' '.join(f'{x:g}' for x in values)} do not belong to {name}"
    return None


def read_sites(lines: Sequence[Line]) -> list[tuple[Line, str, str | None, Triple]]:
    """Read species and coordinates in turn, up to the first line that is neither.

    Raises
    ------
    TextError
        Where there is no site, one is not readable, or another follows after other words.
    """
    sites: list[tuple[Line, str, str | None, Triple]] = []
    i = 0
    while i < len(lines):
        line, following = lines[i], lines[i + 1] if i + 1 < len(lines) else None
        species = species_of(line)
        coords = triple(following) if following is not None else None
        if species is None:
            if coords is not None or numbers(line) is not None:
                raise TextError(
                    FailureReason.BAD_ELEMENT,
                    f"an element must stand before coordinates, not {line.text[:40]!r}",
                    line=line.number,
                )
            break
        if coords is None or following is None:
            cut = following is None or (i + 2 == len(lines) and numbers(following) is not None)
            if cut and (following is None or len(numbers(following) or []) < 3):
                raise TextError(
                    FailureReason.TRUNCATED, f"the text ends before the coordinates of {species[0]}"
                )
            raise TextError(
                FailureReason.BAD_COORDINATES,
                f"three coordinates must follow {species[0]}, not {following.text[:40]!r}"
                if following is not None
                else "no coordinates",
                line=following.number if following is not None else line.number,
            )
        if coordinates_fault(coords) is not None:
            raise TextError(
                FailureReason.BAD_COORDINATES,
                f"{following.text[:40]!r} are not three coordinates within ±{MAX_COORDINATE:g}",
                line=following.number,
            )
        sites.append((line, *species, coords))
        i += 2
        fault = num_sites_fault(len(sites))
        if fault is not None:
            raise TextError(FailureReason.TOO_MANY_ATOMS, fault, line=line.number)
    if not sites:
        raise TextError(FailureReason.NO_SITES, "the text names no site after the angles")
    for j in range(i, len(lines) - 1):
        if species_of(lines[j]) is not None and triple(lines[j + 1]) is not None:
            raise TextError(
                FailureReason.AMBIGUOUS,
                f"another site follows after {lines[i].text[:40]!r}",
                line=lines[j].number,
            )
    return sites

"""Reading the lines of a text that a model may have surrounded with noise."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.text.species import read_species

Triple = tuple[float, float, float]

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)")
_LETTER = re.compile(r"(.*\S)\s+\d*([a-zA])")
#: Å; no crystal of the data sets comes near, a runaway number does.
MAX_LENGTH = 1000.0


@dataclass(frozen=True)
class Line:
    """A line with content: its number in the text, from 1, and what it says."""

    number: int
    text: str


def content_lines(text: str) -> list[Line]:
    """Return the lines that say something, without ``###`` and surrounding spaces.

    Raises
    ------
    TextError
        ``EMPTY`` where there is none.
    """
    lines = []
    for number, raw in enumerate(text.splitlines(), start=1):
        content = raw.strip().lstrip("#").strip()
        if content and not content.startswith("```"):
            lines.append(Line(number, content))
    if not lines:
        raise TextError(FailureReason.EMPTY, "the text is empty")
    return lines


def numbers(line: Line) -> list[float] | None:
    """Return the numbers of a line that holds nothing else, or None."""
    tokens = line.text.replace(",", " ").split()
    if not tokens or not all(_NUMBER.fullmatch(token) for token in tokens):
        return None
    return [float(token) for token in tokens]


def triple(line: Line) -> Triple | None:
    """Return the three numbers of a line that holds nothing else, or None."""
    values = numbers(line)
    return (values[0], values[1], values[2]) if values is not None and len(values) == 3 else None


def is_group(line: Line) -> bool:
    """Tell whether a line names a space group and nothing else."""
    try:
        wyckoff.number(line.text)
    except ValueError:
        return False
    return True


def species_of(line: Line) -> tuple[str, str | None] | None:
    """Return species and Wyckoff letter (or None) of a species line, None of any other."""
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
    """Say why no crystal begins anywhere."""
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
    if values is None or not all(0 < x <= MAX_LENGTH for x in values):
        raise TextError(
            FailureReason.BAD_LATTICE,
            f"{line.text[:40]!r} are not three lengths between 0 and {MAX_LENGTH:.0f} Å",
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
    """Refuse lengths and angles that span no volume."""
    _, angles = wyckoff.constrain_lattice(lengths, angles, number)
    a, b, c = (math.cos(math.radians(x)) for x in angles)
    if 1 - a * a - b * b - c * c + 2 * a * b * c < 1e-4:
        raise TextError(
            FailureReason.BAD_LATTICE,
            f"no cell has the angles {angles[0]:g} {angles[1]:g} {angles[2]:g}",
            line=line.number + 1,
        )


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
        sites.append((line, *species, coords))
        i += 2
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

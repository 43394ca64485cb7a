"""A crystal text in which each field is given, restricted or left free.

::

    Pm-3m
    3.8..4.0 ? ?
    ?
    Ca|Sr 1a
    0.00 0.00 0.00
    ...

The lines are those of SGS. ``?`` stands for anything, ``|`` separates alternatives, ``3.8..4.0``
is a range of numbers, a Wyckoff position behind an element restricts where its orbit lies, and
``...`` stands for any number of further orbits (``... O|F``: of these elements). A line of
numbers may be a single ``?``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Element

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.bounds import number_fault, text_fault
from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal
from crystalicl_jobflow.text.numbers import format_angles, format_coords, format_lengths
from crystalicl_jobflow.thresholds import MAX_SITES
from crystalicl_jobflow.utils.errors import CrystalICLError

ANYTHING = "?"
MORE = "..."

Span = tuple[float, float]
Numbers = tuple[Span, ...] | None
"""Ranges of a number, both ends included; a given number is a range of its own. None: any."""

Triple = tuple[Numbers, Numbers, Numbers]

FREE: Triple = (None, None, None)

_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)", re.ASCII)
_POSITION = re.compile(r"\d*([a-zA])", re.ASCII)


class PatternError(CrystalICLError, ValueError):
    """A partial text that cannot be read or cannot become a crystal; the message is one line."""


@dataclass(frozen=True)
class SitePattern:
    """One orbit.

    Parameters
    ----------
    elements
        Of which it may be; None for any.
    letters
        Letters of its Wyckoff position; None for any.
    frac_coords
        Its three coordinates.
    """

    elements: tuple[str, ...] | None = None
    letters: tuple[str, ...] | None = None
    frac_coords: Triple = FREE


@dataclass(frozen=True)
class GapPattern:
    """Any number of further orbits.

    Parameters
    ----------
    elements
        Of which they may be; None for any.
    """

    elements: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SGSPattern:
    """An SGS text in which each field is given, restricted or free.

    Parameters
    ----------
    groups
        Space-group numbers; None for any.
    lengths, angles
        Of the conventional cell, in Å and degrees.
    orbits
        In the order in which they are written.
    """

    groups: tuple[int, ...] | None = None
    lengths: Triple = FREE
    angles: Triple = FREE
    orbits: tuple[SitePattern | GapPattern, ...] = (GapPattern(),)

    @property
    def sites(self) -> tuple[SitePattern, ...]:
        """The orbits that are written in any case."""
        return tuple(item for item in self.orbits if isinstance(item, SitePattern))

    @property
    def is_open(self) -> bool:
        """Whether further orbits may be written somewhere."""
        return any(isinstance(item, GapPattern) for item in self.orbits)

    @classmethod
    def of_crystal(cls, crystal: SGSCrystal, *, letters: bool = False) -> SGSPattern:
        """Return the pattern that only the text of a crystal fits.

        Parameters
        ----------
        crystal
            Group, cell and sites.
        letters
            Whether the Wyckoff positions are part of it, where they are known.
        """
        a, b, c = format_lengths(crystal.lengths).split()
        alpha, beta, gamma = format_angles(crystal.angles).split()
        orbits = []
        for site in crystal.sites:
            x, y, z = map(given, map(float, format_coords(site.frac_coords).split()))
            position = (site.wyckoff_letter,) if letters and site.wyckoff_letter else None
            orbits.append(SitePattern((site.species,), position, (x, y, z)))
        return cls(
            (crystal.space_group_number,),
            (given(float(a)), given(float(b)), given(float(c))),
            (given(float(alpha)), given(float(beta)), given(float(gamma))),
            tuple(orbits),
        )

    def format(self) -> str:
        """Write the pattern as text; `parse_pattern` reads it back."""
        groups = self.groups
        lines = [
            ANYTHING if groups is None else "|".join(wyckoff.symbol(number) for number in groups),
            _write_line(self.lengths, 1),
            _write_line(self.angles, 0),
        ]
        for item in self.orbits:
            elements = ANYTHING if item.elements is None else "|".join(item.elements)
            if isinstance(item, GapPattern):
                lines.append(MORE if item.elements is None else f"{MORE} {elements}")
                continue
            letters = "" if item.letters is None else f" {'|'.join(item.letters)}"
            lines += [elements + letters, _write_line(item.frac_coords, 2)]
        return "\n".join(lines)


def given(value: float) -> Numbers:
    """Return a number that is given."""
    return ((value, value),)


def within(low: float, high: float) -> Numbers:
    """Return the numbers of a range."""
    return ((low, high),)


def _write_line(numbers: Triple, decimals: int) -> str:
    if all(spans is None for spans in numbers):
        return ANYTHING
    return " ".join(_write_spans(spans, decimals) for spans in numbers)


def _write_spans(spans: Numbers, decimals: int) -> str:
    if spans is None:
        return ANYTHING
    return "|".join(
        f"{low:.{decimals}f}" if low == high else f"{low:.{decimals}f}..{high:.{decimals}f}"
        for low, high in spans
    )


def parse_pattern(text: str, *, is_beginning: bool = False) -> SGSPattern:
    r"""Read a partial crystal text.

    What is missing at the end of a text is free, also the rest of its last line and the decimals
    of a number that ends with its point.

    Parameters
    ----------
    text
        The lines, with or without ``###``.
    is_beginning
        Whether further orbits may follow a text without any ``...``.

    Returns
    -------
    SGSPattern
        What is given and what is left free.

    Raises
    ------
    PatternError
        If a line is not what belongs there; it names the line.

    Examples
    --------
    >>> text = "Fm-3m\n5.6 5.6 5.6\n90 90 90\nNa\n0.00 0.00 0.00"
    >>> pattern = parse_pattern(text, is_beginning=True)
    >>> pattern.groups, pattern.is_open
    ((225,), True)
    """
    fault = text_fault(text)
    if fault is not None:
        raise PatternError(fault)
    lines = [
        (number, content)
        for number, raw in enumerate(text.splitlines(), start=1)
        if (content := raw.strip().lstrip("#").strip()) and not content.startswith("```")
    ]
    if not lines:
        raise PatternError("the partial text is empty")
    last = lines[-1][0]
    groups = _read_groups(*lines[0])
    lengths = _read_line(lines[1], "cell lengths", last) if len(lines) > 1 else FREE
    angles = _read_line(lines[2], "cell angles", last) if len(lines) > 2 else FREE
    orbits = _read_orbits(lines[3:], last)
    if not orbits or (is_beginning and not any(isinstance(item, GapPattern) for item in orbits)):
        orbits.append(GapPattern())
    return SGSPattern(groups, lengths, angles, tuple(orbits))


def _read_groups(number: int, line: str) -> tuple[int, ...] | None:
    if line == ANYTHING:
        return None
    found = []
    for name in line.split("|"):
        try:
            found.append(_group(name.strip()))
        except ValueError:
            raise PatternError(f"line {number}: {name.strip()[:40]!r} is no space group") from None
    return tuple(sorted(set(found)))


def _group(name: str) -> int:
    if name.isdecimal() and len(name) <= 3:
        if not 1 <= int(name) <= 230:
            raise ValueError(name)
        return int(name)
    return wyckoff.number(name)


def _read_orbits(lines: Sequence[tuple[int, str]], last: int) -> list[SitePattern | GapPattern]:
    orbits: list[SitePattern | GapPattern] = []
    place = 0
    while place < len(lines):
        number, line = lines[place]
        place += 1
        if line.startswith(MORE):
            rest = line.removeprefix(MORE).strip()
            orbits.append(GapPattern(_read_elements(number, rest) if rest else None))
            continue
        names, _, position = line.partition(" ")
        elements = _read_elements(number, names)
        letters = _read_letters(number, position) if position.strip() else None
        coords = FREE
        if place < len(lines):
            coords = _read_line(lines[place], f"coordinates of {names[:40]}", last)
            place += 1
        orbits.append(SitePattern(elements, letters, coords))
        if len(orbits) > MAX_SITES:
            raise PatternError(f"line {number}: more than {MAX_SITES} orbits")
    return orbits


def _read_elements(number: int, text: str) -> tuple[str, ...] | None:
    if text == ANYTHING:
        return None
    names = [name.strip() for name in re.split(r"[|,]", text)]
    for name in names:
        if not Element.is_valid_symbol(name) or name in ("D", "T"):
            raise PatternError(f"line {number}: {name[:40]!r} is no element")
    return tuple(dict.fromkeys(names))


def _read_letters(number: int, text: str) -> tuple[str, ...]:
    letters = []
    for name in text.split("|"):
        match = _POSITION.fullmatch(name.strip())
        if match is None:
            raise PatternError(f"line {number}: {name.strip()[:40]!r} is no Wyckoff position")
        letters.append(match[1])
    return tuple(dict.fromkeys(letters))


def _read_line(line: tuple[int, str], what: str, last: int) -> Triple:
    """Read three numbers; fewer in the last line of a text, where the rest is free."""
    number, text = line
    if text == ANYTHING:
        return FREE
    words = text.replace(",", " ").split()
    if len(words) > 3 or (len(words) < 3 and number != last):
        raise PatternError(f"line {number}: {text[:40]!r} are not the three {what}")
    found = [_read_spans(number, word, what) for word in words] + [None] * (3 - len(words))
    if number == last and words[-1].endswith(".") and _NUMBER.fullmatch(words[-1]):
        low = float(words[-1])  # cut in the middle of a number: its decimals are free
        found[len(words) - 1] = within(low, low + 0.99)
    return found[0], found[1], found[2]


def _read_spans(number: int, word: str, what: str) -> Numbers:
    if word == ANYTHING:
        return None
    spans = []
    for part in word.split("|"):
        low, mark, high = part.partition("..")
        ends = [low, high] if mark else [low]
        if not all(_NUMBER.fullmatch(end) and number_fault(end) is None for end in ends):
            raise PatternError(f"line {number}: {part[:40]!r} is no number of the {what}")
        values = [float(end) for end in ends]
        if not all(map(math.isfinite, values)) or values[0] > values[-1]:
            raise PatternError(f"line {number}: {part[:40]!r} is no range of the {what}")
        spans.append((values[0], values[-1]))
    return tuple(spans)

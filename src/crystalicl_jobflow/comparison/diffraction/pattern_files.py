"""Powder patterns from text files: two or three columns, in whatever layout, or refused."""

from __future__ import annotations

import codecs
import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.comparison.diffraction.profiles import MeasuredProfile
from crystalicl_jobflow.schemas.base import without_marks
from crystalicl_jobflow.schemas.diffraction import PowderPattern, read_wavelength
from crystalicl_jobflow.thresholds import MAX_WAVELENGTH, MIN_WAVELENGTH
from crystalicl_jobflow.utils.messages import validation_line

MAX_BYTES = 20_000_000
"""Longest file that is read: a million points."""

MOST_COLUMNS = 3
"""2θ, intensity and its error, which is not used."""

MOST_CHARACTERS = 400
"""Longest row of numbers."""

SAME_WAVELENGTH = 0.01
"""Share by which wavelengths that are one may differ: Kα1 and Kα2 do by a quarter per cent."""

_COMMENT = ("#", "!", ";", "%", "*", "'", '"', "/", "$", "_", "[")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][-+]?\d+)?", re.ASCII)
_NOT_A_NUMBER = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
_WAVELENGTH = re.compile(
    r"(?:wave\s*length|lambda|λ|k\W?(?:alpha|α)1?)[^\d\n]{0,30}?(\d+[.,]\d+)\s*(?:nm|pm)?",
    re.IGNORECASE,
)
_NO_ALPHA = re.compile(r"k\W?(?:beta|β)|ratio", re.IGNORECASE)
_ANODE = re.compile(r"\b(?:anode|target|tube)\b[^\n]{0,20}?\b(Cu|Mo|Co|Fe|Cr|Ag)\b", re.IGNORECASE)
_OTHER_AXIS = re.compile(
    r"(?:q|d|tof|time|energy|theta|θ|omega|ω|int|intensity|counts|i|no|nr|index|h)\b",
    re.IGNORECASE,
)
_THOUSANDS = re.compile(r"(?<!\d)\d{1,3},\d{3}(?!\d)")

_FORMATS: tuple[tuple[bytes, str], ...] = (
    (b"RAW", "a binary file of Bruker"),
    (b"<?xml", "an XML file"),
    (b"PK\x03\x04", "a ZIP archive, such as .brml or .xlsx"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"%PDF", "a PDF"),
    (b"{", "JSON"),
    (b"data_", "a CIF"),
)
"""How files begin that people take for a pattern."""


def read_pattern(
    source: PowderPattern | Mapping[str, Any] | str | Path,
    *,
    wavelength: str | float | None = None,
) -> PowderPattern:
    """Read a measured powder pattern.

    Parameters
    ----------
    source
        A text file of 2θ (degrees) and intensity: ``.xy``, ``.xye``, ``.csv``, ``.dat`` and the
        like, columns apart by blanks, tabs, commas or semicolons, decimal points or commas,
        comments and headings before the numbers, rows in any order; a pattern, or its document.
    wavelength
        Name of a radiation, or Å. None: what the file's comments say, else Cu Kα.

    Returns
    -------
    PowderPattern
        The points in the order of their angles.

    Raises
    ------
    ValueError
        If this is no such file, or there is no pattern in it; one line with the line's number.
    FileNotFoundError
        If there is no such file.
    """
    if isinstance(source, PowderPattern):
        return source if wavelength is None else _with_wavelength(source, wavelength)
    if isinstance(source, Mapping):
        try:
            found = PowderPattern.model_validate(without_marks(source))
        except ValueError as error:
            raise ValueError(validation_line(error)) from None
        return found if wavelength is None else _with_wavelength(found, wavelength)
    if not isinstance(source, str | Path):
        raise ValueError(f"a measured pattern is a file or a PowderPattern, not {source!r}")
    path = Path(source).expanduser()
    if path.is_dir():
        raise ValueError(f"{path} is a folder, not a pattern")
    with path.open("rb") as file:  # one byte more than is read, to see that there is more
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise ValueError(f"{path} has more than {MAX_BYTES // 10**6} MB, too long for a pattern")
    text = _decoded(content, path.name)
    angles, heights, heading = _columns(text, path.name)
    stated = None if wavelength is not None else _stated_wavelength(heading, path.name)
    try:
        return PowderPattern.build(
            angles,
            heights,
            name=path.name,
            wavelength=stated if wavelength is None else wavelength,
            sha256=hashlib.sha256(content).hexdigest(),
            **({} if stated is None else {"wavelength_from": "file"}),
        )
    except ValueError as error:
        raise ValueError(validation_line(error)) from None


def measured_pattern(
    source: PowderPattern | Mapping[str, Any] | str | Path | None,
    wavelength: str | float | None = None,
) -> PowderPattern | None:
    """Return a pattern that crystals can be compared with; None where none is given.

    Parameters
    ----------
    source, wavelength
        See `read_pattern`.

    Raises
    ------
    ValueError
        If there is no pattern in it, its range is too short to compare with, or a wavelength is
        given without a pattern; one line.
    """
    if source is None:
        if wavelength is not None:
            raise ValueError("wavelength has no effect without xrd, a measured pattern")
        return None
    pattern = read_pattern(source, wavelength=wavelength)
    MeasuredProfile.of(pattern)
    return pattern


def _with_wavelength(pattern: PowderPattern, wavelength: str | float) -> PowderPattern:
    radiation, length = read_wavelength(wavelength)
    changes = {"radiation": radiation, "wavelength": length, "wavelength_from": "asked"}
    return pattern.model_copy(update=changes)


def _decoded(content: bytes, name: str) -> str:
    """Return a file's text; refuse what is none."""
    start = content[:64].removeprefix(codecs.BOM_UTF8).lstrip()
    for beginning, what in _FORMATS:
        if start.startswith(beginning):
            raise ValueError(f"{name} is {what}; export it as text with 2θ and intensity (.xy)")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        try:
            return content.decode("utf-16")
        except UnicodeDecodeError:
            raise ValueError(f"{name} is no text") from None
    if b"\x00" in content:
        raise ValueError(f"{name} is no text; export it as text with 2θ and intensity (.xy)")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def _columns(text: str, name: str) -> tuple[list[float], list[float], str]:
    """Return angles, intensities, and the lines before and between them."""
    rows: list[list[float]] = []
    words: list[str] = []
    marks = [0, 0]  # rows of whole numbers between commas; those that end like thousands
    for number, raw in enumerate(text.splitlines(), start=1):
        line = raw.strip()
        if not line or line.startswith(_COMMENT):
            words.append(line[:200])
            continue
        row = _numbers(line)
        if row is None or len(row) == 1:
            if not rows:  # headings, and single numbers such as the count of the points
                words.append(line[:200])
                continue
            raise ValueError(f"{name}, line {number}: {line[:40]!r} is no row of 2θ and intensity")
        fault = _fault(line, len(row), len(rows[0]) if rows else len(row))
        if fault:
            raise ValueError(f"{name}, line {number}: {fault}")
        if len(row) == MOST_COLUMNS and _separator(line) == ",":
            marks[0] += "." not in line
            marks[1] += bool(re.search(r",\d{1,3},\d{3}$", line))
        rows.append(row)
    if not rows:
        raise ValueError(f"{name} holds no rows of 2θ and intensity")
    if len(rows) in marks:
        raise ValueError(
            f"{name}: commas may stand inside of numbers or between columns; write decimal points,"
            " and no marks between thousands"
        )
    _check_columns(words, np.asarray(rows), name)
    return [row[0] for row in rows], [row[1] for row in rows], "\n".join(words)


def _fault(line: str, numbers: int, before: int) -> str | None:
    """Say what is wrong with a row of numbers; None where nothing is."""
    if numbers > MOST_COLUMNS:
        return f"{numbers} numbers; a row has 2θ, intensity and perhaps its error"
    mark = _separator(line)
    inside = {sign for part in _parts(line) for sign in ".," if sign in part}
    if len(inside) > 1 or (mark == ", " and _THOUSANDS.search(line)):
        return f"{line[:40]!r} has points and commas inside of numbers; write decimal points only"
    if numbers != before:
        return f"{numbers} numbers, but {before} in the rows before"
    return None


def _check_columns(words: list[str], rows: NDArray[np.float64], name: str) -> None:
    """Refuse columns that are something else than 2θ and intensity."""
    heading = next((line for line in reversed(words) if line), "").lstrip("".join(_COMMENT) + " ")
    plain = re.sub(r"\([^)]*\)|\[[^]]*\]", "", heading).strip()  # without units
    titles = re.split(r"[,;\t]+" if re.search(r"[,;\t]", plain) else r"\s+", plain)
    titles = [title.strip(" \"'") for title in titles]
    named = len(titles) == rows.shape[1] and not any(map(_NUMBER.fullmatch, titles))
    if named and _OTHER_AXIS.match(titles[0]):
        raise ValueError(
            f"{name}: its columns are {heading[:40]!r}; the first is 2θ in degrees, the second the"
            " intensity"
        )
    first, second = rows[:, 0], rows[:, 1]
    counts = len(rows) > 1 and first[0] in (0, 1) and bool((np.diff(first) == 1).all())
    if rows.shape[1] == MOST_COLUMNS and counts:
        raise ValueError(f"{name}: the first column counts the rows; it is 2θ in degrees")
    halves = second * np.sin(np.radians(first / 2))  # of the wavelength, by Bragg's law
    if (
        len(rows) > 1
        and np.isfinite(halves).all()
        and np.ptp(halves) < SAME_WAVELENGTH * abs(halves[0])
    ):
        raise ValueError(f"{name}: the second column is the spacing d; it is the intensity")


def _separator(line: str) -> str:
    """Return what stands between the columns: a semicolon or tab, ', ', ',' or a blank."""
    if ";" in line or "\t" in line:
        return ";"
    if "," in line and re.search(r"\d,\s|\s,", line):
        return ", "
    # with blanks between the columns, commas are decimal ones
    return "," if "," in line and not re.search(r"\s", line) else " "


def _parts(line: str) -> list[str]:
    """Return the columns of a line."""
    at = {";": r"[;\t]+", ", ": r"[,\s]+", ",": ",", " ": r"\s+"}[_separator(line)]
    return [part.strip().strip("\"'") for part in re.split(at, line) if part.strip()]


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a line, None where it holds anything else."""
    if len(line) > MOST_CHARACTERS:
        return None
    found = [_number(part) for part in _parts(line)]
    return None if any(value is None for value in found) else [x for x in found if x is not None]


def _number(text: str) -> float | None:
    plain = text.replace(",", ".", 1)
    if _NUMBER.fullmatch(plain):
        return float(plain.lower().replace("d", "e"))
    return math.nan if _NOT_A_NUMBER.fullmatch(text) else None


def _stated_wavelength(heading: str, name: str) -> str | float | None:
    """Return the wavelength that the comments state, or the anode that they name.

    Raises
    ------
    ValueError
        If they state several wavelengths, or one that is none of diffraction; one line.
    """
    lines = [line for line in heading.splitlines() if not _NO_ALPHA.search(line)]
    found = []
    for match in _WAVELENGTH.finditer("\n".join(lines)):
        unit = re.search(r"\b(nm|pm)\b|\d(nm|pm)$", match[0].lower())
        scale = 1.0 if unit is None else _IN_ANGSTROM[unit[1] or unit[2]]
        found.append(float(match[1].replace(",", ".")) * scale)
    if not found:
        anodes = {match[1].capitalize() for match in _ANODE.finditer("\n".join(lines))}
        return anodes.pop() if len(anodes) == 1 else None
    apart = np.ptp(found) > SAME_WAVELENGTH * found[0]  # Kα1 and Kα2: a quarter per cent
    if apart or not MIN_WAVELENGTH <= found[0] <= MAX_WAVELENGTH:
        stated = ", ".join(f"{value:g}" for value in dict.fromkeys(found))
        raise ValueError(f"{name} states a wavelength of {stated} Å; say which one it is")
    return found[0]


_IN_ANGSTROM = {"nm": 10.0, "pm": 0.01}

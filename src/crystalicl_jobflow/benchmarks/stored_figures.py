"""Figures in pages, held against the stored results that they come from.

A page says behind each figure where it is stored, in a comment that readers do not see::

    0.82<!-- prediction.json rates/match/rate .2f --> of the crystals match

    <!-- table prediction.json -->
    (made by the command)
    <!-- end of table -->

Files are named from the page's folder. What stands between two slashes is a key, or a place in a
list. ``.1%`` writes a share as a percentage.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystalicl_jobflow.utils.files import write_text

FIGURE = re.compile(r"<!-- (?P<file>\S+\.json) (?P<where>\S+) (?P<format>\S+) -->")
TABLE = re.compile(
    r"(?P<open><!-- table (?P<file>\S+\.json) -->\n)(?P<text>.*?)(?P<close><!-- end of table -->)",
    re.DOTALL,
)
_FENCE = re.compile(r"(^```.*?^```)", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`|\]\([^)\n]*\)")
_LOOSE = re.compile(r"(?<![\w.])-?\d+(?:,\d{3})*\.\d+(?![\w.]*\d)|(?<![\w.])\d+ ?%")
_FORMAT = re.compile(r"(?P<digits>\.\d)%|\.\df|,?d")


@dataclass(frozen=True)
class Mismatch:
    """A figure that is not what the stored result says.

    Parameters
    ----------
    page
        The page.
    line
        Its line, from 1.
    message
        What is wrong.
    """

    page: Path
    line: int
    message: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}: {self.message}"


@dataclass
class CheckedPages:
    """What was found in pages.

    Parameters
    ----------
    figures, tables
        How many were compared.
    mismatches
        Those that differ, and figures of a page of results that say no source.
    """

    figures: int = 0
    tables: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)


def check_pages(places: Sequence[str | Path], *, write: bool = False) -> CheckedPages:
    """Compare the figures of pages with the stored results.

    Parameters
    ----------
    places
        Markdown files, and folders of them: in the pages of a folder every figure with a
        decimal point or in per cent needs a source, in a single file those that name one are
        compared.
    write
        Whether tables are made anew and figures mended instead.

    Raises
    ------
    ValueError
        If a place is missing; one line.
    """
    found = CheckedPages()
    for place in map(Path, places):
        if place.is_dir():
            for page in sorted(place.glob("*.md")):
                _check(page, found, strict=True, write=write)
        elif place.is_file():
            _check(place, found, strict=False, write=write)
        else:
            raise ValueError(f"{place} is neither a page nor a folder of pages")
    return found


def _check(page: Path, found: CheckedPages, *, strict: bool, write: bool) -> None:
    text = page.read_text(encoding="utf-8")
    if write:
        changed = _rewritten(page, text)
        if changed != text:
            write_text(page, changed)
            text = changed
    text = _FENCE.sub(_blank, text)  # what a page shows as code is no figure of it
    for match in TABLE.finditer(text):
        found.tables += 1
        try:
            expected = stored_table(page.parent / match["file"])
        except ValueError as error:
            found.mismatches.append(_mismatch(page, text, match.start(), str(error)))
            continue
        if match["text"].strip() != expected.strip():
            words = f"the table is not that of {match['file']}; --write makes it anew"
            found.mismatches.append(_mismatch(page, text, match.start(), words))
    rest = TABLE.sub(_blank, text)
    for match in FIGURE.finditer(rest):
        found.figures += 1
        try:
            expected = stored_figure(page.parent / match["file"], match["where"], match["format"])
        except ValueError as error:
            found.mismatches.append(_mismatch(page, text, match.start(), str(error)))
            continue
        before = rest[: match.start()].rstrip("* ")
        if not before.endswith(expected) or before.removesuffix(expected)[-1:].isdigit():
            shown = before[-len(expected) - 6 :].rpartition("\n")[2]
            words = f"'…{shown}' should be {expected} ({match['file']} {match['where']})"
            found.mismatches.append(_mismatch(page, text, match.start(), words))
    if strict:
        for place, words in _without_source(rest):
            found.mismatches.append(_mismatch(page, text, place, words))


def _without_source(text: str) -> Iterator[tuple[int, str]]:
    """Yield place and words of figures that say no source."""
    plain = _CODE.sub(_blank, text)
    for match in _LOOSE.finditer(plain):
        after = plain[match.end() :].lstrip("*% ")
        if not FIGURE.match(after):
            yield match.start(), f"{match.group()} says no source"


def _rewritten(page: Path, text: str) -> str:
    """Return a page with its tables made anew and its figures mended, where that can be done."""

    def table(match: re.Match[str]) -> str:
        try:
            return f"{match['open']}{stored_table(page.parent / match['file'])}{match['close']}"
        except ValueError:
            return match.group()

    def figure(match: re.Match[str]) -> str:
        try:
            value = stored_figure(page.parent / match["file"], match["where"], match["format"])
        except ValueError:
            return match.group()
        return f"{value}{match['stars']}{match['mark']}"

    number = r"(?P<number>-?[\d.,]*\d(?: %)?|\?)(?P<stars>\**)"
    parts = _FENCE.split(text)
    for place in range(0, len(parts), 2):  # every second one is code
        part = re.sub(rf"{number}(?P<mark>{FIGURE.pattern})", figure, parts[place])
        parts[place] = TABLE.sub(table, part)
    return "".join(parts)


def stored_figure(path: Path, where: str, form: str) -> str:
    """Return a stored number as a page should write it.

    Parameters
    ----------
    path
        A JSON file.
    where
        Keys and places in lists, with slashes between them.
    form
        ``.3f``, ``.1%`` (a share as a percentage), ``d`` or ``,d``.

    Raises
    ------
    ValueError
        If there is no such number; one line.
    """
    found = _read(path)
    for part in where.split("/"):
        try:
            found = found[int(part)] if isinstance(found, list) else found[part]
        except (KeyError, IndexError, ValueError, TypeError):
            raise ValueError(f"{path.name} has no {where}") from None
    known = _FORMAT.fullmatch(form)
    if known is None:
        raise ValueError(f"{form} is no format: .3f, .1%, d or ,d")
    if not isinstance(found, int | float) or not math.isfinite(found):
        raise ValueError(f"{where} of {path.name} is {found!r}, not a number")
    if known["digits"] is not None:
        return f"{100 * found:{known['digits']}f} %"
    return f"{round(found) if form.endswith('d') else found:{form}}"


def stored_table(path: Path) -> str:
    """Return the Markdown table of a stored result.

    Parameters
    ----------
    path
        ``errors.json``, ``agreement.json`` or ``table.json`` of a benchmark, or a table as it
        is: ``{"kind": "table", "heads": […], "rows": [[…]]}``, with ``notes`` below it if there
        are any.

    Raises
    ------
    ValueError
        If it is none of these; one line.
    """
    document = _read(path)
    kind = "tables" if isinstance(document, list) else str(document.get("kind", ""))
    if kind not in _TABLES:
        raise ValueError(f"{path.name} is no stored table ({', '.join(_TABLES)})")
    try:
        return _TABLES[kind](document)
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path.name} is no stored table of kind {kind}: {error!r}") from None


def _energies(document: Mapping[str, Any]) -> str:
    from crystalicl_jobflow.benchmarks.energies import error_table

    return error_table(document)


def _agreement(document: Mapping[str, Any]) -> str:
    from crystalicl_jobflow.benchmarks.agreement import agreement_table

    return agreement_table(document)


def _suite(document: Sequence[Any]) -> str:
    from crystalicl_jobflow.benchmarks.tables import markdown
    from crystalicl_jobflow.schemas.benchmark import TableDoc

    return "\n".join(markdown(TableDoc.model_validate(table)) for table in document)


def _plain(document: Mapping[str, Any]) -> str:
    from crystalicl_jobflow.utils.markdown import markdown_table

    notes = [f"\n{words}\n" for words in document.get("notes", ())]
    return "".join([markdown_table(document["heads"], document["rows"]), *notes])


_TABLES: dict[str, Callable[[Any], str]] = {
    "energies": _energies,
    "agreement": _agreement,
    "tables": _suite,
    "table": _plain,
}
"""Kind of a stored result → its table."""


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror})") from None
    except ValueError:
        raise ValueError(f"{path.name} is no JSON") from None


def _blank(match: re.Match[str]) -> str:
    """Return as many lines and characters of nothing."""
    return re.sub(r"[^\n]", " ", match.group())


def _mismatch(page: Path, text: str, place: int, message: str) -> Mismatch:
    return Mismatch(page, text.count("\n", 0, place) + 1, message)

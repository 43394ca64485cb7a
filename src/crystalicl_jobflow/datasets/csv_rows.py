"""Rows of CSV files with crystals: any encoding, and a row that is broken costs itself only."""

from __future__ import annotations

import codecs
import csv
import gzip
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from crystalicl_jobflow.thresholds import MAX_TEXT_SIZE
from crystalicl_jobflow.utils.messages import one_line


@dataclass(frozen=True)
class CsvRow:
    """A row, or why there is none.

    Attributes
    ----------
    line
        Where it begins in the file, counted from 1.
    fields
        Column → text; empty where the row cannot be read.
    error
        Why it cannot; one line with the line's number.
    """

    line: int
    fields: dict[str, str]
    error: str | None = None


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    """Read the bytes that are no UTF-8 as Latin-1."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


codecs.register_error(_as_latin_1.__name__, _as_latin_1)


class CsvFile:
    """A CSV file with named columns, gzipped or not, in UTF-8, UTF-16 with a mark, or Latin-1.

    Parameters
    ----------
    path
        The file.
    column
        A column that it must have, in which the crystals are.

    Raises
    ------
    ValueError
        If it cannot be read or has no such column; one line.
    """

    def __init__(self, path: str | Path, column: str | None = "cif") -> None:
        self.path = Path(path)
        try:
            with self._open() as file:
                self.columns = next(csv.reader(file), [])
        except (OSError, EOFError, zlib.error, UnicodeError, csv.Error) as error:
            raise ValueError(f"{self.path} cannot be read: {one_line(error)}") from None
        self.columns = [name.strip() for name in self.columns]
        if column is not None and column not in self.columns:
            has = f"it has {', '.join(self.columns[:12])}" if self.columns else "it is empty"
            raise ValueError(f"{self.path} has no column {column!r}; {has}")
        self._column = self.columns.index(column) if column is not None else 0

    def _open(self) -> IO[str]:
        with self.path.open("rb") as file:
            head = file.read(2)
            packed = head == b"\x1f\x8b"
        if self.path.suffix.lower() == ".gz" and not packed:
            raise OSError("it is no gzip file")
        if packed:
            with gzip.open(self.path, "rb") as file:
                head = file.read(2)
        encoding = "utf-16" if head in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        errors = _as_latin_1.__name__
        if packed:
            return gzip.open(self.path, "rt", encoding=encoding, errors=errors, newline="")
        return self.path.open(encoding=encoding, errors=errors, newline="")

    def rows(self) -> Iterator[CsvRow]:
        """Yield all rows in order; a broken one with its error, and the rows after it.

        A quote that is left open swallows the rows behind it; the next line that looks like
        the start of a row is where reading continues.
        """
        csv.field_size_limit(4 * MAX_TEXT_SIZE)
        lines = _Lines()
        try:
            with self._open() as file:
                lines.file = file
                yield from self._rows(lines)
        except EOFError:
            yield CsvRow(lines.number, {}, f"line {lines.number + 1}: the gzip file is cut off")
        except (OSError, zlib.error, UnicodeError) as error:
            problem = f"line {lines.number + 1}: the file is damaged: {one_line(error)}"
            yield CsvRow(lines.number, {}, problem)

    def _rows(self, lines: _Lines) -> Iterator[CsvRow]:
        next(csv.reader(lines))
        reader = csv.reader(lines, strict=True)
        while True:
            lines.begin()
            start = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                last = self._skip(lines)
                yield CsvRow(start, {}, _why(str(error), start, last))
                reader = csv.reader(lines, strict=True)
                continue
            if not cells:  # an empty line
                continue
            row = self._row(start, cells)
            if row.error is None and self._swallows(cells):
                lines.push_back()
                reader = csv.reader(lines, strict=True)
                row = CsvRow(start, {}, _why("", start, lines.number))
            elif len(cells) <= self._column:
                last = self._skip(lines)
                reader = csv.reader(lines, strict=True)
                if last > start:
                    row = CsvRow(start, {}, f"{row.error}; lines {start} to {last} are skipped")
            yield row

    def _row(self, start: int, cells: list[str]) -> CsvRow:
        number = len(self.columns)
        if len(cells) > number or len(cells) <= self._column:
            problem = f"line {start}: the row has {len(cells)} fields, the header {number}"
            return CsvRow(start, {}, problem)
        long = next((i for i, cell in enumerate(cells) if len(cell) > MAX_TEXT_SIZE), None)
        if long is not None:
            problem = (
                f"line {start}: column {self.columns[long]!r} has {len(cells[long])} characters,"
                f" more than {MAX_TEXT_SIZE}"
            )
            return CsvRow(start, {}, problem)
        return CsvRow(start, dict(zip(self.columns, cells, strict=False)))

    def _swallows(self, cells: list[str]) -> bool:
        """Tell whether a cell ends with the start of another row: its own quote was left open."""
        pattern = rf"\n(?:[^\",\n]*,){{{self._column}}}$"
        return bool(self._column) and re.search(pattern, cells[self._column]) is not None

    def _skip(self, lines: _Lines) -> int:
        """Go to the next line that looks like the start of a row; return the last one skipped."""
        before = rf'(?:(?:"[^"\n]*"|[^",]*),){{{self._column}}}'
        # behind a cell in the first column, a line may begin with its closing quote
        pattern = re.compile(before + ('"' if self._column else r'"(?!,|\s*$)'))
        # the line at which an open quote was noticed may be the next row's first
        if not lines.is_first and pattern.match(lines.current):
            lines.push_back()
            return lines.number
        last = lines.number
        for line in lines:
            if pattern.match(line) or line.count(",") >= max(len(self.columns) - 1, 3):
                lines.push_back()
                break
            last = lines.number
        return last


def _why(error: str, start: int, last: int) -> str:
    if "field larger" in error:
        return f"line {start}: a field has more than {4 * MAX_TEXT_SIZE} characters"
    what = "a quote is left open" if last > start else "its quotes do not match"
    return f"line {start}: {what}: lines {start} to {last} are skipped"


class _Lines:
    """Lines of a file, the last of which can be put back."""

    def __init__(self) -> None:
        self.file: Iterator[str] = iter(())
        self.number = 0
        self.current = ""
        self.is_first = True
        self._back = False
        self._started = False

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        if self._back:
            self._back = False
        else:
            self.current = next(self.file)
        self.number += 1
        self.is_first, self._started = not self._started, True
        return self.current

    def begin(self) -> None:
        """Say that the next line is the first of a row."""
        self._started = False

    def push_back(self) -> None:
        """Put the current line back."""
        self._back = True
        self.number -= 1

"""The fields of a CIF's data block, and its numbers, bounded before anything is built."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import Any

import gemmi

from crystalicl_jobflow.crystal.bounds import angles_fault, lengths_fault
from crystalicl_jobflow.thresholds import MAX_NUMBER_CHARACTERS, MAX_TEXT_SIZE

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?:\(\d+\))?")
#: Tags whose values have blanks and are written without quotes by some programs.
_UNQUOTED = re.compile(
    r"^([ \t]*_(?:symmetry|space_group|chemical_formula|chemical_name|publ|journal)[^\s]*)[ \t]+"
    r"([^'\"\s;#][^'\"\n]*[^'\"\s][ \t]+[^'\"\n]*|[^'\"\s;#][^'\"\n]*?[ \t][^'\"\n]*)$",
    re.MULTILINE,
)
#: Text fields: reflection lists and refinement instructions can be megabytes.
_TEXT_FIELD = re.compile(r"^;.*?^;", re.MULTILINE | re.DOTALL)
_CELL = tuple(f"_cell_length_{axis}" for axis in "abc") + tuple(
    f"_cell_angle_{name}" for name in ("alpha", "beta", "gamma")
)


@dataclass(frozen=True, eq=False)
class CifBlock:
    """One data block: tag, in lower case and with ``_`` for ``.``, to its values as texts.

    Attributes
    ----------
    name
        Behind ``data_``.
    values
        Of a single value a list of one; nulls (``?``, ``.``) as they are.
    others
        Number of further blocks with atoms, which were not read.
    """

    name: str
    values: dict[str, list[str]] = field(default_factory=dict)
    others: int = 0

    def column(self, *tags: str) -> list[str]:
        """Return the values under the first of these tags that is there, quotes removed."""
        for tag in tags:
            if tag in self.values:
                return [_unquoted(value) for value in self.values[tag]]
        return []

    def text(self, *tags: str) -> str | None:
        """Return the first value under these tags that says something."""
        for tag in tags:
            for value in self.column(tag):
                if not is_null(value):
                    return " ".join(value.split())
        return None

    def cell(self) -> tuple[float, ...]:
        """Return lengths in Å and angles in degrees: a, b, c, alpha, beta, gamma.

        Raises
        ------
        ValueError
            Where one is missing, no number or out of bounds, or they make no cell.
        """
        numbers = []
        for tag in _CELL:
            given = self.text(tag)
            if given is None:
                raise ValueError(f"the CIF has no {tag}")
            numbers.append(read_number(given, tag))
        check_cell(numbers)
        return tuple(numbers)


def _unquoted(value: str) -> str:
    return value if is_null(value) else gemmi.cif.as_string(value)


def is_null(value: str) -> bool:
    """Tell whether a CIF value says nothing: ``?``, ``.`` or empty."""
    return value.strip() in ("", "?", ".")


def read_number(text: str, what: str) -> float:
    """Read a number of a CIF, its standard uncertainty in brackets left out.

    Parameters
    ----------
    text
        As it stands in the file.
    what
        Whose number it is, for the message.

    Raises
    ------
    ValueError
        Where it is no finite number, or has more than `MAX_NUMBER_CHARACTERS` characters.
    """
    if len(text) > MAX_NUMBER_CHARACTERS:
        raise ValueError(f"{what} has {len(text)} characters: {text[:20]}...")
    if _NUMBER.fullmatch(text) is None:
        raise ValueError(f"{what} is no finite number: {text!r}")
    value = float(text.partition("(")[0])
    if not math.isfinite(value):
        raise ValueError(f"{what} is no finite number: {text!r}")
    return value


def check_cell(cell: list[float] | tuple[float, ...]) -> None:
    """Raise ValueError where three lengths in Å and three angles in degrees make no cell."""
    fault = lengths_fault(cell[:3]) or angles_fault(cell[3:])
    if fault is not None:
        raise ValueError(fault)


def read_block(text: str) -> CifBlock:
    """Read the first data block with atoms in a CIF text.

    Raises
    ------
    ValueError
        Where the text is no CIF, or no block of it has atoms; one line, with gemmi's line.
    """
    text = plain_lines(text)
    if len(text) > MAX_TEXT_SIZE:
        text = _TEXT_FIELD.sub("?", text)
    if len(text) > MAX_TEXT_SIZE:
        raise ValueError(f"the CIF has {len(text)} characters, more than {MAX_TEXT_SIZE}")
    document = _parsed(text)
    blocks = [_fields(block) for block in document]
    with_atoms = [block for block in blocks if any(_has_atoms(tag) for tag in block.values)]
    if not with_atoms:
        raise ValueError("the CIF holds no atoms" if blocks else "the text is no CIF")
    first = with_atoms[0]
    return CifBlock(first.name, first.values, len(with_atoms) - 1)


def plain_lines(text: str) -> str:
    """Return a text with line feeds at the line ends, and without a byte-order mark."""
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    return text.lstrip("\ufeff")


def _has_atoms(tag: str) -> bool:
    return tag in ("_atom_site_fract_x", "_atom_site_cartn_x", "_atom_site_label")


def _parsed(text: str) -> Any:
    """Parse with gemmi; once more with quotes around symbols and formulas that lack them."""
    if "\0" in text:
        raise ValueError("the text holds null characters: it is no CIF")
    try:
        return gemmi.cif.read_string(text, 1)
    except (ValueError, RuntimeError) as error:
        first = error
    quoted = _UNQUOTED.sub(lambda match: f"{match[1]} '{match[2].strip()}'", text)
    if not quoted.lstrip().lower().startswith(("data_", "#", "global_")):
        at = quoted.lower().find("\ndata_")
        if at < 0 and quoted.lstrip().startswith("_"):
            quoted = f"data_\n{quoted}"
        elif at >= 0 and "_" not in quoted[:at]:
            quoted = quoted[at:]  # words before the block
    try:
        return gemmi.cif.read_string(quoted, 1)
    except (ValueError, RuntimeError):
        raise ValueError(f"the CIF cannot be read: {_without_name(first)}") from None


def _without_name(error: Exception) -> str:
    """Return gemmi's message: its name for a text goes, the line stays."""
    message = " ".join(str(error).split())
    return re.sub(r"^string:(\d+)(?::\d+\(\d+\))?:?", r"line \1:", message)[:200]


def _fields(block: Any) -> CifBlock:
    values: dict[str, list[str]] = {}
    for item in block:
        if item.pair is not None:
            tag, value = item.pair
            values[_key(tag)] = [value]
        elif item.loop is not None:
            tags, cells = item.loop.tags, item.loop.values
            for place, tag in enumerate(tags):
                values[_key(tag)] = cells[place :: len(tags)]
    return CifBlock(block.name, values)


def _key(tag: str) -> str:
    return tag.lower().replace(".", "_")

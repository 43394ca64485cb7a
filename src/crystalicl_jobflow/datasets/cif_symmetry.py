"""Which space group, in which setting, a CIF says its crystal has."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from crystalicl_jobflow.crystal.group_settings import (
    GroupSetting,
    distinct_settings,
    setting_of_hall,
    setting_of_operations,
    settings_of_number,
    settings_of_symbol,
)
from crystalicl_jobflow.datasets.cif_block import CifBlock
from crystalicl_jobflow.thresholds import MAX_OPERATIONS

_HERMANN_MAUGUIN = (
    "_space_group_name_h-m_alt", "_symmetry_space_group_name_h-m", "_space_group_name_h-m_full",
    "_space_group_name_h-m_ref", "_symmetry_space_group_name_h-m_full",
    "_symmetry_space_group_name_h-m_alt",
)  # fmt: skip
_HALL = ("_space_group_name_hall", "_symmetry_space_group_name_hall")
_NUMBER = (
    "_space_group_it_number", "_symmetry_int_tables_number", "_symmetry_it_number",
    "_space_group_int_tables_number",
)  # fmt: skip
_LOOPS = ("_space_group_symop_operation_xyz", "_symmetry_equiv_pos_as_xyz")
MAGNETIC_LOOP = ("_space_group_symop_magn_operation_xyz", "_space_group_symop_magn_operation")
MAGNETIC_CENTRING = ("_space_group_symop_magn_centering_xyz",)
_BNS = ("_space_group_magn_name_bns", "_space_group_magn_name_uni")


@dataclass(frozen=True)
class StatedSymmetry:
    """What a file says about its symmetry.

    Attributes
    ----------
    label
        The symbol or number as written, for messages; empty where there is none.
    named
        Settings that the symbols and the number can mean, the likeliest first.
    listed
        The group of the operation loop; None where there is no loop.
    unknown
        A symbol that nobody knows.
    standard_meant
        Whether the first of `named` is meant where nothing else decides.
    """

    label: str = ""
    named: tuple[GroupSetting, ...] = ()
    listed: GroupSetting | None = None
    unknown: str | None = None
    standard_meant: bool = True


def read_symmetry(block: CifBlock) -> StatedSymmetry:
    """Read symbols, number and operations of a data block.

    Raises
    ------
    ValueError
        Where a symbol contradicts another or the number, a number is none, or the listed
        operations are no group; one line.
    """
    listed = _listed(block)
    if block.column(*MAGNETIC_LOOP) or block.text(*_BNS):
        symbols = _magnetic_symbols(block, listed)
    else:
        symbols = [name for tag in _HERMANN_MAUGUIN if (name := block.text(tag)) is not None]
    hall, number = block.text(*_HALL), _number(block)
    named: list[GroupSetting] | None = None
    unknown: str | None = None
    label = ""
    for symbol in dict.fromkeys(symbols):
        found = settings_of_symbol(symbol)
        if not found:
            unknown = unknown or symbol
            continue
        named, label = _agreeing(named, found, label, symbol), label or symbol
    if hall is not None:
        exact = setting_of_hall(hall)
        if exact is None:
            unknown = unknown or hall
        else:
            named, label = _with_hall(named, exact, label, hall), label or hall
    if named is not None and number is not None and named[0].number not in (number, None):
        raise ValueError(
            f"the space group {label!r} has number {named[0].number}, the CIF states {number}"
        )
    standard_meant = True
    if named is None and number is not None and unknown is None:
        named, label = list(settings_of_number(number)), f"number {number}"
    if named:
        # two origins, or two sets of axes, under one symbol: nothing makes one of them right
        standard_meant = not any(
            other.name.partition(":")[0] == named[0].name.partition(":")[0] for other in named[1:]
        )
    return StatedSymmetry(
        label, tuple(distinct_settings(named or [])), listed, unknown, standard_meant
    )


def _agreeing(
    named: list[GroupSetting] | None,
    found: Sequence[GroupSetting],
    label: str,
    symbol: str,
) -> list[GroupSetting]:
    """Return the settings that two symbols have in common, all of them for the first."""
    if named is None:
        return list(found)
    keys = {setting.key for setting in found}
    both = [setting for setting in named if setting.key in keys]
    if not both:
        raise ValueError(f"the space groups {label!r} and {symbol!r} contradict each other")
    return both


def _with_hall(
    named: list[GroupSetting] | None, exact: GroupSetting, label: str, hall: str
) -> list[GroupSetting]:
    if named is not None and None not in (exact.number, named[0].number):
        if exact.number != named[0].number:
            raise ValueError(
                f"the space group {label!r} and the Hall symbol {hall!r} contradict each other"
            )
        # a bare symbol leaves the setting to the Hall symbol, one with a setting does not
        if ":" in label and exact.key not in {setting.key for setting in named}:
            raise ValueError(
                f"the space group {label!r} and the Hall symbol {hall!r} contradict each other"
            )
    return [exact]


def _number(block: CifBlock) -> int | None:
    numbers = dict.fromkeys(text for tag in _NUMBER if (text := block.text(tag)) is not None)
    if len(numbers) > 1:
        raise ValueError(f"the space-group numbers {' and '.join(numbers)} contradict each other")
    for text in numbers:
        if not text.isdecimal() or not 1 <= int(text[:9]) <= 230:
            raise ValueError(f"space-group number {text[:20]!r}: it must lie between 1 and 230")
        return int(text)
    return None


def _listed(block: CifBlock) -> GroupSetting | None:
    operations = block.column(*_LOOPS)
    if not operations:
        operations = _magnetic_operations(block)
    if not operations:
        return None
    return setting_of_operations(tuple(operations))


def _magnetic_operations(block: CifBlock) -> list[str]:
    """Return what magnetic operations do to places: time reversal is left out."""
    own = [_without_time(text) for text in block.column(*MAGNETIC_LOOP)]
    centring = [_without_time(text) for text in block.column(*MAGNETIC_CENTRING)]
    if len(own) * max(len(centring), 1) > MAX_OPERATIONS:
        raise ValueError("the magnetic symmetry operations are more than any group has")
    if not centring:
        return own
    shifts = [
        re.sub(r"^x|(?<=,)[yz]", "", text.replace(" ", "").lower()).split(",") for text in centring
    ]
    operations = []
    for text in own:
        parts = text.split(",")
        for shift in shifts:
            moved = [f"{part}{move}" for part, move in zip(parts, shift, strict=False)]
            operations.append(",".join(moved))
    return operations


def _without_time(operation: str) -> str:
    return ",".join(operation.split(",")[:3])


def _magnetic_symbols(block: CifBlock, listed: GroupSetting | None) -> list[str]:
    """Return the space group of a magnetic one by its symbol, where it has a plain one.

    Without primes a BNS symbol of type I to III is that of the places; one with a lattice
    of its own (``P_c 4/n``) is not, and nothing but its operations will do.
    """
    symbol = block.text(*_BNS)
    if symbol is None:
        return []
    if re.match(r"[A-Z]_", symbol.replace(" ", "")):
        if listed is None:
            raise ValueError(f"the magnetic space group {symbol!r} needs its operations")
        return []
    return [symbol.replace("'", "")]

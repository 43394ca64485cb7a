"""Names, numbers and crystal systems of the 230 space groups.

Setting: spglib's default for a space-group number, the lowest Hall number (origin
choice 1, hexagonal axes for rhombohedral groups, unique axis b, cell choice b1).
"""

from __future__ import annotations

from functools import cache
from typing import Any

#: Short Hermann-Mauguin symbols in the order of the numbers; they are written in texts.
SYMBOLS = (
    "P1", "P-1", "P2", "P2_1", "C2", "Pm", "Pc", "Cm", "Cc", "P2/m", "P2_1/m", "C2/m", "P2/c",
    "P2_1/c", "C2/c", "P222", "P222_1", "P2_12_12", "P2_12_12_1", "C222_1", "C222", "F222", "I222",
    "I2_12_12_1", "Pmm2", "Pmc2_1", "Pcc2", "Pma2", "Pca2_1", "Pnc2", "Pmn2_1", "Pba2", "Pna2_1",
    "Pnn2", "Cmm2", "Cmc2_1", "Ccc2", "Amm2", "Aem2", "Ama2", "Aea2", "Fmm2", "Fdd2", "Imm2",
    "Iba2", "Ima2", "Pmmm", "Pnnn", "Pccm", "Pban", "Pmma", "Pnna", "Pmna", "Pcca", "Pbam", "Pccn",
    "Pbcm", "Pnnm", "Pmmn", "Pbcn", "Pbca", "Pnma", "Cmcm", "Cmce", "Cmmm", "Cccm", "Cmme", "Ccce",
    "Fmmm", "Fddd", "Immm", "Ibam", "Ibca", "Imma", "P4", "P4_1", "P4_2", "P4_3", "I4", "I4_1",
    "P-4", "I-4", "P4/m", "P4_2/m", "P4/n", "P4_2/n", "I4/m", "I4_1/a", "P422", "P42_12", "P4_122",
    "P4_12_12", "P4_222", "P4_22_12", "P4_322", "P4_32_12", "I422", "I4_122", "P4mm", "P4bm",
    "P4_2cm", "P4_2nm", "P4cc", "P4nc", "P4_2mc", "P4_2bc", "I4mm", "I4cm", "I4_1md", "I4_1cd",
    "P-42m", "P-42c", "P-42_1m", "P-42_1c", "P-4m2", "P-4c2", "P-4b2", "P-4n2", "I-4m2", "I-4c2",
    "I-42m", "I-42d", "P4/mmm", "P4/mcc", "P4/nbm", "P4/nnc", "P4/mbm", "P4/mnc", "P4/nmm",
    "P4/ncc", "P4_2/mmc", "P4_2/mcm", "P4_2/nbc", "P4_2/nnm", "P4_2/mbc", "P4_2/mnm", "P4_2/nmc",
    "P4_2/ncm", "I4/mmm", "I4/mcm", "I4_1/amd", "I4_1/acd", "P3", "P3_1", "P3_2", "R3", "P-3",
    "R-3", "P312", "P321", "P3_112", "P3_121", "P3_212", "P3_221", "R32", "P3m1", "P31m", "P3c1",
    "P31c", "R3m", "R3c", "P-31m", "P-31c", "P-3m1", "P-3c1", "R-3m", "R-3c", "P6", "P6_1", "P6_5",
    "P6_2", "P6_4", "P6_3", "P-6", "P6/m", "P6_3/m", "P622", "P6_122", "P6_522", "P6_222",
    "P6_422", "P6_322", "P6mm", "P6cc", "P6_3cm", "P6_3mc", "P-6m2", "P-6c2", "P-62m", "P-62c",
    "P6/mmm", "P6/mcc", "P6_3/mcm", "P6_3/mmc", "P23", "F23", "I23", "P2_13", "I2_13", "Pm-3",
    "Pn-3", "Fm-3", "Fd-3", "Im-3", "Pa-3", "Ia-3", "P432", "P4_232", "F432", "F4_132", "I432",
    "P4_332", "P4_132", "I4_132", "P-43m", "F-43m", "I-43m", "P-43n", "F-43c", "I-43d", "Pm-3m",
    "Pn-3n", "Pm-3n", "Pn-3m", "Fm-3m", "Fm-3c", "Fd-3m", "Fd-3c", "Im-3m", "Ia-3d",
)  # fmt: skip
_SYSTEM_STARTS = (
    (1, "triclinic"),
    (3, "monoclinic"),
    (16, "orthorhombic"),
    (75, "tetragonal"),
    (143, "trigonal"),
    (168, "hexagonal"),
    (195, "cubic"),
)
_CENTRING = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "F": 4, "R": 3}
#: Older names of the groups with an e-glide (International Tables A, 1983 and before).
_OLD_NAMES = {
    "Abm2": 39, "Aba2": 41, "Cmca": 64, "Cmma": 67, "Ccca": 68,
    "Pm3": 200, "Pn3": 201, "Fm3": 202, "Fd3": 203, "Im3": 204,
    "Pa3": 205, "Ia3": 206, "Pm3m": 221, "Pn3n": 222, "Pm3n": 223, "Pn3m": 224,
    "Fm3m": 225, "Fm3c": 226, "Fd3m": 227, "Fd3c": 228, "Im3m": 229, "Ia3d": 230,
}  # fmt: skip


def _check(number: int) -> None:
    if not 1 <= number <= len(SYMBOLS):
        raise ValueError(f"space group {number}: the number must lie between 1 and 230")


def _plain(name: str) -> str:
    """Strip what does not distinguish one symbol from another."""
    return "".join(c for c in name if c not in " _{}$").replace("\\bar", "-").casefold()


@cache
def _numbers_by_name() -> dict[str, int]:
    import spglib

    names = {_plain(name): number_ for number_, name in enumerate(SYMBOLS, start=1)}
    full_symbols: dict[int, str] = {}
    for hall_number in range(1, 531):  # the first one of a number is its standard setting
        kind: Any = spglib.get_spacegroup_type(hall_number)
        full_symbols.setdefault(kind.number, kind.international_full)
    for number_, name in [*full_symbols.items(), *((n, o) for o, n in _OLD_NAMES.items())]:
        names.setdefault(_plain(name), number_)
    return names


@cache
def standard_type(number: int) -> Any:
    """Return spglib's description of a group in its standard setting: the lowest Hall number.

    Raises
    ------
    ValueError
        Where the number is not one of 1 to 230.
    """
    import spglib

    _check(number)
    kinds: Any = (spglib.get_spacegroup_type(hall_number) for hall_number in range(1, 531))
    return next(kind for kind in kinds if kind.number == number)


def symbol(number: int) -> str:
    """Return the short Hermann-Mauguin symbol, for example ``P4/mmm``.

    Raises
    ------
    ValueError
        Where the number is not one of 1 to 230.
    """
    _check(number)
    return SYMBOLS[number - 1]


def number(symbol_or_number: str | int) -> int:
    """Return the number of a space group.

    Parameters
    ----------
    symbol_or_number
        A number, or a symbol: short or full, with or without underscores and spaces,
        in any case, and the usual older names (``Cmca``, ``Fm3m``). Symbols of other
        settings (``I2/a``, ``P2_1/n``) are refused: their coordinates differ.

    Raises
    ------
    ValueError
        Where it names no space group in the standard setting.
    """
    if isinstance(symbol_or_number, str):
        text = symbol_or_number.strip()
        if not text.isdecimal():
            found = _numbers_by_name().get(_plain(text))
            if found is None:
                raise ValueError(f"no space group is called {text!r} in the standard setting")
            return found
        symbol_or_number = int(text)
    _check(int(symbol_or_number))
    return int(symbol_or_number)


@cache
def crystal_system(number: int) -> str:
    """Return the crystal system of a group number, ``triclinic`` to ``cubic``."""
    _check(number)
    return [name for start, name in _SYSTEM_STARTS if number >= start][-1]


@cache
def centring_multiplicity(number: int) -> int:
    """Return how many primitive cells the conventional cell holds (1, 2, 3 or 4)."""
    return _CENTRING[symbol(number)[0]]

"""Small CIF texts, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Sequence

CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")


def cif_text(
    cell: Sequence[object],
    *sites: str,
    symbol: str | None = None,
    columns: str = "label type_symbol fract_x fract_y fract_z",
    operations: Sequence[str] = (),
    **tags: object,
) -> str:
    """Return a CIF text with a cell, sites and whatever else it states.

    ``tags`` are written as they are, without the leading underscore; ``formula`` and ``z`` are
    short for the formula sum and the number of formula units.
    """
    short = {"formula": "chemical_formula_sum", "z": "cell_formula_units_Z"}
    if symbol is not None:
        tags = {"symmetry_space_group_name_H-M": symbol, **tags}
    lines = ["data_test"]
    lines += [f"_cell_{tag} {value}" for tag, value in zip(CELL_TAGS, cell, strict=True)]
    lines += [f'_{short.get(tag, tag)} "{value}"' for tag, value in tags.items()]
    if operations:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{item}'" for item in operations)]
    lines += ["loop_", *(f"_atom_site_{column}" for column in columns.split()), *sites]
    return "\n".join(lines) + "\n"


def cubic(a: float) -> list[float]:
    return [a, a, a, 90, 90, 90]


def hexagonal(a: float, c: float) -> list[float]:
    return [a, a, c, 90, 90, 120]


def tetragonal(a: float, c: float) -> list[float]:
    return [a, a, c, 90, 90, 90]

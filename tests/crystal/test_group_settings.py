"""Settings of space groups: every symbol means its own operations."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from pymatgen.core import Lattice

from crystalicl_jobflow.crystal.group_settings import (
    setting_of_hall,
    setting_of_operations,
    settings_of_number,
    settings_of_symbol,
)


def test_every_symbol_of_the_tables_means_its_own_operations() -> None:
    for entry in gemmi.spacegroup_table():
        (setting, *others) = settings_of_symbol(entry.xhm())
        expected = {(tuple(map(tuple, op.rot)), tuple(op.wrap().tran)) for op in entry.operations()}
        found = {
            (tuple(map(tuple, (24 * rotation).tolist())), tuple(translation.tolist()))
            for rotation, translation in zip(setting.rotations, setting.translations, strict=True)
        }
        assert setting.number == entry.number
        # a few of the 564 share a symbol; the first in the table is meant
        names = [other.xhm() for other in gemmi.spacegroup_table() if other.xhm() == entry.xhm()]
        assert found == expected or len(names) > 1, entry.xhm()
        if ":" in entry.xhm():
            assert not others


@pytest.mark.parametrize(
    ("symbol", "names"),
    [
        ("P2_1/c", ["P 1 21/c 1", "P 21/c 1 1"]),
        ("P 2(1)/c", ["P 1 21/c 1", "P 21/c 1 1"]),
        ("P 1 21/n 1", ["P 1 21/n 1"]),
        ("I 2/a", ["I 1 2/a 1", "I 1 1 2/a"]),
        ("P 1 1 21/b", ["P 1 1 21/b"]),
        ("Fd-3m:2", ["F d -3 m:2"]),
        ("F d -3 m Z", ["F d -3 m:2"]),
        ("Fd-3mS", ["F d -3 m:1"]),
        ("F m -3 m S", ["F m -3 m"]),
        ("F d -3 m", ["F d -3 m:1", "F d -3 m:2"]),
        ("R -3 m", ["R -3 m:H", "R -3 m:R"]),
        ("R-3mR", ["R -3 m:R"]),
        ("R -3 m H", ["R -3 m:H"]),
        ("Cmca", ["C m c a"]),
        ("P b n m", ["P b n m"]),
        ("F 4/m -3 2/m", ["F m -3 m"]),
        ("P 21/q", []),
        ("X -1", []),
        ("", []),
        ("?", []),
        ("F m -3 m :2", []),
    ],
)
def test_symbols_mean_their_settings(symbol: str, names: list[str]) -> None:
    assert [setting.name for setting in settings_of_symbol(symbol)] == names


def test_numbers_begin_with_the_standard_setting() -> None:
    assert [settings_of_number(n)[0].name for n in (14, 62, 225)] == [
        "P 1 21/c 1", "P n m a", "F m -3 m",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="space group 231"):
        settings_of_number(231)


def test_hall_symbols_need_no_table() -> None:
    known, shifted = setting_of_hall("-P 2ybc"), setting_of_hall("-P 2ybc (x-1/4,y,z)")
    assert known is not None
    assert shifted is not None
    assert (known.name, known.number, shifted.number) == ("P 1 21/c 1", 14, 14)
    assert known.key != shifted.key
    for wrong in ("-P 2y nonsense", "-F 4xx 2vw 3", "P 2yy", "P 5", "2yb", ""):
        assert setting_of_hall(wrong) is None


def test_every_hall_symbol_of_the_tables_is_known() -> None:
    for entry in gemmi.spacegroup_table():
        setting = setting_of_hall(entry.hall)
        assert setting is not None
        assert (setting.number, len(setting)) == (entry.number, len(entry.operations()))


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        (("x,y,z", "-y,x,z"), "are no group"),
        (("-x,-y,-z",), "do not include x,y,z"),
        (("x,y,z", "x,y"), "'x,y' is no symmetry operation"),
        (("x,y,z", "x/2,y,z"), "is no symmetry operation"),
        (("x,y,z", f"x+{'9' * 2000},y,z"), "is too long"),
        (tuple(["x,y,z"] * 1001), "more than any group has"),
    ],
)
def test_lists_that_are_no_group_are_refused(operations: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        setting_of_operations(operations)


def test_listed_operations_are_recognised_in_any_order() -> None:
    shuffled = ("-x,-y,-z", "1/2-x,1/2+y,1/2-z", "x,y,z", "x+1/2,1/2-y,z+1/2")
    assert setting_of_operations(shuffled).name == "P 1 21/n 1"


@pytest.mark.parametrize(
    ("symbol", "lattice", "fits"),
    [
        ("F m -3 m", Lattice.cubic(5.7), True),
        ("F m -3 m", Lattice.from_parameters(5.7, 5.7, 5.9, 90, 90, 90), False),
        ("F m -3 m", Lattice.from_parameters(4, 4, 4, 60, 60, 60), False),
        ("R -3 m:R", Lattice.rhombohedral(4.746, 57.24), True),
        ("R -3 m:H", Lattice.rhombohedral(4.746, 57.24), False),
        ("R -3 m:H", Lattice.hexagonal(4.5, 11.8), True),
        ("P 1 21/c 1", Lattice.monoclinic(5, 6, 7, 99), True),
        ("P 1 21/c 1", Lattice.from_parameters(5, 6, 7, 90, 90, 99), False),
        ("P 4/m m m", Lattice.from_parameters(4.00, 4.01, 7, 90, 90, 90), True),
    ],
)
def test_groups_fit_the_cells_that_they_can_have(symbol: str, lattice: Lattice, fits: bool) -> None:
    assert settings_of_symbol(symbol)[0].fits_cell(np.array(lattice.matrix)) is fits

"""CIFs whose symmetry is stated in every way that files have: right, or refused by name."""

from __future__ import annotations

import pytest

from cif_texts import cif_text, cubic, hexagonal, tetragonal
from crystalicl_jobflow.crystal.symmetry import structure_dataset
from crystalicl_jobflow.datasets.records import read_crystal, read_with_remarks

CORUNDUM = ["Al1 Al 0 0 0.352", "O1 O 0.306 0 0.25"]
RHOMBOHEDRAL_CORUNDUM = ["Al1 Al 0.352 0.352 0.352", "O1 O 0.556 0.944 0.25"]
MONOCLINIC = [5.0, 6.0, 7.0, 90, 100, 90]
PEROVSKITE = [
    "Ca1 Ca 0.993 0.036 0.25", "Ti1 Ti 0 0.5 0", "O1 O 0.071 0.484 0.25", "O2 O 0.711 0.289 0.037",
]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "group", "num_sites"),
    [
        # short, full and Hall symbols
        (cif_text(cubic(5.41), "Zn1 Zn 0 0 0", "S1 S .25 .25 .25", symbol="F-43m"), 216, 8),
        (cif_text(cubic(4.12), "Cs1 Cs 0 0 0", "Cl1 Cl .5 .5 .5", symbol="P 4/m -3 2/m"), 221, 2),
        (
            cif_text(
                tetragonal(4.594, 2.959), "Ti1 Ti 0 0 0", "O1 O 0.305 0.305 0",
                space_group_name_Hall="-P 4n 2n",
            ),
            136, 6,
        ),
        (
            cif_text(
                tetragonal(4.594, 2.959), "Ti1 Ti 0 0 0", "O1 O 0.305 0.305 0",
                **{"space_group.name_H-M_alt": "P 42/m n m", "space_group.IT_number": 136},
            ),
            136, 6,
        ),
        # origin choices
        (cif_text(cubic(3.567), "C1 C 0 0 0", symbol="F d -3 m :1"), 227, 8),
        (cif_text(cubic(3.567), "C1 C .125 .125 .125", symbol="Fd-3m:2"), 227, 8),
        (cif_text(cubic(3.567), "C1 C .125 .125 .125", symbol="F d -3 m Z"), 227, 8),
        (cif_text(cubic(3.567), "C1 C 0 0 0", symbol="Fd-3mS"), 227, 8),
        (
            cif_text(
                tetragonal(3.785, 9.514), "Ti1 Ti 0 .75 .125", "O1 O 0 .75 .3331",
                symbol="I 41/a m d :2",
            ),
            141, 12,
        ),
        # hexagonal and rhombohedral axes, named or as the cell has them
        (cif_text(hexagonal(4.76, 12.99), *CORUNDUM, symbol="R -3 c"), 167, 30),
        (cif_text(hexagonal(4.76, 12.99), *CORUNDUM, symbol="R -3 c :H"), 167, 30),
        (
            cif_text([5.128] * 3 + [55.28] * 3, *RHOMBOHEDRAL_CORUNDUM, symbol="R -3 c"),
            167, 10,
        ),
        (
            cif_text([5.128] * 3 + [55.28] * 3, *RHOMBOHEDRAL_CORUNDUM, symbol="R-3cR"),
            167, 10,
        ),
    ],
)  # fmt: skip
def test_symbols_without_operations_give_their_own_setting(
    text: str, group: int, num_sites: int
) -> None:
    structure = read_crystal(text)
    assert len(structure) == num_sites
    assert structure_dataset(structure).number == group


@pytest.mark.parametrize(
    ("symbol", "images"),
    [
        # by hand, from the International Tables: glide n is (a + c)/2, I 2/a glides along a
        ("P 21/n", [(0.4, 0.7, 0.2), (0.9, 0.8, 0.7), (0.6, 0.3, 0.8)]),
        ("P 21/c", [(0.9, 0.7, 0.2), (0.9, 0.8, 0.7), (0.1, 0.3, 0.8)]),
        ("P 21/a", [(0.4, 0.7, 0.7), (0.9, 0.8, 0.7), (0.6, 0.3, 0.3)]),
        (
            "I 2/a",
            [
                (0.4, 0.2, 0.7), (0.9, 0.8, 0.7), (0.6, 0.8, 0.3),
                (0.6, 0.7, 0.8), (0.9, 0.7, 0.2), (0.4, 0.3, 0.2), (0.1, 0.3, 0.8),
            ],
        ),
    ],
)  # fmt: skip
def test_other_cell_choices_are_read_as_they_are(
    symbol: str, images: list[tuple[float, float, float]]
) -> None:
    structure = read_crystal(cif_text(MONOCLINIC, "Na1 Na 0.1 0.2 0.3", symbol=symbol))
    found = {tuple(point) for point in structure.frac_coords.round(4).tolist()}
    assert found == {(0.1, 0.2, 0.3), *images}


def test_the_unique_axis_is_the_cells() -> None:
    cell = [5.0, 6.0, 7.0, 90, 90, 100]
    structure = read_crystal(cif_text(cell, "Na1 Na 0.1 0.2 0.3", symbol="P 21/m"))
    found = {tuple(point) for point in structure.frac_coords.round(4).tolist()}
    assert found == {(0.1, 0.2, 0.3), (0.9, 0.8, 0.8), (0.9, 0.8, 0.7), (0.1, 0.2, 0.2)}


def test_contents_tell_which_origin_a_bare_symbol_has() -> None:
    for place in ("0 0 0", "0.125 0.125 0.125"):
        text = cif_text(cubic(3.567), f"C1 C {place}", symbol="F d -3 m", formula="C", z=8)
        assert len(read_crystal(text)) == 8
        with pytest.raises(ValueError, match=r"may be F d -3 m:1 or F d -3 m:2"):
            read_crystal(cif_text(cubic(3.567), f"C1 C {place}", symbol="F d -3 m"))


def test_contents_tell_the_setting_of_a_number_alone() -> None:
    cell = [5.38, 5.44, 7.64, 90, 90, 90]
    tags = {"space_group_IT_number": 62}
    structure = read_crystal(cif_text(cell, *PEROVSKITE, formula="Ca Ti O3", z=4, **tags))
    assert structure.composition.reduced_formula == "CaTiO3"
    assert (len(structure), structure_dataset(structure).number) == (20, 62)
    with pytest.raises(ValueError, match=r"the cell holds Ca\d+ .* 'Ca2 Ti O3'"):
        read_crystal(cif_text(cell, *PEROVSKITE, formula="Ca2 Ti O3", z=4, **tags))
    standard = cif_text(MONOCLINIC, "Na1 Na 0.1 0.2 0.3", space_group_IT_number=14)
    assert len(read_crystal(standard)) == 4
    with pytest.raises(ValueError, match="number 227' may be"):
        read_crystal(cif_text(cubic(3.567), "C1 C 0 0 0", space_group_IT_number=227))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (cif_text(cubic(5), "Na1 Na 0 0 0", symbol="P 21/q"), "no space group is called 'P 21/q'"),
        (cif_text(cubic(5), "Na1 Na 0 0 0", symbol="Fx-3m"), "no space group is called 'Fx-3m'"),
        (
            cif_text(cubic(5), "Na1 Na 0 0 0", space_group_name_Hall="-P 9"),
            "no space group is called '-P 9'",
        ),
        (
            cif_text(MONOCLINIC, "Na1 Na 0 0 0", symbol="P 21/c", space_group_IT_number=15),
            "'P 21/c' has number 14, the CIF states 15",
        ),
        (
            cif_text(cubic(5), "Na1 Na 0 0 0", symbol="Xyz", space_group_IT_number=225),
            "no space group is called 'Xyz'",
        ),
        (
            cif_text(cubic(5), "Na1 Na 0 0 0", symbol="P 1", space_group_IT_number=999),
            "number '999': it must lie between 1 and 230",
        ),
        (
            cif_text(tetragonal(5.7, 5.9), "Na1 Na 0 0 0", symbol="F m -3 m"),
            "'F m -3 m' contradicts the cell",
        ),
        (
            cif_text([4.7] * 3 + [57.2] * 3, "Bi1 Bi .23 .23 .23", symbol="R -3 m :H"),
            "'R -3 m :H' contradicts the cell",
        ),
        (
            cif_text(
                cubic(5), "Na1 Na 0 0 0", symbol="F m -3 m",
                **{"space_group_name_H-M_alt": "I m -3 m"},
            ),
            "contradict each other",
        ),
        (
            cif_text(tetragonal(5, 6), "Na1 Na .1 .2 .3", operations=["x,y,z", "-y,x,z"]),
            "are no group",
        ),
        (
            cif_text(
                [5, 6, 7, 90, 90, 90], "Na1 Na .1 .2 .3",
                operations=["x,y,z", "-y,x,z", "-x,-y,z", "y,-x,z"],
            ),
            "contradict the cell",
        ),
    ],
)  # fmt: skip
def test_what_contradicts_itself_is_refused_by_name(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_crystal(text)


@pytest.mark.parametrize(
    ("text", "group", "num_sites"),
    [
        (
            cif_text(
                cubic(4.12), "Cs1 Cs 0 0 0", "Cl1 Cl .5 .5 .5", symbol="P m -3 m", formula="Cs Cl",
                z=1, operations=["x,y,z"],
            ),
            221, 2,
        ),
        (
            cif_text(
                tetragonal(4.594, 2.959), "Ti1 Ti 0 0 0", "O1 O .305 .305 0", symbol="P42/mnm",
                formula="Ti2 O4", z=2, operations=["x,y,z"],
            ),
            136, 6,
        ),
        (
            cif_text(
                cubic(3.567), "C1 C 0 0 0 8", symbol="F d -3 m:1", operations=["x,y,z"],
                columns="label type_symbol fract_x fract_y fract_z symmetry_multiplicity",
            ),
            227, 8,
        ),
        (  # all atoms are listed: both ways are one crystal
            cif_text(
                cubic(3.6), "Cu1 Cu 0 0 0", "Cu2 Cu .5 .5 0", "Cu3 Cu .5 0 .5", "Cu4 Cu 0 .5 .5",
                symbol="F m -3 m", operations=["x,y,z"],
            ),
            225, 4,
        ),
    ],
)  # fmt: skip
def test_one_operation_under_a_symbol_of_many_is_read_by_the_symbol_where_all_agrees(
    text: str, group: int, num_sites: int
) -> None:
    structure = read_crystal(text)
    assert (structure_dataset(structure).number, len(structure)) == (group, num_sites)


@pytest.mark.parametrize(
    "stated",
    [{}, {"formula": "Na Cl"}, {"formula": "Na Cl", "z": 1}, {"formula": "Na2 Cl", "z": 4}],
)
def test_one_operation_under_a_symbol_of_many_is_refused_elsewhere(
    stated: dict[str, object],
) -> None:
    text = cif_text(
        cubic(5.69), "Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5", symbol="Fm-3m", operations=["x,y,z"],
        **stated,  # type: ignore[arg-type]
    )  # fmt: skip
    with pytest.raises(ValueError, match="lists 1 operation, the space group 'Fm-3m' has 192"):
        read_crystal(text)


def test_complete_operations_need_no_symbol_that_is_known() -> None:
    operations = ["x,y,z", "-x,-y,-z", "x+1/2,y+1/2,z+1/2", "1/2-x,1/2-y,1/2-z"]
    text = cif_text([5, 6, 7, 80, 85, 95], "Na1 Na .1 .2 .3", symbol="X -1", operations=operations)
    assert len(read_crystal(text)) == 4


def test_magnetic_operations_act_on_places_without_time() -> None:
    text = cif_text(
        tetragonal(4.873, 3.310), "Mn1 Mn 0 0 0", "F1 F .305 .305 0",
        **{"space_group_magn.name_BNS": "P 42'/m n m'"},
    )  # fmt: skip
    assert len(read_crystal(text)) == 6
    loop = (
        "loop_\n_space_group_symop_magn_operation.xyz\nx,y,z,+1\n-x,-y,-z,+1\n"
        "loop_\n_space_group_symop_magn_centering.xyz\nx,y,z,+1\nx+1/2,y,z,-1\n"
    )
    text = cif_text([5, 6, 7, 80, 85, 95], "Mn1 Mn .1 .2 .3").replace("loop_", f"{loop}loop_", 1)
    points = {tuple(point) for point in read_crystal(text).frac_coords.round(4).tolist()}
    assert points == {(0.1, 0.2, 0.3), (0.9, 0.8, 0.7), (0.6, 0.2, 0.3), (0.4, 0.8, 0.7)}
    with pytest.raises(ValueError, match="'P_c 4/n' needs its operations"):
        read_crystal(
            cif_text(tetragonal(4, 5), "Mn1 Mn 0 0 0", **{"space_group_magn.name_BNS": "P_c 4/n"})
        )


def test_no_symmetry_at_all_is_remarked() -> None:
    read = read_with_remarks(cif_text(cubic(4.12), "Cs1 Cs 0 0 0", "Cl1 Cl .5 .5 .5"))
    assert len(read.structure) == 2
    assert read.remarks == ("no symmetry is stated: the atoms listed are taken as all atoms",)
    with pytest.raises(ValueError, match="Z = 4"):
        read_crystal(cif_text(cubic(5.69), "Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5", formula="NaCl", z=4))

"""CIFs whose contents are checked against what they state: mended, remarked or refused."""

from __future__ import annotations

import pytest

from cif_texts import cif_text, cubic, hexagonal, tetragonal
from crystalicl_jobflow.crystal.symmetry import structure_dataset
from crystalicl_jobflow.datasets.cif_contents import read_formula
from crystalicl_jobflow.datasets.records import read_crystal, read_with_remarks

WITH_OCCUPANCY = "label type_symbol fract_x fract_y fract_z occupancy"
LABELS_ONLY = "label fract_x fract_y fract_z"


@pytest.mark.parametrize(
    ("text", "formula", "group", "num_sites"),
    [
        (
            cif_text(
                hexagonal(3.086, 3.524), "Mg1 Mg 0 0 0", "B1 B 0.333 0.667 0.5",
                symbol="P 6/m m m", formula="Mg B2", z=1,
            ),
            "MgB2", 191, 3,
        ),
        (  # two decimals, cut off, and nothing stated
            cif_text(
                hexagonal(3.25, 5.207), "Zn1 Zn 0.33 0.66 0", "O1 O 0.33 0.66 0.382",
                symbol="P 63 m c",
            ),
            "ZnO", 186, 4,
        ),
        (
            cif_text(
                hexagonal(3.16, 12.3), "Mo1 Mo 0.3333 0.6667 0.25", "S1 S 0.333 0.667 0.621",
                symbol="P 63/m m c", formula="Mo S2", z=2,
            ),
            "MoS2", 194, 6,
        ),
        (  # x, 2x beside a mirror, at three decimals
            cif_text(
                hexagonal(6.0, 4.0), "Ni1 Ni 0.167 0.333 0", "Sn1 Sn 0 0 0.5",
                symbol="P 6/m m m", formula="Ni6 Sn", z=1,
            ),
            "Ni6Sn", 191, 7,
        ),
        (  # an eighth at two decimals
            cif_text(cubic(5.43), "Si1 Si 0.13 0.13 0.13", symbol="F d -3 m :2"), "Si", 227, 8,
        ),
        (  # an atom at both ends of the cell
            cif_text(cubic(3.0), "Po1 Po 0 0 0", "Po2 Po 1 0 0", symbol="P 1"), "Po", 221, 1,
        ),
    ],
)  # fmt: skip
def test_rounded_special_positions_are_mended_with_a_remark(
    text: str, formula: str, group: int, num_sites: int
) -> None:
    read = read_with_remarks(text)
    assert read.structure.composition.reduced_formula == formula
    assert (structure_dataset(read.structure).number, len(read.structure)) == (group, num_sites)
    assert read.remarks


def test_exact_special_positions_need_no_remark() -> None:
    text = cif_text(
        hexagonal(3.086, 3.524), "Mg1 Mg 0 0 0", "B1 B 0.33333 0.66667 0.5", symbol="P 6/m m m"
    )
    assert read_with_remarks(text).remarks == ()


def test_a_full_atom_near_a_special_position_and_not_on_it_is_refused() -> None:
    text = cif_text(cubic(10), "Na1 Na 0.02 0 0", symbol="P m -3 m")
    with pytest.raises(ValueError, match=r"site Na1 lies 0.\d+ Å from its own image"):
        read_crystal(text)


@pytest.mark.parametrize("x", ["0.02", "0.03", "0.015"])
def test_split_sites_stay_split(x: str) -> None:
    text = cif_text(
        cubic(12), "Cl1 Cl .5 .5 .5 1", f"Li1 Li {x} 0 0 0.16667", symbol="F m -3 m",
        columns=WITH_OCCUPANCY,
    )  # fmt: skip
    structure = read_crystal(text)
    assert len(structure) == 28
    assert structure.composition["Li"] == pytest.approx(4, rel=1e-4)


@pytest.mark.parametrize(
    ("site", "species"),
    [
        ("X1 X 0 0 0", "species X of site X1"), ("M1 M 0 0 0", "species M of site M1"),
        ("Lp1 Lp 0 0 0", "species Lp"), ("Vac1 Vac 0 0 0", "species Vac"),
        ("Wat1 Wat 0 0 0", "species Wat"), ("Q1 OH 0 0 0", "species OH"),
        ("Du1 ? 0 0 0", "species Du"), ("Vac1 ? 0 0 0", "species Vac"),
        ("Wat . 0 0 0", "species Wat"), ("X ? 0 0 0", "species X"),
    ],
)  # fmt: skip
def test_symbols_that_are_no_element_are_refused_by_name(site: str, species: str) -> None:
    with pytest.raises(ValueError, match=f"{species}.* is no element"):
        read_crystal(cif_text(cubic(5), site, "Cl1 Cl .5 .5 .5", symbol="P m -3 m"))


@pytest.mark.parametrize(
    ("label", "formula", "element"),
    [("CA1", "Ca O", "Ca"), ("CA1", "C O", "C"), ("Ca1", "", "Ca"), ("OA1", "O O", "O"),
     ("D1", "", "H"), ("Cl(1)", "", "Cl"), ("Fe3+", "", "Fe"), ("O2-", "", "O")],
)  # fmt: skip
def test_labels_alone_say_their_elements(label: str, formula: str, element: str) -> None:
    stated = {"formula": formula} if formula else {}
    text = cif_text(
        cubic(4.8), f"{label} 0 0 0", "O1 .5 .5 .5", symbol="P m -3 m", columns=LABELS_ONLY,
        **stated,  # type: ignore[arg-type]
    )  # fmt: skip
    assert [site.specie.symbol for site in read_crystal(text)] == [element, "O"]


def test_a_label_that_may_be_two_elements_is_refused() -> None:
    text = cif_text(cubic(4.8), "CA1 0 0 0", symbol="P m -3 m", columns=LABELS_ONLY)
    with pytest.raises(ValueError, match="CA1 may be Ca or C"):
        read_crystal(text)


@pytest.mark.parametrize(
    ("kind", "element"), [("Fe3+", "Fe"), ("O2-", "O"), ("CL", "Cl"), ("Na1+", "Na"), ("D", "H"),
                          ("T", "H"), ("K0+", "K"), ("Ti+4", "Ti")],
)  # fmt: skip
def test_type_symbols_with_charges_and_isotopes(kind: str, element: str) -> None:
    (site,) = read_crystal(cif_text(cubic(3), f"A1 {kind} 0 0 0", symbol="P 1"))
    assert site.specie.symbol == element


def test_hydrogen_that_is_stated_and_not_located_is_a_remark() -> None:
    brucite = cif_text(
        hexagonal(3.14, 4.766), "Mg1 Mg 0 0 0", "O1 O 0.33333 0.66667 0.2203",
        symbol="P -3 m 1", formula="Mg H2 O2", z=1,
    )  # fmt: skip
    read = read_with_remarks(brucite)
    assert read.structure.composition.reduced_formula == "MgO2"
    assert read.remarks == ("2 H of the cell's 2 are stated and not located",)
    unlocated = brucite.replace("Mg1 Mg", "H1 H ? ? ?\nMg1 Mg")
    assert "hydrogen H1 has no coordinates and is left out" in read_with_remarks(unlocated).remarks
    with pytest.raises(ValueError, match="site Na1 has no coordinates"):
        read_crystal(brucite.replace("Mg1 Mg", "Na1 Na ? ? ?\nMg1 Mg"))
    hydroxide = cif_text(
        hexagonal(3.14, 4.766), "Mg 0 0 0", "OH 0.33333 0.66667 0.2203", symbol="P -3 m 1",
        formula="Mg (O H)2", columns=LABELS_ONLY,
    )  # fmt: skip
    with pytest.raises(ValueError, match="species OH is no element"):
        read_crystal(hydroxide)
    read = read_with_remarks(hydroxide.replace("Mg (O H)2", "Mg O2 D2"))
    assert read.structure.composition.reduced_formula == "MgO2"
    assert "2 H of the cell's 2 are stated and not located" in read.remarks


@pytest.mark.parametrize(
    ("sites", "formula", "z", "message"),
    [
        (["Na1 Na 0 0 0"], "Na Cl", 4, "the cell holds Na4, the stated formula is 'Na Cl'"),
        (["Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5"], "Na Cl", 8, "'Na Cl' with Z = 8"),
        (["Na1 Na 0 0 0", "Cl1 Cl .25 .25 .25"], "Na Cl", 4, "the cell holds Na4 Cl8"),
        (["Na1 Na 0 0 0", "H1 H .25 .25 .25"], "Na H", 4, "the cell holds Na4 H8"),
        (["Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5"], "Na Cl", -1, "Z of -1: it must be above 0"),
        (["Na1 Na 0 0 0", "Cl1 Cl .5 .5 .5"], "Na Cl", "four", "is no finite number: 'four'"),
    ],
)
def test_other_contents_than_stated_are_refused(
    sites: list[str], formula: str, z: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read_crystal(cif_text(cubic(5.69), *sites, symbol="F m -3 m", formula=formula, z=z))


@pytest.mark.parametrize(
    ("element", "number", "z"), [("O", 8, 4), ("Cl", 16, 8), ("O", 1, 0), ("Si", 8, 8), ("N", 2, 1)]
)
def test_numbers_of_units_are_understood_as_pymatgen_writes_them(
    element: str, number: int, z: int
) -> None:
    sites = [f"{element}{i} {element} {i / number:.5f} 0 0" for i in range(number)]
    text = cif_text(cubic(20), *sites, symbol="P 1", formula=f"{element}{number}", z=z)
    assert len(read_crystal(text)) == number


def test_a_formula_that_nobody_understands_is_a_remark() -> None:
    read = read_with_remarks(
        cif_text(cubic(5.69), "Na1 Na 0 0 0", symbol="F m -3 m", formula="Na 4(x)")
    )
    assert read.remarks == ("the stated formula 'Na 4(x)' is not understood: contents not checked",)


@pytest.mark.parametrize("occupancy", ["0", "-1", "1.2", "0.0", "nan", "1e9"])
def test_impossible_occupancies_are_refused(occupancy: str) -> None:
    text = cif_text(cubic(5), f"Na1 Na 0 0 0 {occupancy}", symbol="P 1", columns=WITH_OCCUPANCY)
    with pytest.raises(ValueError, match=r"occupancy .*site Na1"):
        read_crystal(text)


@pytest.mark.parametrize(
    ("shares", "sum_of_both"), [((0.667, 0.334), 1.0), ((0.6, 0.45), 1.0), ((0.5, 0.4), 0.9)]
)
def test_occupancies_up_to_the_tolerance_are_scaled(
    shares: tuple[float, float], sum_of_both: float
) -> None:
    text = cif_text(
        cubic(3.8), f"Cu1 Cu 0 0 0 {shares[0]}", f"Au1 Au 0 0 0 {shares[1]}", symbol="P m -3 m",
        columns=WITH_OCCUPANCY,
    )  # fmt: skip
    (site,) = read_crystal(text)
    assert site.species.num_atoms == pytest.approx(sum_of_both)
    assert site.species["Cu"] / site.species["Au"] == pytest.approx(shares[0] / shares[1])
    # the same from a dictionary, as stores hold it
    document = read_crystal(text).as_dict()
    for item, share in zip(document["sites"][0]["species"], shares, strict=True):
        item["occu"] = share
    assert read_crystal(document).composition.almost_equals(read_crystal(text).composition)


def test_occupancies_above_the_tolerance_are_refused() -> None:
    text = cif_text(
        cubic(3.8), "Cu1 Cu 0 0 0 0.6", "Au1 Au 0 0 0 0.5", symbol="P m -3 m",
        columns=WITH_OCCUPANCY,
    )  # fmt: skip
    with pytest.raises(ValueError, match=r"occupancies at site Cu1 add up to 1\.1"):
        read_crystal(text)


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (["nan", 5, 5, 90, 90, 90], "_cell_length_a is no finite number: 'nan'"),
        (["inf", 5, 5, 90, 90, 90], "_cell_length_a is no finite number: 'inf'"),
        (["1e400", 5, 5, 90, 90, 90], "_cell_length_a is no finite number"),
        ([5, 5, "9" * 2000, 90, 90, 90], "_cell_length_c has 2000 characters"),
        ([1e-8, 5, 5, 90, 90, 90], "is not between 0.5 and 1000"),
        ([5, 5, 5, 0, 90, 90], "no cell has the angles 0 90 90"),
        ([5, 5, 5, 90, 30, 150], "no cell has the angles 90 30 150"),
        ([5, 5, "?", 90, 90, 90], "the CIF has no _cell_length_c"),
    ],
)
def test_numbers_that_make_no_cell_are_refused(cell: list[object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_crystal(cif_text(cell, "Na1 Na 0 0 0", symbol="P 1"))


@pytest.mark.parametrize(
    ("x", "message"),
    [("9" * 400, "has 400 characters"), ("nan", "no finite number"), ("12", "out of bounds"),
     ("0.1.2", "no finite number"), ("1e99", "out of bounds")],
)  # fmt: skip
def test_coordinates_are_bounded(x: str, message: str) -> None:
    for operations in ((), ("x,y,z",)):
        with pytest.raises(ValueError, match=message):
            read_crystal(cif_text(cubic(5), f"Na1 Na {x} 0 0", symbol="P 1", operations=operations))


def test_formulas_are_read_as_cifs_write_them() -> None:
    assert read_formula("Ce2 H1.8 O0.2") == (("Ce", 2.0), ("H", 1.8), ("O", 0.2))
    assert read_formula("K2Na2Cl4") == (("K", 2.0), ("Na", 2.0), ("Cl", 4.0))
    assert read_formula("D2 H1 O") == (("H", 3.0), ("O", 1.0))
    assert [read_formula(text) for text in ("Xx2", "Na(Cl)", "", "n", "Na Cl2+")] == [None] * 5


def test_the_layout_of_a_text_does_not_matter() -> None:
    text = cif_text(
        tetragonal(4.594, 2.959), "Ti1 Ti 0 0 0", "O1 O .305 .305 0", symbol="P 42/m n m",
        formula="Ti O2", z=2,
    )  # fmt: skip
    plain = read_crystal(text)
    unquoted = text.replace('"P 42/m n m"', "P 42/m n m").replace('"Ti O2"', "Ti O2")
    for other in (
        unquoted,
        "\ufeff" + text,
        text.replace("\n", "\r\n"),
        text.replace("\n", "\r"),
        text.replace("_symmetry_space_group_name_H-M", "_SYMMETRY_SPACE_GROUP_NAME_h-m"),
        text.replace("_atom_site_fract_", "_atom_site.fract_").replace("_cell_", "_cell."),
        "Here is the crystal:\n" + text,
    ):
        assert read_crystal(other) == plain


def test_a_text_with_several_crystals_says_so() -> None:
    one = cif_text(cubic(3), "Po1 Po 0 0 0", symbol="P 1")
    both = one + cif_text(cubic(4), "Na1 Na 0 0 0", symbol="P 1").replace("data_test", "data_two")
    read = read_with_remarks("data_global\n_journal_name 'none'\n" + both)
    assert read.structure.composition.reduced_formula == "Po"
    assert read.remarks == ("1 further data blocks with atoms are not read",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text is no CIF|cannot be read"),
        ("nonsense", "the CIF cannot be read"),
        ("data_a\n_cell_length_a 5\n", "the CIF holds no atoms"),
        ("data_a\n_cell_length_a 'open\n", "line 2"),
        ("data_a\n_atom_site_label \0\n", "null characters"),
        ("data_a\n#" + "x" * 1_100_000, "more than 1000000"),
    ],
)
def test_texts_that_are_no_crystal_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_crystal(text)
    assert "\n" not in str(caught.value)

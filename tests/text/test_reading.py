"""What a model may write around and inside a text, and what each fault is called."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.schemas.reasons import FailureReason as R
from crystalicl_jobflow.text import CIF, SGS, XYZ, TextError
from crystalicl_jobflow.text.formats import TEXT_FORMATS, get_text

NACL = "Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"


def prefixed(text: str) -> str:
    return "\n".join(f"### {line}" for line in text.split("\n"))


@pytest.mark.parametrize(
    "noisy",
    [
        prefixed(NACL),
        NACL.replace("\n", "  \n\n"),
        NACL.replace("\n", "\r\n"),
        "### Response:\n" + prefixed(NACL) + "\n\nI hope this helps!",
        "Here is the crystal you asked for:\n```\n" + NACL + "\n```\n",
        NACL.replace("Fm-3m", "Fm3m"),
        NACL.replace("Fm-3m", "225"),
        NACL.replace("0.50 0.50 0.50", "-0.50, 1.5, .5"),
        NACL.replace("0.50 0.50 0.50", "0.51 0.49 0.5"),
        NACL.replace("90 90 90", "90.0 90 90"),
    ],
)
def test_noise_is_tolerated(noisy: str) -> None:
    clean, read = SGS.decode(NACL), SGS.decode(noisy)
    assert read.composition == clean.composition
    assert read.lattice == clean.lattice
    assert abs(read.frac_coords - clean.frac_coords).max() < 1e-8


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("", R.EMPTY, None),
        ("### \n\n###", R.EMPTY, None),
        ("Sorry, I cannot do that.", R.BAD_SPACE_GROUP, 1),
        ("Fm-3m", R.TRUNCATED, None),
        ("Fm-3m\n5.7 5.7", R.TRUNCATED, None),
        ("Fm-3m\n5.7 5.7 5.7", R.TRUNCATED, None),
        ("Fm-3m\n5.7 5.7 5.7\n90 90", R.TRUNCATED, None),
        ("Fm-3m\n5.7 5.7 5.7\n90 90 90", R.NO_SITES, None),
        ("Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa", R.TRUNCATED, None),
        ("Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.5", R.TRUNCATED, None),
        (NACL.replace("Fm-3m", "Fm-7m"), R.BAD_SPACE_GROUP, 1),
        (NACL.replace("Fm-3m", "I2/a"), R.BAD_SPACE_GROUP, 1),
        ("\n" + NACL.replace("Fm-3m", "231"), R.BAD_SPACE_GROUP, 2),
        (NACL.replace("5.7 5.7 5.7", "5.7 5.7"), R.BAD_LATTICE, 2),
        (NACL.replace("5.7 5.7 5.7", "0.0 0.0 0.0"), R.BAD_LATTICE, 2),
        (NACL.replace("5.7 5.7 5.7", "a b c"), R.BAD_LATTICE, 2),
        (NACL.replace("90 90 90", "90 90 180"), R.BAD_LATTICE, 3),
        (NACL.replace("90 90 90", "cubic"), R.BAD_LATTICE, 3),
        (NACL.replace("Fm-3m", "P1").replace("90 90 90", "60 60 150"), R.BAD_LATTICE, 3),
        (NACL.replace("Cl", "Xx"), R.BAD_ELEMENT, 6),
        (NACL.replace("Cl", "Cl0.8 Br0.8"), R.BAD_ELEMENT, 6),
        (NACL.replace("Cl\n", ""), R.BAD_ELEMENT, 6),
        (NACL.replace("0.00 0.00 0.00", "0.00 0.00"), R.BAD_COORDINATES, 5),
        (NACL.replace("0.00 0.00 0.00", "0.00 zero 0.00"), R.BAD_COORDINATES, 5),
        (NACL + "\n" + NACL, R.AMBIGUOUS, 8),
        (NACL + "\nand also\nBr\n0.25 0.25 0.25", R.AMBIGUOUS, 9),
    ],
)
def test_every_fault_has_its_reason_and_line(text: str, reason: R, line: int | None) -> None:
    with pytest.raises(TextError) as caught:
        SGS.decode(text)
    assert (caught.value.reason, caught.value.line) == (reason, line)
    assert "\n" not in str(caught.value)


def test_a_runaway_text_is_refused() -> None:
    text = "P1\n9.0 9.0 9.0\n90 90 90" + "\nO\n0.10 0.20 0.30" * 5001
    with pytest.raises(TextError) as caught:
        SGS.decode(text)
    assert caught.value.reason == R.TOO_MANY_ATOMS


def test_elements_that_are_called_like_groups() -> None:
    text = "Pm-3m\n3.9 3.9 3.9\n90 90 90\nCm\n0.00 0.00 0.00\nPm\n0.50 0.50 0.50"
    assert SGS.decode(text).composition.as_dict() == {"Cm": 1.0, "Pm": 1.0}


def test_errors_travel_between_processes() -> None:
    with pytest.raises(TextError) as caught:
        SGS.decode(NACL.replace("Cl", "Xx"))
    copy = pickle.loads(pickle.dumps(caught.value))
    assert (copy.reason, copy.line, str(copy)) == (R.BAD_ELEMENT, 6, str(caught.value))


def test_xyz_writes_every_atom_of_the_cell_as_it_is() -> None:
    lattice = Lattice.from_parameters(4.03, 4.03, 4.03, 60, 60, 60)
    structure = Structure(lattice, ["Na", "Cl"], [[0, 0, 0.999], [0.5, 0.5, 0.5]])
    text = XYZ.encode(structure)
    assert text == "4.0 4.0 4.0\n60 60 60\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
    assert XYZ.encode(XYZ.decode("Sure!\n" + prefixed(text) + "\nDone.")) == text


@pytest.mark.parametrize(
    ("text", "reason", "line"),
    [
        ("", R.EMPTY, None),
        ("hello", R.BAD_LATTICE, 1),
        ("4.0 4.0 4.0", R.TRUNCATED, None),
        ("4.0 4.0 4.0\n60 60", R.TRUNCATED, None),
        ("4.0 4.0 4.0\n60 60\nNa\n0 0 0", R.BAD_LATTICE, 2),
        (NACL, R.AMBIGUOUS, 1),
        ("4.0 4.0 4.0\n60 60 60\nNa", R.TRUNCATED, None),
        ("4.0 4.0 4.0\n60 60 60\nQq\n0 0 0", R.BAD_ELEMENT, 3),
        ("4.0 4.0 4.0\n60 60 60\nNa\n0 0 0\n4.0 4.0 4.0\n60 60 60\nNa\n0 0 0", R.AMBIGUOUS, 5),
    ],
)
def test_faults_of_xyz(text: str, reason: R, line: int | None) -> None:
    with pytest.raises(TextError) as caught:
        XYZ.decode(text)
    assert (caught.value.reason, caught.value.line) == (reason, line)


@pytest.mark.parametrize(
    "columns", ["label type x y z occupancy", "label type x y z", "type x y z"]
)
@pytest.mark.parametrize("tokens", [1, 2, 3, 4, 5])
def test_a_cif_that_ends_within_a_row_is_no_crystal(columns: str, tokens: int) -> None:
    tags = {"label": "label", "type": "type_symbol", "occupancy": "occupancy"}
    names = [tags.get(name, f"fract_{name}") for name in columns.split()]
    values = {"label": "Na1", "type": "Na", "x": "0", "y": "0", "z": "0", "occupancy": "1"}
    row = [values[name] for name in columns.split()]
    text = CIF.encode(SGS.decode(NACL))
    head = text[: text.rindex("loop_", 0, text.index("_atom_site_"))]
    lines = ["loop_", *(f"_atom_site_{name}" for name in names), " ".join(row)]
    last = " ".join(value.replace("0", ".5") for value in row[: min(tokens, len(row) - 1)])
    with pytest.raises(TextError) as caught:
        CIF.decode(head + "\n".join([*lines, last]))
    assert caught.value.reason is R.TRUNCATED


def test_cells_may_be_as_flat_as_the_bounds_allow() -> None:
    flat = "P1\n4.0 4.0 4.0\n{} 90 90\nNa\n0.00 0.00 0.00"
    assert SGS.decode(flat.format(179)).lattice.alpha == pytest.approx(179)
    with pytest.raises(TextError) as caught:
        SGS.decode(flat.format(180))
    assert caught.value.reason is R.BAD_LATTICE


def test_cif_reads_what_it_writes_and_noise_around_it() -> None:
    structure = SGS.decode(NACL)
    text = CIF.encode(structure)
    assert "Fm-3m" in text
    for noisy in (text, prefixed(text), f"Here you are:\n{text}\n\nA rock salt, as you see."):
        read = CIF.decode(noisy)
        assert read.composition == structure.composition
        assert read.volume == pytest.approx(structure.volume)


def test_a_cif_has_the_operations_of_the_group_it_names(shared_data: Path) -> None:
    """Cu(SbO3)2, nearly tetragonal: pymatgen writes Pnnm with the operations of P4_2/mnm."""
    table = pd.read_csv(shared_data / "mp_20_test.csv.gz")
    (text,) = table.loc[table["material_id"] == "mp-554658", "cif"]
    crystal = CIF.decode(text)
    again = CIF.decode(CIF.encode(crystal))
    assert again.composition == crystal.composition
    assert again.distance_matrix[~np.eye(len(again), dtype=bool)].min() > 1.5


def test_faults_of_cif() -> None:
    text = CIF.encode(SGS.decode(NACL))
    lines = text.split("\n")
    cases = [
        ("", R.EMPTY),
        ("no crystal here", R.BAD_CIF),
        (f"{text}\n{text}", R.AMBIGUOUS),
        ("\n".join(lines[:-2]), R.TRUNCATED),
        ("\n".join([*lines[:-1], lines[-1][:18]]), R.TRUNCATED),
        ("\n".join(x for x in lines if "_length_b" not in x), R.BAD_LATTICE),
        (text.replace("_cell_length_a   5.7", "_cell_length_a   five"), R.BAD_CIF),
    ]
    for case, reason in cases:
        with pytest.raises(TextError) as caught:
            CIF.decode(case)
        assert caught.value.reason == reason, case


def test_formats_by_name() -> None:
    assert list(TEXT_FORMATS) == ["sgs", "sgsw", "xyz", "cif"]
    assert get_text("SGS") is SGS
    with pytest.raises(ValueError, match="no text format 'poscar'; there are sgs"):
        get_text("poscar")


@pytest.mark.parametrize(
    ("group", "lengths", "angles", "fault"),
    [
        ("Fm-3m", "5.7 5.7 57.0", "90 90 90", "lengths of 5.7 5.7 57 do not belong to the cubic"),
        ("Fm-3m", "4.0 4.0 4.0", "60 60 60", "angles of 60 60 60 do not belong to the cubic"),
        ("R-3m", "5.0 5.0 5.0", "57 57 57", "angles of 57 57 57 do not belong to the trigonal"),
        ("P6_3/mmc", "3.0 3.0 5.0", "90 90 90", "angles of 90 90 90"),
        ("P4/mmm", "4.0 4.3 4.0", "90 90 90", "lengths of 4 4.3 4"),
        ("P2_1/c", "5.0 5.0 5.0", "90 99 93", "angles of 90 99 93"),
        ("P1", "4.0 4.0 0.4", "90 90 90", "not three lengths between 0.5 and 1000"),
        ("P1", "4.0 4.0 4.0", "120 120 120", "no cell has the angles"),
    ],
)
def test_a_cell_that_the_group_cannot_have_is_refused_not_replaced(
    group: str, lengths: str, angles: str, fault: str
) -> None:
    with pytest.raises(TextError) as caught:
        SGS.decode(f"{group}\n{lengths}\n{angles}\nNa\n0.00 0.00 0.00")
    assert caught.value.reason == R.BAD_LATTICE
    assert caught.value.line == (3 if fault.startswith(("angles", "no cell")) else 2)
    assert fault in str(caught.value)


def test_what_rounding_can_do_to_a_cell_is_put_right() -> None:
    structure = SGS.decode("R-3m\n4.4 4.5 30.5\n90 91 119\nBi\n0.00 0.00 0.40")
    assert structure.lattice.parameters == pytest.approx((4.45, 4.45, 30.5, 90, 90, 120))


def test_a_stated_group_is_known_where_only_the_building_fails() -> None:
    text = NACL.replace("Na\n0.00", "Na e\n0.00")
    with pytest.raises(TextError, match="multiplicity 4, not 24e") as caught:
        SGS.read(text)
    assert caught.value.declared_group == 225
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.declared_group == 225
    assert SGS.read(NACL).declared_group == 225
    assert CIF.read(CIF.encode(SGS.decode(NACL))).declared_group is None


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("90.0", "60.0", R.BAD_LATTICE),
        ("_cell_length_a   5.7", "_cell_length_a   57.7", R.BAD_LATTICE),
        ("_cell_length_a   5.70000000", "_cell_length_a   nan", R.BAD_LATTICE),
        ("0.5", "1" * 31, R.BAD_CIF),
        ("'x, y, z'", "'x, y, z+0." + "1" * 2000 + "'", R.BAD_CIF),
        ("'x, y, z'", "'x, y, z" + "+1/2" * 30 + "'", R.BAD_CIF),
        ("  1  'x, y, z'\n", "  1  'x, y, z'\n" * 1001, R.BAD_CIF),
        ("  Na  Na0", "  X  X0", R.BAD_ELEMENT),
    ],
)
def test_numbers_cells_and_operations_of_a_cif_are_bounded(old: str, new: str, reason: R) -> None:
    text = CIF.encode(SGS.decode(NACL))
    assert old in text
    with pytest.raises(TextError) as caught:
        CIF.decode(text.replace(old, new))
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("old", "new", "is_read"),
    [
        # two lengths at one decimal, each off by a whole step; the same of two angles
        ("_cell_length_b   4.0", "_cell_length_b   4.15", True),
        ("_cell_length_b   4.0", "_cell_length_b   4.25", False),
        ("_cell_angle_gamma   90.0", "_cell_angle_gamma   90.9", True),
        ("_cell_angle_gamma   90.0", "_cell_angle_gamma   91.1", False),
    ],
)
def test_a_cif_s_cell_fits_its_operations_but_for_rounding(
    old: str, new: str, is_read: bool
) -> None:
    alloy = Structure(Lattice.tetragonal(4.0, 3.6), ["Cu", "Au"], [[0] * 3, [0.5] * 3])
    text = CIF.encode(alloy)
    assert "P4/mmm" in text
    assert old in text
    changed = text.replace(old, new)
    if is_read:
        assert len(CIF.decode(changed)) == 2
        return
    with pytest.raises(TextError, match="not the same after the symmetry operations") as caught:
        CIF.decode(changed)
    assert caught.value.reason is R.BAD_LATTICE


def test_texts_of_runaway_size_are_refused_unread() -> None:
    site = "\nNa\n0.10 0.20 0.30"
    for text in (NACL + " " * 1_000_000, "P1\n90 90 90\n90 90 90" + site * 2001):
        with pytest.raises(TextError) as caught:
            SGS.decode(text)
        assert caught.value.reason == R.TOO_MANY_ATOMS
    with pytest.raises(TextError) as caught:
        SGS.decode(NACL.replace("0.50 0.50 0.50", "0.50 0.50 " + "5" * 31))
    assert (caught.value.reason, caught.value.line) == (R.BAD_COORDINATES, 7)

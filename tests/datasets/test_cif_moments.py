"""Magnetic moments of magnetic CIFs: of all atoms, as plain numbers, or left out and counted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from crystalicl_jobflow.datasets.files import read_file
from crystalicl_jobflow.datasets.records import read_with_remarks
from crystalicl_jobflow.retrieval import fill_pool
from crystalicl_jobflow.stores.opening import open_store

RUTILE = [
    "x,y,z,+1", "-x,-y,-z,+1", "-x,-y,z,+1", "x,y,-z,+1",
    "-x+1/2,y+1/2,-z+1/2,+1", "x+1/2,-y+1/2,z+1/2,+1",
    "x+1/2,-y+1/2,-z+1/2,+1", "-x+1/2,y+1/2,z+1/2,+1",
    "-y+1/2,x+1/2,-z+1/2,-1", "y+1/2,-x+1/2,-z+1/2,-1",
    "y+1/2,-x+1/2,z+1/2,-1", "-y+1/2,x+1/2,z+1/2,-1",
    "y,x,-z,-1", "-y,-x,-z,-1", "-y,-x,z,-1", "y,x,z,-1",
]  # fmt: skip
THREEFOLD = ["x,y,z,+1", "-y,x-y,z,+1", "-x+y,-x,z,+1"]


def magnetic_cif(
    cell: tuple[float, ...],
    operations: list[str],
    atoms: list[str],
    moments: list[str],
    centring: tuple[str, ...] = (),
) -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_magnetic", *(f"_cell_{n} {x}" for n, x in zip(names, cell, strict=True))]
    lines += ["loop_", "_space_group_symop_magn_operation.xyz", *operations]
    if centring:
        lines += ["loop_", "_space_group_symop_magn_centering.xyz", *centring]
    lines += ["loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{axis}" for axis in "xyz"] + atoms
    lines += ["loop_", "_atom_site_moment.label"]
    lines += [f"_atom_site_moment.crystalaxis_{axis}" for axis in "xyz"] + moments
    return "\n".join([*lines, ""])


MNF2 = magnetic_cif(
    (4.873, 4.873, 3.310, 90, 90, 90), RUTILE,
    ["Mn1 Mn 0 0 0", "F1 F 0.305 0.305 0"], ["Mn1 0 0 4.6"],
)  # fmt: skip
#: Three moments in the plane of a hexagonal cell, 120 degrees from each other.
TRIANGLE = magnetic_cif(
    (5.665, 5.665, 4.531, 90, 90, 120), THREEFOLD,
    ["Mn1 Mn 0.8388 0.6776 0.25", "Sn1 Sn 0.3333 0.6667 0.25"], ["Mn1 3.0 1.5 0.5"],
)  # fmt: skip


def by_place(structure: Structure) -> dict[tuple[float, ...], np.ndarray]:
    return {
        tuple((np.round(site.frac_coords, 3) % 1).tolist()): np.array(
            getattr(site.properties["magmom"], "moment", site.properties["magmom"])
        )
        for site in structure
    }


def test_time_reversal_turns_the_moment_of_the_second_atom_round() -> None:
    read = read_with_remarks(MNF2)
    assert read.remarks == ()
    assert {
        tuple(np.round(site.frac_coords, 3)): site.properties["magmom"]
        for site in read.structure
        if site.specie.symbol == "Mn"
    } == {(0, 0, 0): [0, 0, 4.6], (0.5, 0.5, 0.5): [0, 0, -4.6]}
    fluorine = [s.properties["magmom"] for s in read.structure if s.specie.symbol == "F"]
    assert fluorine == [[0.0, 0.0, 0.0]] * 4


@pytest.mark.parametrize("text", [MNF2, TRIANGLE], ids=["rutile", "triangle"])
@pytest.mark.filterwarnings("ignore")
def test_moments_are_those_that_pymatgen_finds(text: str) -> None:
    found = by_place(read_with_remarks(text).structure)
    expected = by_place(CifParser.from_str(text).parse_structures(primitive=False)[0])
    assert found.keys() == expected.keys()
    for place, moment in expected.items():
        assert found[place] == pytest.approx(moment, abs=1e-3)


def test_a_threefold_axis_turns_moments_by_120_degrees() -> None:
    structure = read_with_remarks(TRIANGLE).structure
    moments = np.array([s.properties["magmom"] for s in structure if s.specie.symbol == "Mn"])
    assert len(moments) == 3
    assert moments[:, 2] == pytest.approx([0.5] * 3)
    assert moments[:, :2].sum(0) == pytest.approx([0, 0], abs=1e-5)
    # 3.0 along a and 1.5 along b, at 120 degrees: 2.598 in the plane
    assert np.linalg.norm(moments[:, :2], axis=1) == pytest.approx([1.5 * 3**0.5] * 3, abs=1e-5)


def test_an_antiferromagnetic_centring_reverses_moments() -> None:
    text = magnetic_cif(
        (4.0, 4.0, 8.0, 90, 90, 90), ["x,y,z,+1", "-x,-y,-z,+1"],
        ["Ni1 Ni 0 0 0"], ["Ni1 0 1.5 0"], ("x,y,z,+1", "x,y,z+1/2,-1"),
    )  # fmt: skip
    structure = read_with_remarks(text).structure
    found = {round(site.frac_coords[2], 3): site.properties["magmom"] for site in structure}
    assert found == {0.0: [0, 1.5, 0], 0.5: [0, -1.5, 0]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (("Mn1 0 0 4.6", "Mn1 0.5 0 4.6"), "site Mn1 contradicts the operations"),
        (("Mn1 0 0 4.6", "Mn9 0 0 4.6"), "site Mn9 has no place of its own"),
        (("Mn1 0 0 4.6", "Mn1 0 0 ?"), "that of site Mn1 is not known"),
        (("Mn1 0 0 4.6", "Mn1 0 0 nan"), "no finite number"),
        (("crystalaxis_", "Cartn_"), "not given by label along the crystal's axes"),
        (("y,x,z,-1", "y,x,z,2"), "no magnetic operation"),
    ],
)
def test_moments_that_are_not_known_for_sure_are_left_out_and_counted(
    change: tuple[str, str], reason: str
) -> None:
    read = read_with_remarks(MNF2.replace(*change))
    assert len(read.structure) == 6
    assert "magmom" not in read.structure.site_properties
    assert len(read.remarks) == 1
    assert read.remarks[0].startswith("magnetic moments of 1 sites are left out: ")
    assert reason in read.remarks[0]


def test_a_pool_keeps_the_moments(tmp_path: Path) -> None:
    (tmp_path / "mnf2.mcif").write_text(MNF2)
    pool = open_store(tmp_path / "pool.sqlite")
    report = fill_pool(tmp_path / "mnf2.mcif", pool, fingerprints=False, processes=1)
    assert (report.added, report.failed, report.remarks) == (1, [], [])
    document = next(iter(pool.query({})))
    moments = [site["properties"]["magmom"] for site in document["structure"]["sites"]]
    assert sorted(moments) == [[0.0, 0.0, -4.6], *[[0.0, 0.0, 0.0]] * 4, [0.0, 0.0, 4.6]]
    assert read_file(tmp_path / "mnf2.mcif").structure.site_properties["magmom"] == moments

"""Discovery: rows that are written, relaxed and judged, and the baseline beside them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.benchmarks.new_substitutions import substituted
from crystalicl_jobflow.benchmarks.stored_figures import stored_table
from crystalicl_jobflow.energies import ElementalReferences, Energy, Relaxation
from crystalicl_jobflow.retrieval import DemonstrationIndex, open_pool
from crystalicl_jobflow.text import SGS
from reciting import PEROVSKITE, ROCK_SALT, RecitingGenerator

CAESIUM_CHLORIDE = "Pm-3m\n4.1 4.1 4.1\n90 90 90\nCs\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
KNOWN = {
    "NaCl": ROCK_SALT,
    "KBr": ROCK_SALT.replace("Na", "K").replace("Cl", "Br").replace("5.6", "6.6"),
    "CsCl": CAESIUM_CHLORIDE,
    "CaTiO3": PEROVSKITE,
    "Na": "Im-3m\n4.2 4.2 4.2\n90 90 90\nNa\n0.00 0.00 0.00",
    "Cl": "Cmce\n6.2 4.5 8.2\n90 90 90\nCl\n0.00 0.10 0.39",
}


class Sixfold:
    """Energy per atom: -1 eV, the relaxed crystal 0.1 eV lower; titanates it does not know."""

    name, version = "sixfold", "1"

    def __init__(self) -> None:
        self.relaxed = 0

    def energies(self, structures: Sequence[Structure | None], **_: Any) -> list[Energy]:
        return [Energy(-1.0) for _ in structures]

    def relax(self, structures: Sequence[Structure | None], **_: Any) -> list[Relaxation]:
        self.relaxed += len(structures)
        return [Relaxation(item, -1.1, True, 5, 0.01) for item in structures]


@pytest.fixture
def known(tmp_path: Path) -> Path:
    path = tmp_path / "known.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        for name, text in KNOWN.items():
            writer.writerow([name, SGS.decode(text).to(fmt="cif")])
    return path


@pytest.fixture
def model(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Sixfold:
    made = Sixfold()
    elements = ElementalReferences(
        "zero", "sixfold", "1", dict.fromkeys(("Na", "Cl", "Cs", "K", "Br", "Ca", "Ti", "O"), 0.0)
    )
    monkeypatch.setattr("crystalicl_jobflow.energies.load_energy_model", lambda *_: made)
    monkeypatch.setattr("crystalicl_jobflow.energies.load_references", lambda *_: elements)
    generator = RecitingGenerator([ROCK_SALT, PEROVSKITE])
    # after `run`, which has a generator of its own
    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: generator)
    return made


def test_three_rows_are_relaxed_judged_and_counted(
    known: Path, model: Sixfold, tmp_path: Path, run: Callable[..., Any]
) -> None:
    out = tmp_path / "discovery"
    asked = ("benchmark", "discovery", "--dataset", known, "--known", known, "--samples", 4,
             "--no-constrain", "--max-redraws", 0, "--out", out)  # fmt: skip
    done = run(*asked)
    assert done.exit_code == 0, done.output
    document = json.loads((out / "table.json").read_text())
    assert document["heads"] == [
        "asked for", "nothing", "a chemical system", "element substitution",
    ]  # fmt: skip
    for place in ("nothing", "a-chemical-system", "element-substitution"):
        rates = json.loads((out / place / "judged" / "metrics.json").read_text())["rates"]
        assert rates["relaxed"]["of"] == 4
        assert rates["sun"]["count"] <= min(rates["stable"]["count"], rates["novel"]["count"])
        candidates = (out / place / "judged" / "candidates.jsonl").read_text().splitlines()
        assert len(candidates) == 4
    # what the reciting model knows is known: nothing it writes is new, let alone S.U.N.
    cells = {row[0]: row[1:] for row in document["rows"]}
    assert cells["novel"][0].startswith("0 of 4 (0.00 to ")
    assert cells["S.U.N."][0].startswith("0 of ")
    assert "6 known crystals" in stored_table(out / "table.json")
    assert (out / "table.md").read_text() == stored_table(out / "table.json")
    assert "seed 0" in (out / "table.md").read_text()
    relaxed = model.relaxed
    assert run(*asked).exit_code == 0
    assert model.relaxed == relaxed


def test_a_killed_discovery_relaxes_only_what_is_left(
    known: Path, model: Sixfold, tmp_path: Path, run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    relax = Sixfold.relax

    def dying(self: Sixfold, structures: Sequence[Structure | None], **_: Any) -> Any:
        if self.relaxed == 2:
            raise KeyboardInterrupt
        return relax(self, structures)

    asked = ("benchmark", "discovery", "--dataset", known, "--known", known, "--samples", 4,
             "--no-constrain", "--max-redraws", 0)  # fmt: skip
    assert run(*asked, "--out", tmp_path / "whole").exit_code == 0
    whole, model.relaxed = model.relaxed, 0
    monkeypatch.setattr(Sixfold, "relax", dying)
    assert run(*asked, "--out", tmp_path / "killed").exit_code != 0
    monkeypatch.setattr(Sixfold, "relax", relax)
    assert run(*asked, "--out", tmp_path / "killed").exit_code == 0
    assert model.relaxed == whole
    first, second = (
        json.loads((tmp_path / name / "table.json").read_text())["measured"]
        for name in ("whole", "killed")
    )
    for label, row in first.items():
        assert {k: v for k, v in row.items() if k != "seconds"} == {
            k: v for k, v in second[label].items() if k != "seconds"
        }


@pytest.fixture
def pool(known: Path, tmp_path: Path) -> DemonstrationIndex:
    return open_pool(str(known), "C")


def test_substitution_gives_new_crystals_of_the_system(pool: DemonstrationIndex) -> None:
    systems = ["Br-Na", "Ba-O-Zr", "Cl-Na", "Ag-Au-Cu-Pt"]
    found = substituted(systems, pool, seed=1)
    assert [item.chemsys for item in found[:2]] == systems[:2]
    assert found[0].provenance.template_id in {"known-NaCl", "known-KBr", "known-CsCl"}
    assert found[1].space_group == 221
    assert found[1].formula_pretty == "BaZrO3"
    # sodium chloride of both structure types is drawn; the one that is known is not given
    salts = [substituted(["Cl-Na"], pool, seed=seed)[0] for seed in range(6)]
    assert {item.space_group for item in salts} == {221}
    assert found[3].structure is None
    assert "no crystal of so many elements" in str(found[3].failure_message)
    assert [item.provenance.template_id for item in substituted(systems[:1], pool, seed=1)] == [
        found[0].provenance.template_id
    ]


def test_volumes_follow_the_new_elements(pool: DemonstrationIndex) -> None:
    (found,) = substituted(["Ba-O-Zr"], pool, seed=0)
    assert found.structure is not None
    assert found.structure.lattice.a > Lattice.cubic(3.9).a


@pytest.mark.parametrize("option", ["--known", "--pool"])
def test_a_source_that_is_not_there_is_told_before_anything_is_written(
    option: str, known: Path, model: Sixfold, tmp_path: Path, run: Callable[..., Any]
) -> None:
    done = run("benchmark", "discovery", "--dataset", known, "--known", known, "--samples", 4,
               option, tmp_path / "nowhere.db", "--out", tmp_path / "out")  # fmt: skip
    assert done.exit_code != 0
    assert "nowhere.db does not exist" in done.output
    assert not list((tmp_path / "out").glob("*"))

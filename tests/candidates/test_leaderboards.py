"""Candidates for leaderboards: what is written is read back, and nobody is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pymatgen.core import Lattice, Structure

from checked_crystals import CSCL, FENI, NACL
from crystalicl_jobflow.candidates.files import CANDIDATES, write_candidates
from crystalicl_jobflow.candidates.leaderboards import (
    export_genbench,
    export_matbench,
    read_tensors,
)
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.schemas import Candidate, Condition

Make = Callable[..., Candidate]

OVERLAPPING = "P1\n4.0 4.0 4.0\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.02 0.00 0.00"


@pytest.fixture
def candidates(make: Make) -> list[Candidate]:
    """Return rock salt, its twin, caesium chloride, an overlap and a text that is no crystal."""
    texts = [NACL, NACL, CSCL, OVERLAPPING, "nothing"]
    return [make(text, sample_index=place) for place, text in enumerate(texts)]


def same(one: Structure | None, other: Structure | None) -> bool:
    if one is None or other is None:
        return one is other
    return bool(
        one.species == other.species
        and np.allclose(one.lattice.parameters, other.lattice.parameters, atol=1e-3)
        and np.allclose(one.frac_coords, other.frac_coords, atol=1e-5)
    )


@pytest.mark.parametrize(
    ("which", "distinct", "files"),
    [("valid", False, 3), ("valid", True, 2), ("parsed", False, 4), ("all", True, 3)],
)
def test_cif_files_for_genbench(
    candidates: list[Candidate], tmp_path: Path, which: str, distinct: bool, files: int
) -> None:
    found = export_genbench(candidates, tmp_path, which=which, distinct=distinct)  # type: ignore[arg-type]
    paths = sorted((tmp_path / "cifs").glob("*.cif"))
    assert found.files == paths
    assert len(paths) == files
    assert found.written.keys() | found.left_out.keys() == {c.candidate_id for c in candidates}
    assert not found.written.keys() & found.left_out.keys()
    for candidate in candidates:
        if candidate.candidate_id in found.written:
            read = Structure.from_file(tmp_path / found.written[candidate.candidate_id])
            assert same(read, candidate.structure)
    manifest = json.loads((tmp_path / "export.json").read_text())
    assert (manifest["which"], manifest["distinct"]) == (which, distinct)
    assert manifest["left_out"] == found.left_out


@pytest.mark.parametrize("suffix", [".pt", ".npz"])
def test_a_set_as_tensors(candidates: list[Candidate], tmp_path: Path, suffix: str) -> None:
    """A text without a crystal stays in the denominator, as a cell that cannot be built."""
    export_matbench(candidates, tmp_path)
    read = read_tensors(tmp_path / f"eval_gen{suffix}")
    assert len(read) == 5
    assert read[4] is None
    assert all(same(a, c.structure) for a, c in zip(read, candidates, strict=True))


def test_the_layout_is_that_of_cdvaes_evaluator(
    candidates: list[Candidate], tmp_path: Path
) -> None:
    """One axis for repeated runs; sites one after another; the asserts of its own reader."""
    import torch

    export_matbench(candidates, tmp_path)
    data = torch.load(tmp_path / "eval_gen.pt", weights_only=True)
    points, kinds = data["frac_coords"][0], data["atom_types"][0]
    lengths, angles, counts = (data[key][0] for key in ("lengths", "angles", "num_atoms"))
    assert points.size(0) == kinds.size(0) == int(counts.sum())
    assert lengths.size(0) == angles.size(0) == counts.size(0) == 5
    assert kinds.min() >= 1
    assert min(lengths[4].tolist()) < 0


def test_predictions_stand_beside_their_true_crystals(make: Make, tmp_path: Path) -> None:
    """Two conditions, two samples; a sample that is missing counts as no crystal."""
    asked = Condition(formula="NaCl"), Condition(formula="CsCl")
    candidates = [
        make(NACL, condition=asked[0], request_index=0, sample_index=0),
        make("nothing", condition=asked[0], request_index=0, sample_index=1),
        make(CSCL, condition=asked[1], request_index=1, sample_index=0),
        make(FENI, condition=asked[1], request_index=2, sample_index=0),
    ]
    truths = {0: candidates[0].structure, 1: candidates[2].structure}
    found = export_matbench(candidates, tmp_path, truths=truths)  # type: ignore[arg-type]
    for name, samples in (
        ("eval_recon", [candidates[0].structure, candidates[2].structure]),
        ("eval_recon_2", [None, None]),
    ):
        for suffix in (".pt", ".npz"):
            path = tmp_path / f"{name}{suffix}"
            read = read_tensors(path)
            assert all(map(same, read, samples))
            assert all(map(same, read_tensors(path, truths=True), truths.values()))
    assert found.reasons == {"its condition has no true crystal": 1}


def test_disorder_has_no_tensors(make: Make, tmp_path: Path) -> None:
    candidate = make(NACL)
    alloy = Structure(Lattice.cubic(3.7), [{"Cu": 0.75, "Au": 0.25}], [[0, 0, 0]])
    mixed = candidate.model_copy(update={"structure": alloy, "candidate_id": "mixed"})
    found = export_matbench([candidate, mixed], tmp_path)
    assert list(found.left_out) == ["mixed"]
    assert len(read_tensors(tmp_path / "eval_gen.pt")) == 1


def test_a_file_without_the_keys(tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", lengths=np.zeros((1, 1, 3)))
    with pytest.raises(ValueError, match="has no frac_coords, atom_types, angles, num_atoms"):
        read_tensors(tmp_path / "other.npz")


def test_the_commands(candidates: list[Candidate], tmp_path: Path) -> None:
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    write_candidates(run / CANDIDATES, candidates)
    command = ["export", "genbench", str(run), "--distinct", "--out", str(out)]
    done = CliRunner().invoke(cli, command)
    assert done.exit_code == 0, done.output
    assert "2 of 5 candidates written" in done.stdout
    assert "1 left out: the same crystal as another" in done.stderr
    done = CliRunner().invoke(cli, ["export", "matbench", str(run), "--out", str(tmp_path / "t")])
    assert done.exit_code == 0, done.output
    assert "5 of 5 candidates written" in done.stdout
    done = CliRunner().invoke(
        cli, ["export", "matbench", str(run), "--truths", "none.csv", "--out", str(tmp_path / "t")]
    )
    assert done.exit_code == 2
    assert "none.csv does not exist" in done.stderr

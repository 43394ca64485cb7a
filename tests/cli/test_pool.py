"""``crystalicl pool``: build, inspect, fingerprint."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from pymatgen.core import Lattice, Structure

Run = Callable[..., Result]

ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def folder_of_cifs(tmp_path: Path) -> Path:
    folder = tmp_path / "cifs"
    folder.mkdir()
    (folder / "salt.cif").write_text(ROCK_SALT.to(fmt="cif"))
    (folder / "broken.cif").write_text("data_nothing")
    return folder


def test_a_pool_is_built_then_only_completed(run: Run, tmp_path: Path) -> None:
    folder, pool = folder_of_cifs(tmp_path), tmp_path / "pool.json"
    first = run("pool", "build", folder, "--store", pool, "--no-fingerprints")
    assert first.exit_code == 0
    assert "1 added, 0 updated, 0 unchanged, 1 failed" in first.output
    assert "broken: " in first.output
    (folder / "more.cif").write_text(ROCK_SALT.copy().scale_lattice(200).to(fmt="cif"))
    second = run("pool", "build", folder, "--store", pool, "--no-fingerprints")
    assert "1 added, 0 updated, 1 unchanged, 1 failed" in second.output
    assert "the pool holds 2" in second.output
    # what cannot be read was told; the command did what it could
    third = run("pool", "build", folder, "--store", pool, "--no-fingerprints")
    assert "0 added, 0 updated, 2 unchanged, 1 failed" in third.output
    assert (second.exit_code, third.exit_code) == (0, 0)


@pytest.mark.parametrize(
    ("command", "work"),
    [
        (("build", "cifs", "--no-fingerprints"), "fill_pool"),
        (("fingerprints",), "compute_fingerprints"),
    ],
    ids=["build", "fingerprints"],
)
def test_ctrl_c_ends_with_its_own_status_and_says_how_to_continue(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
    work: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    folder_of_cifs(tmp_path)
    assert run("pool", "build", "cifs", "--store", "p.json", "--no-fingerprints").exit_code == 0

    def interrupted(*_args: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(f"crystalicl_jobflow.retrieval.{work}", interrupted)
    result = run("pool", *command, "--store", "p.json")
    assert result.exit_code == 130
    assert "Run the same command to continue" in result.stderr


def test_fingerprints_come_later(run: Run, tmp_path: Path) -> None:
    folder, pool = folder_of_cifs(tmp_path), tmp_path / "pool.db"
    assert run("pool", "build", folder, "--store", pool, "--no-fingerprints").exit_code == 0
    done = run("pool", "fingerprints", "--store", pool, "--processes", 1)
    assert "1 fingerprints computed, 0 failed" in done.output
    assert "1 of 1 have one" in done.output


def test_info_says_what_a_pool_holds(run: Run, tmp_path: Path) -> None:
    pool = tmp_path / "pool.json"
    run("pool", "build", "prototypes", "--store", pool, "--no-fingerprints", "--limit", 12)
    told = run("pool", "info", "--store", pool)
    assert told.exit_code == 0
    for line in ("demonstrations", "12", "prototypes", "with fingerprint"):
        assert line in told.output


def test_mistakes_are_one_line_and_leave_no_store_behind(run: Run, tmp_path: Path) -> None:
    pool = tmp_path / "pool.json"
    for arguments, said in [
        (("build", tmp_path / "no.csv", "--store", pool), "does not exist"),
        (("build", "nonsense", "--store", pool), "is not understood"),
        (("build", "prototypes", "--store", tmp_path / "pool.xyz"), "is not understood"),
        (("build", "prototypes", "--store", pool, "--limit", -1), "--limit"),
        (("info", "--store", pool), "does not exist"),
        (("fingerprints", "--store", pool), "does not exist"),
    ]:
        result = run("pool", *arguments)
        assert result.exit_code == 2
        lines = result.stderr.strip().splitlines()
        assert len(lines) == 1
        assert lines[0].startswith("Error: ")
        assert said in lines[0]
    assert not pool.exists()


def test_a_source_of_which_nothing_can_be_read_is_a_mistake(run: Run, tmp_path: Path) -> None:
    folder = folder_of_cifs(tmp_path)
    (folder / "salt.cif").unlink()
    result = run("pool", "build", folder, "--store", tmp_path / "p.json")
    assert result.exit_code == 2
    assert "Error: no record of" in result.stderr
    assert not result.stdout.startswith("Error")

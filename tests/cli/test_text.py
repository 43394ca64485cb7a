from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from pymatgen.core import Structure

from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.cli.text import text

NACL = "Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50\n"


def test_decode_prints_a_cif_and_encode_reads_it(tmp_path: Path) -> None:
    runner = CliRunner()
    decoded = runner.invoke(text, ["decode", "-"], input=NACL)
    assert decoded.exit_code == 0
    (tmp_path / "nacl.cif").write_text(decoded.stdout)
    encoded = runner.invoke(text, ["encode", str(tmp_path / "nacl.cif")])
    assert encoded.stdout == NACL


def test_decode_writes_a_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(NACL)
    out = tmp_path / "a.cif"
    result = CliRunner().invoke(text, ["decode", str(tmp_path / "a.txt"), "-o", str(out)])
    assert (result.exit_code, result.output) == (0, "")
    assert Structure.from_file(out).composition.as_dict() == {"Na": 4.0, "Cl": 4.0}


def test_a_file_is_whole_or_stays_what_it_was(tmp_path: Path) -> None:
    out = tmp_path / "new" / "POSCAR"
    for number in (1, 2):
        runner = CliRunner().invoke(text, ["decode", "-", "-o", str(out)], input=NACL)
        assert (number, runner.exit_code) == (number, 0)
    assert Structure.from_file(out).composition.as_dict() == {"Na": 4.0, "Cl": 4.0}
    other = out.with_name("crystal.foo")
    other.write_text("mine")
    refused = CliRunner().invoke(cli, ["text", "decode", "-", "-o", str(other)], input=NACL)
    assert refused.exit_code == 2
    assert "crystal.foo'" in refused.stderr
    assert ".crystal.foo" not in refused.stderr
    assert other.read_text() == "mine"
    assert {path.name for path in out.parent.iterdir()} == {"POSCAR", "crystal.foo"}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_texts_come_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    content = f"# Grün\n{NACL}".replace("\n", "\r\n").encode(encoding)
    (tmp_path / "a.txt").write_bytes(content)
    for arguments in (["decode", str(tmp_path / "a.txt")], ["decode", "-"]):
        result = CliRunner().invoke(text, arguments, input=content)
        assert result.exit_code == 0, result.output
        assert result.stdout.count("  Na  ") == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["decode", "nothing.txt"], "nothing.txt"),
        (["encode", "nothing.cif"], "nothing.cif"),
        (["decode", "bad.txt"], "line 4"),
        (["encode", "bad.txt"], "cannot be read as a crystal"),
        (["encode", "bad.txt", "--format", "pdb"], "pdb"),
    ],
)
def test_mistakes_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.txt").write_text(NACL.replace("Na", "Xx"))
    result = CliRunner().invoke(cli, ["text", *arguments])
    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert result.stdout == ""

"""Settings from the environment and a file; what is wrong with them is said in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from crystalicl_jobflow.settings import _read_settings


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "settings.yaml"
    monkeypatch.setenv("CRYSTALICL_CONFIG_FILE", str(path))
    return path


def test_the_environment_comes_before_the_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _read_settings().BATCH_SIZE == 32
    file.write_text("BATCH_SIZE: 8\nMAX_ATOMS: 20\n")
    monkeypatch.setenv("CRYSTALICL_BATCH_SIZE", "4")
    settings = _read_settings()
    assert (settings.BATCH_SIZE, settings.MAX_ATOMS) == (4, 20)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"SYMPREC: -1", "CRYSTALICL_SYMPREC: Input should be greater than 0"),
        (b"SYMPREC: [", "cannot be read"),
        (b"- 1", "cannot be read"),
        (b"\xff\xfe\x00", "cannot be read"),
        (b"SYMPREC: \x07", "cannot be read"),
    ],
    ids=["value", "half", "list", "binary", "control character"],
)
def test_a_broken_file_is_named(file: Path, content: bytes, reason: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        _read_settings()
    assert str(file) in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_a_broken_variable_is_named(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRYSTALICL_MAX_ATOMS", "many")
    with pytest.raises(ValueError, match=r"^setting CRYSTALICL_MAX_ATOMS: .* valid integer"):
        _read_settings()
    monkeypatch.delenv("CRYSTALICL_MAX_ATOMS")
    monkeypatch.setenv("CRYSTALICL_SERVER", "{")
    with pytest.raises(ValueError, match="SERVER"):
        _read_settings()

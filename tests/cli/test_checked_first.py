"""Where results go, the model and the adapter are checked before any work of long commands."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = ("conditional", "prediction", "unconditional", "energies", "property")
MORE: dict[str, tuple[str, ...]] = {"property": ("--property", "band_gap")}


@pytest.fixture
def no_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every reading of a data set fail."""

    def read(*_args: object, **_options: object) -> None:
        raise AssertionError("data were read before the checks")

    for name in (
        "benchmarks.conditional.plan_run",
        "benchmarks.energies.energy_benchmark",
        "benchmarks.property_prediction.property_benchmark",
        "training.recipes.load_split",
        "training.data.sources.read_training_data",
        "submission.run_here",
    ):
        monkeypatch.setattr(f"crystalicl_jobflow.{name}", read)


@pytest.fixture
def blocked(tmp_path: Path) -> Path:
    """Return a folder that cannot be made: a file is in its way."""
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "rows.csv").write_text("material_id,cif,band_gap,formation_energy_per_atom\n")
    return tmp_path / "file" / "run"


@pytest.mark.usefixtures("no_reading")
@pytest.mark.parametrize("command", BENCHMARKS)
def test_a_benchmark_that_could_not_be_written(
    refused: Callable[..., str], blocked: Path, command: str
) -> None:
    rows = blocked.parent.parent / "rows.csv"
    more = MORE.get(command, ())
    words = refused("benchmark", command, "--dataset", rows, *more, "--out", blocked)
    assert f"{blocked} cannot be written: {blocked.parent} is not a folder" in words


@pytest.mark.usefixtures("no_reading")
@pytest.mark.parametrize("command", ["conditional", "property"])
def test_a_benchmark_of_a_model_that_is_not_there(
    refused: Callable[..., str], blocked: Path, command: str
) -> None:
    folder = blocked.parent.parent
    words = refused(
        "benchmark", command, "--dataset", folder / "rows.csv", *MORE.get(command, ()),
        "--model", folder / "nowhere", "--out", folder / "out",
    )  # fmt: skip
    assert "nowhere' not found" in words
    assert not (folder / "out").exists()


@pytest.mark.usefixtures("no_reading")
@pytest.mark.parametrize(
    "command", [("base",), ("lora", "--base-model", "embedded"), ("instructions",)]
)
def test_a_training_that_could_not_be_written(
    refused: Callable[..., str], blocked: Path, command: tuple[str, ...]
) -> None:
    rows = blocked.parent.parent / "rows.csv"
    out = blocked / "set.jsonl" if command == ("instructions",) else blocked
    words = refused("train", *command, rows, "--out", out)
    assert f"{out} cannot be written: {blocked.parent} is not a folder" in words


@pytest.mark.usefixtures("no_reading")
def test_a_training_on_a_model_that_is_not_there(
    refused: Callable[..., str], blocked: Path
) -> None:
    folder = blocked.parent.parent
    words = refused(
        "train", "lora", folder / "rows.csv", "--base-model", folder / "nowhere",
        "--out", folder / "out",
    )  # fmt: skip
    assert "nowhere' not found" in words


@pytest.mark.usefixtures("no_reading")
def test_a_local_run_that_could_not_be_written(refused: Callable[..., str], blocked: Path) -> None:
    flow = blocked.parent.parent / "flow.yaml"
    flow.write_text("flow: generate\nconditions: {formula: NaCl}\nretrieve: {shots: 0}\n")
    words = refused("submit", flow, "--local", "--out", blocked)
    assert f"{blocked} cannot be written: {blocked.parent} is not a folder" in words

"""The mean of two models."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from transformers import AutoModelForCausalLM, AutoTokenizer

from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.training import BaseSize, build_base_model
from crystalicl_jobflow.training.averaging import average_models
from crystalicl_jobflow.training.base_model import save_base

from .conftest import TINY


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, tokenizer) -> list[Path]:
    folder = tmp_path_factory.mktemp("models")
    for seed in (0, 1):
        torch.manual_seed(seed)
        save_base(build_base_model(tokenizer, TINY), tokenizer, folder / str(seed))
    small = BaseSize(hidden_size=16, num_layers=1, num_heads=2, intermediate_size=32)
    save_base(build_base_model(tokenizer, small), tokenizer, folder / "small")
    return [folder / name for name in ("0", "1", "small")]


def test_every_weight_is_the_mean_by_shares(models: list[Path], tmp_path: Path) -> None:
    words = [f"{models[0]}=0.75", f"{models[1]}=0.25", "--out", str(tmp_path / "mean")]
    done = CliRunner().invoke(cli, ["train", "average", *words])
    assert done.exit_code == 0, done.output
    first, second, mean = (
        AutoModelForCausalLM.from_pretrained(folder).state_dict()
        for folder in (*models[:2], tmp_path / "mean")
    )
    for name, weight in mean.items():
        torch.testing.assert_close(weight, 0.75 * first[name] + 0.25 * second[name])
    assert len(AutoTokenizer.from_pretrained(tmp_path / "mean")) == len(
        AutoTokenizer.from_pretrained(models[0])
    )


def test_what_has_no_mean_is_one_line(models: list[Path], tmp_path: Path) -> None:
    for shares, words in [
        ({models[0]: 1.0}, "at least two models"),
        ({models[0]: 0.5, models[1]: 0.4}, "add up to 0.9, not 1"),
        ({models[0]: 0.5, models[2]: 0.5}, "has other weights than"),
        ({models[0]: 0.5, tmp_path / "none": 0.5}, "has no config.json"),
    ]:
        with pytest.raises(ValueError, match=words):
            average_models(shares, tmp_path / "mean")
    assert not (tmp_path / "mean").exists()
    done = CliRunner().invoke(cli, ["train", "average", str(models[0]), "--out", str(tmp_path)])
    assert done.exit_code != 0
    assert "not of the form MODEL=SHARE" in done.output

"""A training that is killed goes on where it was, and gives the same model."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from crystalicl_jobflow.training.checkpoints import (
    TrainingState,
    load_checkpoint,
    read_log,
    rewind_log,
    save_checkpoint,
)

from . import killed

SIGKILLED = -9


def start(folder: Path, step: int) -> int:
    words = [sys.executable, killed.__file__, str(folder), str(step)]
    return subprocess.run(words, capture_output=True, check=False).returncode


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()


def test_a_killed_training_ends_with_the_weights_of_one_that_was_not(tmp_path) -> None:
    killed.main(str(tmp_path / "whole"), 0)
    steps = read_log(tmp_path / "whole")[-1]["step"]
    assert steps > 7
    assert start(tmp_path / "killed", 7) == SIGKILLED
    assert read_log(tmp_path / "killed")[-1]["step"] == 7
    killed.main(str(tmp_path / "killed"), 0)
    for place in ("", "best"):
        whole = weights(tmp_path / "whole" / place)
        for name, values in weights(tmp_path / "killed" / place).items():
            torch.testing.assert_close(values, whole[name], rtol=0, atol=0)
    logs = [
        [
            {name: line.get(name) for name in ("step", "loss", "validation_loss", "tokens")}
            for line in read_log(tmp_path / name)
        ]
        for name in ("whole", "killed")
    ]
    assert logs[0] == logs[1]


def test_a_log_is_rewound_to_the_checkpoint_and_forgets_a_cut_line(tmp_path) -> None:
    lines = [json.dumps({"step": step, "loss": 1.0}) + "\n" for step in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("".join(lines) + '{"step": 4, "lo')
    assert [line["step"] for line in read_log(tmp_path)] == [1, 2, 3]
    rewind_log(tmp_path, 2)
    assert (tmp_path / "log.jsonl").read_text() == "".join(lines[:2])


def test_an_older_checkpoint_lacks_fields_and_loads(tmp_path) -> None:
    model = torch.nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    save_checkpoint(tmp_path / "c.pt", model, [optimizer], TrainingState(step=3, splits=4))
    content = torch.load(tmp_path / "c.pt")
    for name in ("splits", "best_loss", "best_step", "stale", "stopped", "left_out"):
        del content["state"][name]
    torch.save(content, tmp_path / "c.pt")
    assert load_checkpoint(tmp_path / "c.pt", model, [optimizer]) == TrainingState(step=3)

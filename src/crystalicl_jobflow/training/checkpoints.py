"""Files of a training: its progress, checkpoint and log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.utils.files import write_text

if TYPE_CHECKING:
    import torch

CHECKPOINT = "checkpoint.pt"
"""Trained weights, optimisers and `TrainingState`, from which a killed run continues."""

LOG = "log.jsonl"
"""Log with one JSON line for every few steps and every validation."""

ARGUMENTS = "training_args.json"
"""Settings, data, versions."""

BEST = "best"
"""Folder that keeps the model with the lowest validation loss."""


@dataclass
class TrainingState:
    """Progress of a training, with everything needed to continue.

    Parameters
    ----------
    step
        Optimiser steps done.
    epoch, chunk, batch
        Place in the data: the next batch to be read.
    tokens, learned_tokens
        Tokens read so far, without padding, and those of them that were learned.
    seconds
        Wall time over all runs.
    history
        The log's lines with a validation loss.
    splits
        Pieces into which each batch is cut to fit into memory.
    best_loss, best_step
        Lowest validation loss (nats per token), and its step.
    stale
        Number of validations since then.
    stopped
        Whether patience ran out.
    left_out
        Number of instructions, over all epochs, that were too long and left out.
    """

    step: int = 0
    epoch: int = 0
    chunk: int = 0
    batch: int = 0
    tokens: int = 0
    learned_tokens: int = 0
    seconds: float = 0.0
    history: list[dict[str, float]] = field(default_factory=list)
    splits: int = 1
    best_loss: float | None = None
    best_step: int = 0
    stale: int = 0
    stopped: bool = False
    left_out: int = 0


def trainable(model: Any) -> dict[str, torch.Tensor]:
    """Return a model's trainable parameters by name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def save_checkpoint(
    path: Path, model: Any, optimizers: Sequence[Any], state: TrainingState
) -> None:
    """Write a checkpoint; a run killed while it writes keeps the older one.

    Parameters
    ----------
    path
        The checkpoint's file.
    model, optimizers
        Their trained parameters and states are kept.
    state
        How far the training has come.
    """
    import torch

    content = {
        "parameters": {name: p.detach() for name, p in trainable(model).items()},
        "optimizers": [optimizer.state_dict() for optimizer in optimizers],
        "state": asdict(state),
    }
    torch.save(content, path.with_suffix(".new"))
    path.with_suffix(".new").replace(path)


def load_checkpoint(path: Path, model: Any, optimizers: Sequence[Any]) -> TrainingState:
    """Read a checkpoint into a model and its optimisers.

    Older checkpoints lack fields of the state that came later; these keep their defaults.

    Parameters
    ----------
    path
        The checkpoint's file; read without running code from it.
    model, optimizers
        Receive their parameters and states.

    Raises
    ------
    ValueError
        If the checkpoint belongs to another model or other optimisers.
    """
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    parameters = trainable(model)
    known = {name: values.shape for name, values in content["parameters"].items()}
    if known != {name: values.shape for name, values in parameters.items()}:
        raise ValueError(f"{path} is the checkpoint of another model")
    if len(content["optimizers"]) != len(optimizers):
        raise ValueError(f"{path} is the checkpoint of a training with another optimizer")
    with torch.no_grad():
        for name, values in content["parameters"].items():
            parameters[name].copy_(values)
    for optimizer, values in zip(optimizers, content["optimizers"], strict=True):
        optimizer.load_state_dict(values)
    names = {item.name for item in fields(TrainingState)}
    return TrainingState(
        **{name: value for name, value in content["state"].items() if name in names}
    )


def read_log(folder: str | Path) -> list[dict[str, float]]:
    """Return the lines of a training's log; a line cut off by a kill is left out.

    Raises
    ------
    ValueError
        If the folder has no log.
    """
    path = Path(folder) / LOG
    if not path.is_file():
        raise ValueError(f"{folder} has no {LOG}")
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except ValueError:
            continue
    return lines


def append_log(folder: Path, line: Mapping[str, float]) -> None:
    """Add a line to the log."""
    with (folder / LOG).open("a", encoding="utf-8") as log:
        log.write(json.dumps(line) + "\n")


def rewind_log(folder: Path, step: int) -> None:
    """Remove what a killed run logged after its last checkpoint: these steps are repeated."""
    if not (folder / LOG).is_file():
        return
    kept = [line for line in read_log(folder) if line["step"] <= step]
    write_text(folder / LOG, "".join(json.dumps(line) + "\n" for line in kept))


@contextmanager
def without_bars() -> Iterator[None]:
    """Keep transformers from showing a progress bar for every file that it writes."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def restore_best(folder: Path) -> None:
    """Replace the last model by the best one."""
    for part in sorted((folder / BEST).iterdir()):
        shutil.rmtree(folder / part.name, ignore_errors=True)
        shutil.copytree(part, folder / part.name)

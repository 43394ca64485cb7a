"""Progress of a training for the user: readable lines, and the loss curve as a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from crystalicl_jobflow.training.checkpoints import BEST, LOG, read_log
from crystalicl_jobflow.utils.files import replacing

CURVE = "loss.png"
"""The loss curve in a training's folder."""


def progress_words(*, epochs: int) -> Callable[[Mapping[str, float]], str]:
    """Return a function that turns a log entry into a readable line.

    Parameters
    ----------
    epochs
        Number of epochs of the whole training.

    Examples
    --------
    >>> say = progress_words(epochs=10)
    >>> say({"step": 20, "epoch": 1, "tokens": 8000, "seconds": 4.0, "loss": 2.5, "share": 0.2})
    'step 20  epoch 2/10  loss 2.500  2,000 tokens/s  20 % done, 16 s left'
    """
    last: dict[str, float] = {}

    def say(line: Mapping[str, float]) -> str:
        words = [f"step {line['step']}"]
        if "validation_loss" in line:
            return f"{words[0]}  validation loss {line['validation_loss']:.3f}"
        if "splits" in line:
            return f"{words[0]}  out of memory: batches are cut into {line['splits']:g} pieces"
        words += [f"epoch {int(line['epoch']) + 1}/{epochs}", f"loss {line['loss']:.3f}"]
        # since the last line, so that a resumed training shows its current speed
        seconds = line["seconds"] - last.get("seconds", 0.0)
        if seconds > 0:
            rate = (line["tokens"] - last.get("tokens", 0.0)) / seconds
            words.append(f"{rate:,.0f} tokens/s")
        if 0 < line["share"] <= 1:
            left = line["seconds"] * (1 / line["share"] - 1)
            words.append(f"{line['share']:.0%} done, {_duration(left)} left".replace("%", " %"))
        last.update(seconds=line["seconds"], tokens=line["tokens"])
        return "  ".join(words)

    return say


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def new_figure(width: float, height: float) -> Any:
    """Return an empty matplotlib figure for a file; width and height in inches."""
    # the object-oriented interface: no display, no state shared with a notebook's figures
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_loss_curve(folder: str | Path) -> Path | None:
    """Draw a training's losses over its steps.

    Parameters
    ----------
    folder
        Of the training; the picture goes beside its log.

    Returns
    -------
    Path or None
        The picture; None where nothing has been logged.
    """
    folder = Path(folder)
    if not (folder / LOG).is_file():
        return None
    log = read_log(folder)
    losses = [line for line in log if "loss" in line]
    held_out = [line for line in log if "validation_loss" in line]
    if not losses and not held_out:
        return None
    figure = new_figure(7, 4)
    axes = figure.add_subplot()
    if losses:
        axes.plot(*_points(losses, "loss"), color="tab:blue", lw=1, label="training")
    if held_out:
        marker = "o" if len(held_out) < 40 else None
        axes.plot(
            *_points(held_out, "validation_loss"),
            color="tab:orange",
            marker=marker,
            ms=4,
            label="validation",
        )
        best = min(held_out, key=lambda line: line["validation_loss"])
        axes.plot(
            [best["step"]], [best["validation_loss"]], "*", color="tab:red", ms=11,
            label=f"{BEST}: {best['validation_loss']:.3f} at step {best['step']:g}",
        )  # fmt: skip
    axes.set(xlabel="step", ylabel="loss (nats per learned token)", title=folder.absolute().name)
    _show_epochs(axes, log)
    axes.grid(alpha=0.3)
    axes.legend()
    with replacing(folder / CURVE) as beside:
        figure.savefig(beside, format="png", dpi=120)
    return folder / CURVE


def _points(lines: list[dict[str, float]], name: str) -> tuple[list[float], list[float]]:
    return [line["step"] for line in lines], [line[name] for line in lines]


def _show_epochs(axes: Any, log: list[dict[str, float]]) -> None:
    """Mark the start of epochs, if these are few enough to be distinguished."""
    starts: dict[float, float] = {}
    for line in log:
        starts.setdefault(line["epoch"], line["step"])
    if 1 < len(starts) <= 30:
        for epoch, step in starts.items():
            if epoch:
                axes.axvline(step, color="grey", lw=0.5, ls=":")

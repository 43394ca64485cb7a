"""The rewards over a GRPO training as a picture."""

from __future__ import annotations

from pathlib import Path

from crystalicl_jobflow.training.checkpoints import LOG, read_log
from crystalicl_jobflow.training.progress import new_figure
from crystalicl_jobflow.utils.files import replacing

REWARD_CURVE = "rewards.png"
"""The picture in a training's folder."""

SMOOTHED = 10
"""Steps over which the curve is averaged, beside the single steps."""


def draw_reward_curve(folder: str | Path) -> Path | None:
    """Draw rewards, divergence and match rates over the steps.

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
    steps = [line for line in log if "reward" in line]
    measured = [line for line in log if "match" in line]
    if not steps:
        return None
    figure = new_figure(7, 6)
    rewards, divergence = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
    x = [line["step"] for line in steps]
    y = [line["reward"] for line in steps]
    rewards.plot(x, y, color="tab:blue", lw=0.6, alpha=0.5, label="reward of a step")
    smooth = [
        sum(y[max(0, i - SMOOTHED + 1) : i + 1]) / min(i + 1, SMOOTHED) for i in range(len(y))
    ]
    rewards.plot(x, smooth, color="tab:blue", lw=1.6, label=f"mean of {SMOOTHED} steps")
    if measured:
        rewards.plot(
            [line["step"] for line in measured],
            [line["match"] for line in measured],
            "o-",
            color="tab:orange",
            label="match rate on held-out crystals",
        )
    rewards.set(ylabel="mean reward", title=folder.absolute().name)
    rewards.legend()
    divergence.plot(x, [line["kl"] for line in steps], color="tab:red", lw=1)
    divergence.set(xlabel="step", ylabel="KL from the start\n(nats per token)")
    for axes in (rewards, divergence):
        axes.grid(alpha=0.3)
    with replacing(folder / REWARD_CURVE) as beside:
        figure.savefig(beside, format="png", dpi=120)
    return folder / REWARD_CURVE

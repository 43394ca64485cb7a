"""``crystalicl benchmark prediction``: how often the true crystal is among n samples."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import say, stdout_console, table
from crystalicl_jobflow.cli._energy_options import energy_options, read_energies
from crystalicl_jobflow.cli.benchmark._options import (
    dataset_options,
    read_setting,
    read_shots,
    run_suite,
)

_SHOWN = (1, 2, 3, 5, 10, 20, 50, 100)


@click.command(
    epilog="\b\ncrystalicl benchmark prediction --dataset test.csv.gz \\\n"
    "    --condition formula,space_group --n 20 --limit 100 --seed 0 --out run"
)
@partial(dataset_options, shots="0")
@click.option(
    "--n",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Samples per condition; the match rate is told for 1 to n.",
)
@click.option(
    "--rank",
    "rankings",
    multiple=True,
    metavar="NAME[,NAME…]",
    help="Also tell the match rate of the best-ranked crystals by this ranking, e.g. evidence;"
    " repeatable.  [default: success,times_drawn,log_prob]",
)
@click.option(
    "--top",
    metavar="K[,K…]",
    help="Numbers of samples that have columns in the table, e.g. 1,3,5,10.  [default: 1 and n]",
)
@energy_options
def prediction(**options: Any) -> None:
    """Predict the crystals of a data set; match rate with 1 to n samples."""
    from crystalicl_jobflow.benchmarks import prediction_suite

    setting = read_setting(
        options,
        kind="prediction",
        samples=options["n"],
        rankings=list(options["rankings"]),
        energies=read_energies(options),
    )
    suite = prediction_suite(
        setting, shots=read_shots(options["shots"]), top=_read_top(options["top"], options["n"])
    )
    runs = run_suite(suite, options)
    if len(runs) > 1:
        return
    metrics = runs[0].metrics
    from crystalicl_jobflow.evaluation import value_text

    names = ", ".join(metrics["condition"])
    ranked = {row["n"]: row for row in metrics.get("prediction_ranked", ())}
    shown = table(
        ">n", ">Match %", ">RMS", ">Match, valid %", ">RMS, valid",
        *([">Match, ranked %"] if ranked else []),
        title=f"{metrics['num_conditions']} conditions ({names}), {metrics['shots']} shots",
    )  # fmt: skip
    rows, of = metrics["prediction"], metrics["num_conditions"]
    for row in rows:
        if row["n"] in _SHOWN or row["n"] == len(rows):
            shown.add_row(
                str(row["n"]),
                _percent(row["match_rate"], of),
                value_text(row["rms"]),
                _percent(row["match_rate_valid"], of),
                value_text(row["rms_valid"]),
                *([_percent(ranked[row["n"]]["match_rate"], of)] if ranked else []),
            )
    stdout_console().print(shown)
    speed = metrics["speed"]
    say(f"{speed['tokens_per_second']} tokens and {speed['crystals_per_second']} crystals a second")


def _read_top(text: str | None, samples: int) -> list[int]:
    """Read numbers of samples, e.g. ``1,3,5,10``.

    Raises
    ------
    UserError
        If one is no number from 1 to n.
    """
    items = [item.strip() for item in (text or "").split(",") if item.strip()]
    if any(not item.isdigit() or not 1 <= int(item) <= samples for item in items):
        raise UserError(f"--top {text}: give numbers from 1 to --n {samples}, e.g. 1,{samples}")
    return sorted(set(map(int, items)))


def _percent(share: float | None, of: int) -> str:
    if share is None:
        return "-"
    from crystalicl_jobflow.evaluation import share_text

    return share_text(round(share * of), of).removesuffix(" %")

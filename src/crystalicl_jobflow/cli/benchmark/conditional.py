"""``crystalicl benchmark conditional``: success on what is asked of a data set's crystals."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from crystalicl_jobflow.cli._console import verbose_option
from crystalicl_jobflow.cli.benchmark._options import (
    dataset_options,
    read_setting,
    read_shots,
    run_suite,
)


@click.command(
    epilog="\b\ncrystalicl benchmark conditional --dataset test.csv.gz --pool train.csv.gz \\\n"
    "    --shots 0,3 --limit 1000 --repeats 5 --out run"
)
@partial(dataset_options, shots="3")
@verbose_option
@click.option("--samples", type=click.IntRange(1), default=1, show_default=True)
def conditional(**options: Any) -> None:
    """Ask for the crystals of a data set by their conditions, and compare.

    The tables beside the published ones are those of CrystalICL's tables 1 and 7 and
    figure 4.
    """
    from crystalicl_jobflow.benchmarks import conditional_suite
    from crystalicl_jobflow.cli._candidates import print_rates
    from crystalicl_jobflow.schemas import Evaluation, Rate

    setting = read_setting(options, samples=options["samples"])
    suite = conditional_suite(
        setting, shots=read_shots(options["shots"]), strategy=options["strategy"]
    )
    runs = run_suite(suite, options)
    if len(runs) == 1:
        (run,) = runs
        rates = {name: Rate(**rate) for name, rate in run.metrics["rates"].items()}
        measured = Evaluation(num_candidates=0, rates=rates, metrics=run.metrics["metrics"])
        title = f"{run.metrics['num_conditions']} conditions, {run.metrics['shots']} shots"
        print_rates(measured, title=title)

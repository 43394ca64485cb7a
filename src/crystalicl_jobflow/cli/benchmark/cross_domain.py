"""``crystalicl benchmark cross-domain``: demonstrations of one data set, conditions of others."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from crystalicl_jobflow.cli.benchmark._options import (
    dataset_options,
    read_setting,
    read_shots,
    run_suite,
)


@click.command(
    "cross-domain",
    epilog="\b\ncrystalicl benchmark cross-domain --pool mp_20_train.csv.gz \\\n"
    "    --dataset perov_5_test.csv.gz --dataset carbon_24_test.csv.gz --limit 1000 --out run",
)
@partial(dataset_options, shots="0,3", several=True)
def cross_domain(**options: Any) -> None:
    """Ask for crystals of one data set with demonstrations of another.

    The table is that of CrystalICL's figure 5, whose numbers the paper does not print.
    """
    from crystalicl_jobflow.benchmarks import cross_domain_suite

    setting = read_setting(options, dataset=options["dataset"][0])
    suite = cross_domain_suite(setting, options["dataset"], shots=read_shots(options["shots"]))
    run_suite(suite, options)

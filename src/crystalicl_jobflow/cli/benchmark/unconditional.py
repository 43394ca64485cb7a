"""``crystalicl benchmark unconditional``: validity, coverage, distributions."""

from __future__ import annotations

from typing import Any

import click

from crystalicl_jobflow.cli.benchmark._options import (
    predictor_option,
    read_setting,
    run_options,
    run_suite,
)


@click.command(
    epilog="\b\ncrystalicl benchmark unconditional --dataset mp_20_test.csv.gz --samples 10000 \\\n"
    "    --predictor formation_energy_per_atom=trees --cache fingerprints.sqlite --out run"
)
@click.option(
    "--dataset",
    required=True,
    metavar="CSV",
    help="Crystals that coverage and distributions are against, e.g. mp_20_test.csv.gz.",
)
@click.option("--samples", type=click.IntRange(1), default=10_000, show_default=True)
@click.option(
    "--coverage",
    metavar="DATASET",
    help="Cut-offs of coverage: mp-20, perov-5, carbon-24 or none.  [default: by the file's name]",
)
@click.option(
    "--known", metavar="CSV|STORE", help="What novelty is against, e.g. the training set."
)
@click.option(
    "--unique/--no-unique",
    default=True,
    show_default=True,
    help="Count the different crystals; those of one formula, as Carbon-24's, are compared each"
    " with each.",
)
@click.option("--cache", metavar="PATH", help="Keep fingerprints in this .sqlite file or store.")
@predictor_option
@run_options
def unconditional(**options: Any) -> None:
    """Let the model write crystals without a condition, and compare the set with a test set.

    The table beside the published one is that of CrystalICL's table 2. Formation energies
    are compared where a --predictor of them is named.
    """
    from crystalicl_jobflow.benchmarks import data_set_name, unconditional_suite
    from crystalicl_jobflow.comparison.coverage import coverage_cutoffs

    coverage = options["coverage"]
    if coverage is None:
        name = data_set_name(options["dataset"])
        coverage = {"mpts_52": "mp_20"}.get(name, name)
        try:
            coverage_cutoffs(coverage)
        except ValueError:
            coverage = None
    elif coverage == "none":
        coverage = None
    else:
        coverage = coverage.replace("-", "_")
        coverage_cutoffs(coverage)
    setting = read_setting(
        options,
        kind="unconditional",
        samples=options["samples"],
        coverage=coverage,
        known=options["known"],
        unique=options["unique"],
    )
    run_suite(unconditional_suite(setting), options, cache=options["cache"])

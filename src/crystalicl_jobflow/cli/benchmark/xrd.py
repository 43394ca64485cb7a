"""``crystalicl benchmark xrd``: what a powder pattern adds to a prediction."""

from __future__ import annotations

from functools import partial
from typing import Any

import click
from click.core import ParameterSource

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli.benchmark._options import (
    dataset_options,
    read_setting,
    read_shots,
    run_suite,
)


@click.command(
    epilog="\b\ncrystalicl benchmark xrd --dataset mp_20_test.csv.gz --limit 200 \\\n"
    "    --pool pool.db --strategy CE --out run"
)
@partial(dataset_options, shots="3")
@click.option(
    "--n",
    type=click.IntRange(2),
    default=20,
    show_default=True,
    help="Draws for each condition; the pattern chooses among them.",
)
@click.option(
    "--simulate",
    "fields",
    multiple=True,
    metavar="NAME=VALUE",
    help="How patterns are simulated: radiation=MoKa, two_theta=5:45, zero_shift=0.1, counts,"
    " background, displacement, width, crystallites, debye_waller, intensity_error; repeatable.",
)
@click.pass_context
def xrd(context: click.Context, /, **options: Any) -> None:
    """Predict crystals with and without a simulated powder pattern.

    Asks for the formula alone unless --condition says otherwise.
    """
    from crystalicl_jobflow.benchmarks import PatternSimulation, xrd_suite
    from crystalicl_jobflow.utils.messages import validation_line

    if context.get_parameter_source("names") is ParameterSource.DEFAULT:
        options["names"] = "formula"
    try:
        simulation = PatternSimulation.model_validate(_fields(options["fields"]))
    except ValueError as error:
        raise UserError(f"--simulate: {validation_line(error)}") from None
    setting = read_setting(options, kind="prediction", samples=options["n"])
    run_suite(xrd_suite(setting, simulation, shots=read_shots(options["shots"])), options)


def _fields(items: tuple[str, ...]) -> dict[str, Any]:
    """Read ``NAME=VALUE`` and ``NAME=LOW:HIGH``."""
    found: dict[str, Any] = {}
    for item in items:
        name, mark, value = item.partition("=")
        if not mark or not value:
            raise UserError(f"--simulate {item}: give NAME=VALUE or NAME=LOW:HIGH")
        found[name.strip()] = tuple(value.split(":")) if ":" in value else value
    return found

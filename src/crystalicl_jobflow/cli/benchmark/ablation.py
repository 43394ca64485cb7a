"""``crystalicl benchmark ablation``: what strategies, shots and instructions are worth."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._options import STRATEGIES
from crystalicl_jobflow.cli.benchmark._options import (
    dataset_options,
    read_model,
    read_setting,
    read_shots,
    run_suite,
)

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks import ModelChoice


@click.command(
    epilog="\b\ncrystalicl benchmark ablation --of strategies --dataset test.csv.gz \\\n"
    "    --pool pool.json --limit 1000 --repeats 5 --out run\n"
    "crystalicl benchmark ablation --of models --variant C=runs/base,runs/only_c \\\n"
    "    --variant CrystalICL=runs/base,runs/hybrid --dataset test.csv.gz --out run"
)
@click.option(
    "--of",
    "what",
    type=click.Choice(["strategies", "shots", "models"]),
    required=True,
    help="Table 4: ways of choosing demonstrations; table 5: their number; table 3: models"
    " trained on different instruction sets.",
)
@partial(dataset_options, shots="", strategy=False)
@click.option("--shots", help="Demonstrations.  [default: 3 for strategies, 0,3 for models]")
@click.option(
    "--strategies",
    metavar="NAME[,NAME…]",
    help="Strategies to compare.  [default: those of table 4; R and C for shots]",
)
@click.option(
    "--variant",
    "variants",
    multiple=True,
    metavar="NAME=MODEL[,ADAPTER]",
    help="A model to compare, with its name in the table; repeatable.",
)
def ablation(**options: Any) -> None:
    """Compare strategies, numbers of demonstrations, or models trained on less.

    The tables beside the published ones are those of CrystalICL's tables 3, 4 and 5.
    """
    from crystalicl_jobflow.benchmarks import models_suite, shots_suite, strategies_suite
    from crystalicl_jobflow.benchmarks.suites import STRATEGIES as TABLE_4

    what = options["what"]
    if options["variants"] and what != "models":
        raise UserError("--variant has an effect with --of models only")
    if what == "models":
        if not options["variants"]:
            raise UserError("--of models needs a --variant NAME=MODEL[,ADAPTER] for each row")
        models = read_variants(options["variants"], options)
    setting = read_setting(options)
    if what == "strategies":
        (shots, *more) = read_shots(options["shots"] or "3")
        if more:
            raise UserError("--of strategies takes one number of --shots")
        chosen = read_strategies(options["strategies"], TABLE_4)
        suite = strategies_suite(setting, strategies=chosen, shots=shots)
    elif what == "shots":
        numbers = read_shots(options["shots"] or "1,2,3")
        names = read_strategies(options["strategies"], ("R", "C"))
        suite = shots_suite(setting, choices=[(n, name) for name in names for n in numbers])
    else:
        suite = models_suite(setting, models, shots=read_shots(options["shots"] or "0,3"))
    run_suite(suite, options)


def read_strategies(text: str | None, default: Any) -> list[Any]:
    """Read names of strategies.

    Raises
    ------
    UserError
        If one is not known.
    """
    names = [item.strip() for item in text.split(",")] if text else list(default)
    for name in names:
        if name not in STRATEGIES:
            raise UserError(f"--strategies: {name!r} is not one of {', '.join(STRATEGIES)}")
    return list(dict.fromkeys(names))


def read_variants(items: tuple[str, ...], options: dict[str, Any]) -> dict[str, ModelChoice]:
    """Read models with their names.

    Raises
    ------
    UserError
        If one is not of the form NAME=MODEL[,ADAPTER], or a name comes twice.
    """
    found: dict[str, ModelChoice] = {}
    for item in items:
        name, _, place = item.partition("=")
        base, _, adapter = place.partition(",")
        if not name.strip() or not base.strip():
            raise UserError(f"--variant {item}: give NAME=MODEL[,ADAPTER]")
        if name.strip() in found:
            raise UserError(f"--variant {name.strip()} is given twice")
        changes = {"base_model": base.strip(), "adapter": adapter.strip() or None}
        found[name.strip()] = read_model(options, **changes)
    return found

"""Options of the search for texts with a high reward."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._app import UserError

if TYPE_CHECKING:
    from crystalicl_jobflow.schemas import TreeSearch

Command = TypeVar("Command", bound=Callable[..., Any])

NUMBERS = ("simulations", "exploration", "width", "parallel")
"""Options that are fields of `TreeSearch`."""


def search_numbers(command: Command) -> Command:
    """Add the options of the numbers of a search."""
    options = [
        click.option(
            "--simulations",
            type=click.IntRange(1),
            metavar="N",
            help="Texts that a search writes for each condition.  [100]",
        ),
        click.option(
            "--exploration",
            type=click.FloatRange(0),
            metavar="C",
            help="How much a search tries what it has not tried.  [1]",
        ),
        click.option(
            "--width",
            type=click.IntRange(1),
            metavar="N",
            help="Most tokens with which a search goes on at one place.  [5]",
        ),
        click.option(
            "--parallel",
            type=click.IntRange(1),
            metavar="N",
            help="Texts of a condition that a search writes at once.  [4]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def search_options(command: Command) -> Command:
    """Add the options of a search."""
    return click.option(
        "--search",
        type=click.Choice(["tree"]),
        help="Lead the texts to valid crystals of low energy (--energy; without it, to probable"
        " ones) by a Monte Carlo tree search.",
    )(search_numbers(command))


def read_numbers(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a search that are given."""
    return {name: options[name] for name in NUMBERS if options.get(name) is not None}


def read_search(options: Mapping[str, Any]) -> TreeSearch | None:
    """Return the search that is asked for; None for none.

    Raises
    ------
    UserError
        If an option has no effect.
    """
    numbers = read_numbers(options)
    if options["search"] is None:
        for name in numbers:
            raise UserError(f"--{name} has no effect without --search tree")
        return None
    context = click.get_current_context(silent=True)
    source = None if context is None else context.get_parameter_source("samples")
    if source is click.core.ParameterSource.COMMANDLINE:
        raise UserError("--samples has no effect with --search: give --simulations")
    if options["best_of"] != 1:
        raise UserError("--best-of has no effect with --search: every text is kept")
    from crystalicl_jobflow.schemas import TreeSearch

    return TreeSearch(
        **numbers, energy=options["energy"], relaxed=options["energy_relax"] or "nothing"
    )

"""Options of energies as evidence for crystals."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from crystalicl_jobflow.cli._app import UserError

Command = TypeVar("Command", bound=Callable[..., Any])


def energy_options(command: Command) -> Command:
    """Add the options of energies as evidence."""
    options = [
        click.option(
            "--energy",
            metavar="MODEL",
            help="Give the crystals of a ranking by evidence an energy: chgnet,"
            " tensornet-matpes, matcalc:NAME.",
        ),
        click.option(
            "--energy-relax",
            type=click.Choice(["nothing", "volume", "all"]),
            help="What is relaxed before the energy counts.  [volume; in a search nothing]",
        ),
        click.option(
            "--energy-crystals",
            type=click.IntRange(1),
            help="Different crystals of a condition that get one, the most probable.  [8]",
        ),
        click.option(
            "--energy-seconds",
            type=click.FloatRange(0, min_open=True),
            metavar="S",
            help="Time for one condition; the rest of its crystals goes without.  [no limit]",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def read_energies(options: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return what the options of energies ask for; None for no energies.

    Raises
    ------
    UserError
        If an option has no effect.
    """
    others = {"crystals": options["energy_crystals"], "seconds": options["energy_seconds"]}
    given = {name: value for name, value in others.items() if value is not None}
    if options["energy"] is None:
        for name in given:
            raise UserError(f"--energy-{name} has no effect without --energy")
        return None
    relaxed = options["energy_relax"] or "volume"
    return {"model": options["energy"], "relaxed": relaxed, **given}

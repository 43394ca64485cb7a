"""``crystalicl export``: candidates in the files that leaderboards read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._app import OneLineGroup, UserError
from crystalicl_jobflow.cli._console import note, say
from crystalicl_jobflow.cli._outputs import check_folder

if TYPE_CHECKING:
    from crystalicl_jobflow.candidates.leaderboards import Exported
    from crystalicl_jobflow.schemas import Candidate

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(cls=OneLineGroup)
def export() -> None:
    """Write candidates for leaderboards' own programs."""


def _options(which: str) -> Callable[[Command], Command]:
    """Return what adds the options of all exports.

    Parameters
    ----------
    which
        The default of --which.
    """

    def add(command: Command) -> Command:
        options = [
            click.argument("source", metavar="RUN|JSONL|STORE"),
            click.option(
                "--out",
                required=True,
                type=click.Path(file_okay=False, path_type=Path),
                help="Folder for the files and export.json, which says where each candidate is.",
            ),
            click.option(
                "--which",
                type=click.Choice(["valid", "parsed", "all"]),
                default=which,
                show_default=True,
                help="Valid crystals, all that could be read, or all texts.",
            ),
            click.option(
                "--distinct", is_flag=True, help="Of the same crystals write the first only."
            ),
        ]
        for option in reversed(options):
            command = option(command)
        return command

    return add


@export.command(epilog="\b\ncrystalicl export genbench run --distinct --out genbench")
@_options("valid")
def genbench(source: str, out: Path, which: str, distinct: bool) -> None:
    """Write CIF files for LeMat-GenBench (`run_benchmarks.py --cifs OUT/cifs`)."""
    from crystalicl_jobflow.candidates.leaderboards import export_genbench

    check_folder(out)
    found = export_genbench(
        _candidates(source),
        out,
        which=which,  # type: ignore[arg-type]  # one of click's choices
        distinct=distinct,
    )
    _say(found, out)


@export.command(
    epilog="\b\ncrystalicl export matbench run --out tensors\n"
    "crystalicl export matbench run --truths test.csv --out tensors"
)
@_options("all")
@click.option(
    "--truths",
    metavar="CSV",
    help="True crystals of the conditions, for structure prediction: as in `crystalicl evaluate`.",
)
def matbench(source: str, out: Path, which: str, distinct: bool, truths: str | None) -> None:
    """Write tensors for the evaluators of CDVAE, DiffCSP and others (`compute_metrics.py`)."""
    from crystalicl_jobflow.candidates.leaderboards import export_matbench
    from crystalicl_jobflow.evaluation.truths import read_truths

    check_folder(out)
    candidates = _candidates(source)
    true = None if truths is None else read_truths(truths, candidates)
    if truths is not None and true is None:
        raise UserError(f"--truths {truths}: the candidates have no conditions")
    found = export_matbench(
        candidates,
        out,
        which=which,  # type: ignore[arg-type]  # one of click's choices
        distinct=distinct,
        truths=true,
    )
    _say(found, out)


def _candidates(source: str) -> list[Candidate]:
    from crystalicl_jobflow.candidates import load_candidates

    candidates = load_candidates(source)
    if not candidates:
        raise UserError(f"{source} holds no candidates")
    return candidates


def _say(found: Exported, out: Path) -> None:
    total = len(found.written.keys() | found.left_out.keys())
    say(f"{len(found.written)} of {total} candidates written to {out}")
    for reason, count in found.reasons.items():
        note(f"{count} left out: {reason}")

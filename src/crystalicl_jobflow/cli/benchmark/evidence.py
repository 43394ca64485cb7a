"""``crystalicl benchmark evidence``: fit the weights of the ranking by evidence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import progress, say, stdout_console, table


@click.command(epilog="\b\ncrystalicl benchmark evidence fit-1 fit-2 --out evidence_weights.json")
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the cross-validation.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File of the weights; CRYSTALICL_EVIDENCE_WEIGHTS names the one that is used.",
)
def evidence(**options: Any) -> None:
    """Fit the weights of the ranking by evidence on finished prediction RUNS.

    Each is a folder of `crystalicl benchmark prediction` on crystals that are in no test file.
    """
    from crystalicl_jobflow.benchmarks.evidence import fit_evidence, read_cases, runs_origin
    from crystalicl_jobflow.utils.files import write_json

    if not options["out"].resolve().parent.is_dir():
        raise UserError(f"--out {options['out']}: there is no such folder")
    cases = []
    with progress("Read") as report:
        for run in options["runs"]:
            cases += read_cases(run, processes=options["processes"], progress=report)
    found = fit_evidence(cases, seed=options["seed"])
    measured = found.pop("measured")
    origin = {**runs_origin(options["runs"]), "seed": options["seed"], "measured": measured}
    write_json(options["out"], {**found, "origin": origin})
    names = sorted({*found["without_energy"], *found["with_energy"]})
    shown = table("", ">Without energy", ">With energy", title="Weights")
    for name in names:
        cells = [found[kind].get(name) for kind in ("without_energy", "with_energy")]
        shown.add_row(name.replace("_", " "), *("-" if x is None else f"{x:.4f}" for x in cells))
    stdout_console().print(shown)
    for name, value in measured.items():
        say(f"{name}: {value}")
    say(f"Written: {options['out']}")

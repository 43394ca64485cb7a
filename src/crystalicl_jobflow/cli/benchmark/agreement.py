"""``crystalicl benchmark agreement``: our verdicts beside published ones."""

from __future__ import annotations

from pathlib import Path

import click

from crystalicl_jobflow.cli._console import note, say, stages, stdout_console, table
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.utils.files import write_json

AGREEMENT = "agreement.json"


@click.command(
    epilog="\b\ncrystalicl benchmark agreement --data published\n"
    "crystalicl benchmark agreement --data published --limit 200 --out agreement"
)
@click.option(
    "--data",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    required=True,
    help="Folder with lemat_smact, crystallm_pi_validity or plaid_groups .csv.gz.",
)
@click.option("--limit", type=click.IntRange(1), help="Rows drawn from each set.  [all]")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the rows.")
@click.option("--processes", type=click.IntRange(1), default=1, show_default=True)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help=f"Folder for {AGREEMENT}.",
)
def agreement(data: Path, limit: int | None, seed: int, processes: int, out: Path | None) -> None:
    """Compare our verdicts with those that others published, and name every difference."""
    from crystalicl_jobflow.benchmarks.agreement import KIND, compare_with_published

    if out is not None:
        check_folder(out)
    with stages() as report:
        found = compare_with_published(
            data, limit=limit, seed=seed, processes=processes, progress=report
        )
    shown = table("Verdict", "Of", ">Rows", ">Same", ">Our choice", ">Agree %")
    for item in found:
        rate = "-" if item.rate is None else f"{100 * item.rate:.1f}"
        shown.add_row(
            item.published.question,
            item.published.source,
            str(len(item.rows)),
            str(item.agreeing),
            str(item.chosen),
            rate,
        )
    stdout_console(asked_for=out is None).print(shown)
    for item in found:
        for row in item.differences:
            if row.error:
                note(f"{item.published.source}: {row.name} not judged: {row.error}")
                continue
            reason = row.choice or row.why
            line = f"{row.name}: theirs {row.theirs}, ours {row.ours}"
            note(f"{item.published.source}: {line}{f' ({reason})' if reason else ''}")
    if out is not None:
        settings = {"kind": KIND, "limit": limit, "seed": seed}
        write_json(out / AGREEMENT, {**settings, "sets": [item.metrics() for item in found]})
        say(f"Written: {out / AGREEMENT}")

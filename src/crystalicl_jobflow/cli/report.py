"""``crystalicl report``: what a run did, as one page to look at."""

from __future__ import annotations

from pathlib import Path

import click

from crystalicl_jobflow.cli._console import progress, say


@click.command(
    epilog="\b\ncrystalicl report crystalicl-demo\n"
    "crystalicl report run --reference mp_20_test.csv.gz --out run.html --top 24"
)
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option(
    "--reference",
    metavar="CSV|STORE",
    help="Known crystals that distributions and novelty are against: a CSV with a column cif,"
    " a store, ...",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The page.  [DIR/report.html]",
)
@click.option(
    "--top",
    type=click.IntRange(0, 60),
    default=12,
    show_default=True,
    help="Crystals shown in three dimensions.",
)
def report(folder: Path, reference: str | None, out: Path | None, top: int) -> None:
    """Write one HTML page of a run: crystals, rates, distributions, failures, provenance.

    DIR is what `crystalicl demo`, `generate`, `evaluate` or `benchmark` wrote: it holds
    candidates.jsonl, and metrics.json or summary.json. The page needs no network and no
    other file.
    """
    from crystalicl_jobflow.report import write_report

    with progress("Reference") as show:
        path = write_report(folder, reference=reference, out=out, top=top, progress=show)
    say(f"Written: {path} ({path.stat().st_size / 1e6:.1f} MB)")

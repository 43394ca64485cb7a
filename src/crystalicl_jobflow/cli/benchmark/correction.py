"""``crystalicl benchmark correction``: the bias of a predictor, to take it out."""

from __future__ import annotations

from pathlib import Path

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, progress, say, stdout_console, table
from crystalicl_jobflow.cli._outputs import check_file


@click.command(
    epilog="\b\ncrystalicl benchmark correction --dataset train.csv.gz --predictor megnet"
    " --out megnet.json\n"
    "crystalicl evaluate run --predict formation_energy_per_atom=megnet+megnet.json --out judged"
)
@click.option(
    "--dataset", required=True, metavar="CSV", help="Known crystals, none of them of a test."
)
@click.option(
    "--property",
    "property_name",
    default="formation_energy_per_atom",
    show_default=True,
    help="What is predicted.",
)
@click.option("--predictor", required=True, help="As in `crystalicl benchmark energies`.")
@click.option(
    "--kind",
    type=click.Choice(["anion", "offset"]),
    default="anion",
    show_default=True,
    help="One number for each anion, or one for all.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Rows drawn from the data set.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed of the rows.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="File of the correction; --predictor NAME+FILE uses it.",
)
def correction(
    dataset: str,
    property_name: str,
    predictor: str,
    kind: str,
    limit: int,
    seed: int,
    out: Path,
) -> None:
    """Fit the bias of a predictor on known values, to take it out."""
    from crystalicl_jobflow.benchmarks.energies import correction_benchmark

    if out.suffix != ".json":
        raise UserError(f"--out {out}: the name of a correction ends with .json")
    check_file(out)
    with progress("Predict") as report:
        fitted, failed = correction_benchmark(
            dataset,
            property_name,
            predictor=predictor,
            kind="offset" if kind == "offset" else "anion",
            limit=limit,
            seed=seed,
            progress=report,
        )
    for row, reason in failed:
        note(f"Not read: {row}: {reason}")
    fitted.save(out)
    origin = fitted.origin
    shown = table("Added", ">Value", ">Crystals", title=f"{fitted.predictor} {fitted.version}")
    shown.add_row("to all", f"{fitted.offset:.4f}", str(origin["crystals"]))
    for name, value in fitted.anions.items():
        shown.add_row(f"per share of {name}", f"{value:.4f}", str(origin["of_anion"][name]))
    stdout_console().print(shown)
    click.echo(
        f"Mean absolute error {origin['mae_before']:.4f} before, {origin['mae_after']:.4f} after,"
        " on the crystals of the fit"
    )
    say(f"Written: {out}")

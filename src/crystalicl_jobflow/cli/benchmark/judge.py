"""``crystalicl benchmark judge``: finished runs judged by other predictors."""

from __future__ import annotations

from pathlib import Path

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import say, stages
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.cli.benchmark._options import print_table, read_predictors


@click.command(
    epilog="\b\ncrystalicl benchmark judge run --predictor formation_energy_per_atom=megnet \\\n"
    "    --predictor band_gap=megnet --out run-megnet"
)
@click.argument("run", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--predictor",
    "predictors",
    multiple=True,
    required=True,
    metavar="PROPERTY=NAME",
    help="What predicts a property, e.g. band_gap=megnet; repeatable.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the judged runs and the tables; what is there is not made again.",
)
def judge(run: Path, predictors: tuple[str, ...], out: Path) -> None:
    """Judge the crystals of a finished benchmark by other predictors; nothing is written anew.

    RUN is a folder that `crystalicl benchmark conditional`, `ablation` or `cross-domain` wrote.
    What does not depend on these properties stays as it was measured.
    """
    from crystalicl_jobflow.benchmarks import write_tables
    from crystalicl_jobflow.benchmarks.second_judge import judge_again

    check_folder(out)
    if out.resolve() == run.resolve():
        raise UserError(f"--out {out} is the run itself: name another folder")
    with stages() as report:
        tables = judge_again(run, read_predictors(predictors, ()), out, progress=report)
    for item in tables:
        print_table(item)
    say(f"Written: {', '.join(map(str, write_tables(out, tables)))}")

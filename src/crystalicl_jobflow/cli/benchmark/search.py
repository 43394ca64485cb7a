"""``crystalicl benchmark search``: tree search beside random sampling on hard conditions."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, say, stages, stdout_console, table
from crystalicl_jobflow.cli._options import open_pool
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.cli._search_options import read_numbers, search_numbers
from crystalicl_jobflow.cli.benchmark._options import dataset_options, read_setting, read_shots

if TYPE_CHECKING:
    from collections.abc import Mapping


@click.command(
    epilog="\b\ncrystalicl benchmark search --dataset mp_20_test.csv.gz --limit 100 \\\n"
    "    --hard 20 --draws 100 --simulations 100 --energy chgnet --out run"
)
@partial(dataset_options, shots="0")
@click.option(
    "--group/--no-group",
    default=True,
    show_default=True,
    help="Whether the space group is asked for, where --condition has it.",
)
@click.option(
    "--hard",
    type=click.IntRange(1),
    default=20,
    show_default=True,
    help="Conditions searched for: those with the lowest share of valid draws, but some.",
)
@click.option(
    "--draws",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Random draws for each condition.",
)
@search_numbers
@click.option(
    "--energy",
    default="chgnet",
    show_default=True,
    metavar="MODEL",
    help="Potential of the search and the table: chgnet, matcalc:NAME.",
)
@click.option(
    "--energy-relax",
    type=click.Choice(["nothing", "volume", "all"]),
    default="nothing",
    show_default=True,
    help="What is relaxed before the energy counts.",
)
def search(**options: Any) -> None:
    """Compare tree search with random sampling on the conditions that a model finds hard."""
    shots = read_shots(options["shots"])
    if len(shots) > 1 or options["repeats"] > 1 or options["best_of"] > 1:
        raise UserError("a search is compared once: one number of --shots, no repeats, no best of")
    names = ",".join(
        name
        for name in options["names"].split(",")
        if options["group"] or name.strip() != "space_group"
    )
    if not names:
        raise UserError("--no-group leaves nothing of --condition")

    from crystalicl_jobflow.benchmarks import RunFolder
    from crystalicl_jobflow.benchmarks.tree_search import search_benchmark
    from crystalicl_jobflow.schemas import TreeSearch

    check_folder(options["out"])
    setting = read_setting({**options, "names": names}, samples=options["draws"], shots=shots[0])
    asked = TreeSearch(
        **{"simulations": options["draws"], **read_numbers(options)},
        energy=options["energy"],
        relaxed=options["energy_relax"],
    )
    identity = {
        **setting.identity(options["seed"]),
        "search": asked.model_dump(),
        "hard": options["hard"],
    }
    folder = RunFolder(options["out"], identity)
    if folder.finished is None:
        if folder.resumed:
            note(f"Going on with the run in {folder.folder}")
        with stages() as report:
            search_benchmark(
                setting,
                asked,
                hard=options["hard"],
                seed=options["seed"],
                folder=folder,
                pools=open_pool,
                progress=report,
            )
        folder = RunFolder(options["out"], identity)
    _print(folder.finished or {}, group="space_group" in names)
    say(f"Written: {options['out'] / 'metrics.json'}, {options['out'] / 'candidates.jsonl'}")


def _print(metrics: Mapping[str, Any], *, group: bool) -> None:
    shown = table(
        "Condition", ">Valid %", ">search", ">Lowest eV", ">search", ">Mean eV", ">search",
        title=f"Hardest {len(metrics['conditions'])} of {metrics['looked_at']} conditions:"
        " formation energies per atom",
    )  # fmt: skip
    for row in metrics["conditions"]:
        drawn, searched = row["drawn"], row["searched"]
        shown.add_row(
            row["label"],
            *(f"{100 * texts['valid']:.0f}" for texts in (drawn, searched)),
            *(_energy(texts["minimum"]) for texts in (drawn, searched)),
            *(_energy(texts["mean"]) for texts in (drawn, searched)),
        )
    stdout_console().print(shown)
    published = metrics["published"]["with group" if group else "without group"]
    for name, words in _IMPROVED.items():
        share = metrics["improved"][name]
        say(f"{words}: {100 * share:.0f} % (CrystaLLM: {100 * published[name]:.0f} %)")


_IMPROVED = {
    "validity": "More valid texts",
    "minimum": "Lower minimum energy",
    "mean": "Lower mean energy",
}


def _energy(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

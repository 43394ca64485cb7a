"""``crystalicl train instructions``: instruction sets as files for any trainer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._console import note, progress, say
from crystalicl_jobflow.cli._options import template_option
from crystalicl_jobflow.cli._outputs import check_file
from crystalicl_jobflow.cli.train._options import MIXTURE_NAMES

if TYPE_CHECKING:
    from crystalicl_jobflow.training.data.mixtures import Mixture

_Name = TypeVar("_Name", str, int)

ABLATION_NAMES = ("only-C", "only-F", "only-CF", "only-random", "no-auxiliary")


@click.command(
    epilog="\b\ncrystalicl pool build train.csv.gz --store pool.json\n"
    "crystalicl train instructions pool.json --out instructions.jsonl"
)
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file, *.jsonl; its description goes beside it.",
)
@click.option(
    "--epochs",
    type=click.IntRange(1),
    help="Draw one instruction per crystal and epoch.  [default: every kind for each crystal]",
)
@click.option(
    "--text-format",
    type=click.Choice(["sgs", "sgsw", "xyz", "cif"]),
    default="sgs",
    show_default=True,
    help="Text of the crystals.",
)
@template_option
@click.option(
    "--mixture",
    type=click.Choice(MIXTURE_NAMES),
    default="hybrid",
    show_default=True,
    help="Shares of kinds, conditions, strategies and shots.",
)
@click.option(
    "--kind", "kinds", multiple=True, metavar="KIND=SHARE", help="zero-shot, few-shot, property."
)
@click.option(
    "--condition",
    "conditions",
    multiple=True,
    metavar="NAME=SHARE",
    help="What is asked: group, formula, all, subset, empty.",
)
@click.option(
    "--strategy",
    "strategies",
    multiple=True,
    metavar="NAME=SHARE",
    help="How demonstrations are chosen: C, F, CF, R, CE.",
)
@click.option("--shots", multiple=True, metavar="K=SHARE", help="How many demonstrations.")
@click.option(
    "--ablation",
    type=click.Choice(ABLATION_NAMES),
    help="One of the ablations of the CrystalICL paper's table 3.",
)
@click.option(
    "--augment",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of crystals written in another symmetry-equivalent description.",
)
@click.option(
    "--aligned",
    is_flag=True,
    help="Write crystals asked for with demonstrations in the description of these, where they"
    " have the same structure.",
)
@click.option(
    "--exclude",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    multiple=True,
    metavar="CSV",
    help="File to test on: crystals with the formula and space group of one of its rows are left"
    " out.",
)
@click.option("--max-orbits", type=click.IntRange(1), help="Leave crystals with more orbits out.")
@click.option("--limit", type=click.IntRange(1), help="Crystals of each source, at most.")
@click.option(
    "--cache",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder that keeps analysed crystals of CSV files.",
)
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Processes that analyse crystals.",
)
@click.option("--seed", type=int, default=0, show_default=True)
def instructions(data: tuple[str, ...], out: Path, **options: Any) -> None:
    """Write an instruction set about the crystals of CSV files and pools (DATA) as JSONL.

    Columns prompt and completion are what trl, axolotl and datasets read; `crystalicl
    train lora --instructions` reads the file as well. A pool brings fingerprints for the
    strategies F and CF; a CSV has none.
    """
    from crystalicl_jobflow.training.data.exclusion import read_compounds, without_compounds
    from crystalicl_jobflow.training.data.instruction_files import export_instructions
    from crystalicl_jobflow.training.data.instructions import InstructionSet
    from crystalicl_jobflow.training.data.mixtures import Variation
    from crystalicl_jobflow.training.data.sources import read_training_data

    mixture, explicit = _mixture(options)
    if out.suffix != ".jsonl":
        raise ValueError(f"--out {out} does not end in .jsonl")
    check_file(out)
    found = read_training_data(
        data,
        cache=options["cache"],
        workers=options["workers"],
        limit=options["limit"],
        max_orbits=options["max_orbits"],
    )
    note(f"{len(found.crystals)} crystals, {len(found.skipped)} rows skipped")
    for row in found.skipped[:5]:
        note(str(row))
    excluded = read_compounds(
        options["exclude"], cache=options["cache"], workers=options["workers"]
    )
    crystals = without_compounds(found.crystals, excluded)
    if options["exclude"]:
        note(
            f"{len(found.crystals) - len(crystals)} crystals taken out, which are in the files to"
            " test on"
        )
    if not crystals:
        raise ValueError("no crystal is left to learn from")
    made = InstructionSet(
        crystals,
        text_format=options["text_format"],
        template=options["template"],
        mixture=mixture,
        seed=options["seed"],
        variation=Variation(augment=options["augment"], aligned=options["aligned"]),
    )
    if explicit:
        made.require_fingerprints()
    for name, used in made.fallbacks.items():
        note(f"No fingerprints: {used} is drawn for strategy {name}, and its kind says so")
    with progress("Crystals") as report:
        info = export_instructions(
            made,
            out,
            epochs=options["epochs"],
            more={
                "data": [Path(item).name for item in data],
                "ablation": options["ablation"],
                "skipped": len(found.skipped),
                "excluded": [path.name for path in options["exclude"]],
                "taken_out": len(found.crystals) - len(crystals),
            },
            progress=report,
        )
    for kind, count in info["kinds"].items():
        note(f"{kind}: {count}")
    say(f"{info['instructions']} instructions in {out}")


def _mixture(options: dict[str, Any]) -> tuple[Mixture, bool]:
    """Return the mixture, and whether strategies were asked for by name."""
    from crystalicl_jobflow.training.data.mixtures import MIXTURES, ablate, by_structure

    mixture = MIXTURES[options["mixture"]]
    parts: dict[str, Any] = {
        name: _shares(f"--{option}", options[name], str)
        for name, option in (
            ("kinds", "kind"),
            ("conditions", "condition"),
            ("strategies", "strategy"),
        )
    }
    parts["shots"] = _shares("--shots", options["shots"], int)
    mixture = replace(mixture, **{name: shares for name, shares in parts.items() if shares})
    ablation = options["ablation"]
    if ablation is not None:
        mixture = ablate(mixture, ablation)
    return mixture, bool(parts["strategies"]) or by_structure(ablation)


def _shares(
    option: str, items: tuple[str, ...], name_type: Callable[[str], _Name]
) -> dict[_Name, float]:
    shares: dict[_Name, float] = {}
    for item in items:
        name, _, share = item.partition("=")
        try:
            shares[name_type(name)] = float(share)
        except ValueError:
            raise ValueError(f"{option} {item!r} is not of the form NAME=SHARE") from None
    return shares

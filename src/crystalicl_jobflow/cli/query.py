"""``crystalicl query``: search generated crystals by what they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._common import UserError, note, stdout_console
from crystalicl_jobflow.cli._options import read_condition

if TYPE_CHECKING:
    from crystalicl_jobflow.schemas import Candidate


@click.command(
    epilog="\b\ncrystalicl query crystalicl-demo --valid --space-group 221\n"
    "crystalicl query candidates.db --elements Ca,O --format cif --out cifs"
)
@click.argument("source", metavar="[STORE|candidates.jsonl|DIR]", default="crystalicl-out")
@click.option("--formula", help="Reduced formula, e.g. CaTiO3.")
@click.option("--elements", help="Elements that must be present, e.g. Ca,O.")
@click.option("--chemsys", help="Exact chemical system, e.g. Ca-Ti-O.")
@click.option("--space-group", help="Number or symbol found in the crystal.")
@click.option("--valid/--invalid", default=None, help="Only valid or only invalid crystals.")
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="NAME=LOW:HIGH",
    help="Range of a property, e.g. formation_energy_per_atom=:0; repeatable.",
)
@click.option("--limit", type=click.IntRange(1), help="At most so many.")
@click.option(
    "--format",
    "output",
    type=click.Choice(["table", "json", "cif"]),
    default="table",
    show_default=True,
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="With --format cif: folder for one file per crystal, instead of printing them.",
)
def query(source: str, output: str, out: Path | None, **options: Any) -> None:
    """Search generated crystals.

    SOURCE is a candidates store, a candidates.jsonl file, or a folder that
    `crystalicl generate` or `crystalicl demo` wrote.
    """
    if out is not None and output != "cif":
        raise UserError("--out goes with --format cif")
    # a condition reads and checks formulas, elements, groups and ranges as everywhere else
    asked = read_condition(options)

    from crystalicl_jobflow.builders.candidates import query_candidates

    store = open_candidates(Path(source), source)
    found: list[Candidate] = query_candidates(
        store,
        formula=asked.formula,
        elements=asked.elements,
        chemsys=asked.chemsys,
        space_group=asked.space_group,
        valid=options["valid"],
        properties=asked.properties or None,
        limit=options["limit"],
    )
    _print(found, output, out)


def _print(found: list[Candidate], output: str, out: Path | None) -> None:
    from crystalicl_jobflow.cli import _output

    if output == "json":
        for candidate in found:
            click.echo(candidate.model_dump_json())
        return
    if output == "cif":
        if out is not None:
            paths = _output.write_cifs(out, found)
            note(f"{len(paths)} CIF files in {out}")
            return
        for candidate in found:
            if candidate.structure is not None:
                click.echo(_output.cif_text(candidate))
        return
    console = stdout_console()
    if not found:
        note("No candidate meets this.")
        return
    console.print(_output.candidate_table(found))
    console.print(f"{len(found)} candidates")


def open_candidates(path: Path, spec: str) -> Any:
    """Open a candidates store, or read a candidates file into one in memory.

    Raises
    ------
    UserError
        If there is nothing of the kind.
    """
    from crystalicl_jobflow.builders.candidates import open_candidate_store, store_candidates
    from crystalicl_jobflow.cli import _output

    if path.is_dir() and (path / _output.CANDIDATES).is_file():
        path = path / _output.CANDIDATES
    if path.name.endswith(".jsonl"):
        if not path.is_file():
            raise UserError(f"{path} does not exist")
        store = open_candidate_store("memory:")
        store_candidates(_output.read_candidates(path), store)
        return store
    if "://" not in spec and not path.exists():
        raise UserError(f"{spec} does not exist")
    return open_candidate_store(spec)

"""``crystalicl query``: search generated crystals by what they are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, stdout_console
from crystalicl_jobflow.cli._options import split_properties

if TYPE_CHECKING:
    from crystalicl_jobflow.candidates import CandidateQuery

TABLE_LIMIT = 200
"""Rows of a table where no limit is given; everything else prints all."""


@click.command(
    epilog="\b\ncrystalicl query crystalicl-demo --valid --space-group 221\n"
    "crystalicl query candidates.sqlite --elements Ca,O --stable --sort energy_above_hull\n"
    "crystalicl query candidates.sqlite --novel --format cif --out cifs"
)
@click.argument("source", metavar="[STORE|candidates.jsonl|DIR]", default="crystalicl-out")
@click.option("--id", "candidate_ids", metavar="ID,…", help="Ids, or the beginnings of ids.")
@click.option("--formula", help="Reduced formula, e.g. CaTiO3.")
@click.option("--anonymous-formula", help="Anonymised formula, e.g. ABC3.")
@click.option("--chemsys", help="Exact chemical system, e.g. Ca-Ti-O; several with commas.")
@click.option("--elements", help="Elements that must be present, e.g. Ca,O.")
@click.option("--without-elements", help="Elements that must not be present, e.g. Pb,Hg.")
@click.option("--only-elements", help="Elements of which it may consist, e.g. Ca,Ti,O.")
@click.option("--space-group", help="Number or symbol found; several with commas.")
@click.option("--crystal-system", help="triclinic, monoclinic, … cubic.")
@click.option("--num-elements", metavar="N|LOW:HIGH", help="Number of different elements.")
@click.option("--num-sites", metavar="N|LOW:HIGH", help="Atoms in the primitive cell.")
@click.option(
    "--property",
    "properties",
    multiple=True,
    metavar="NAME=LOW:HIGH",
    help="Range of a number, e.g. energy_above_hull=:0.1 or density=3:5; repeatable.",
)
@click.option("--valid/--invalid", default=None, help="Only valid or only invalid crystals.")
@click.option("--stable/--unstable", default=None, help="At or below the convex hull, or above.")
@click.option("--metastable/--not-metastable", default=None, help="At most 0.1 eV/atom above it.")
@click.option("--novel/--known", default=None, help="Matches no known crystal, or one.")
@click.option("--unique/--duplicate", default=None, help="First of its kind, or a repetition.")
@click.option("--relaxed/--relaxation-failed", default=None, help="How its relaxation ended.")
@click.option(
    "--as-asked/--differs", "success", default=None, help="Whether it meets its whole condition."
)
@click.option("--reason", "failure_reason", metavar="CODE", help="Why it failed.")
@click.option("--run", metavar="NAME|UUID", help="Of one run, Flow or job.")
@click.option("--sort", metavar="FIELD", help="Smallest first; without a value comes last.")
@click.option("--descending", is_flag=True, help="Largest first.")
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=f"At most so many.  [default: {TABLE_LIMIT} in a table, else all]",
)
@click.option("--skip", type=click.IntRange(0), default=0, help="Pass so many over.")
@click.option("--fields", metavar="FIELD,…", help="Only these fields, e.g. formula_pretty,text.")
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
@click.option("--count", is_flag=True, help="Print only how many there are.")
def query(source: str, **options: Any) -> None:
    """Search generated crystals.

    SOURCE is a candidates store, a candidates.jsonl file, or a folder that
    `crystalicl generate` or `crystalicl demo` wrote.
    """
    output: str = options["output"]
    if options["out"] is not None and output != "cif":
        raise UserError("--out needs --format cif")
    if options["descending"] and options["sort"] is None:
        raise UserError("--descending needs --sort")
    if options["fields"] is not None and output == "cif":
        raise UserError("--fields cannot be combined with --format cif")
    question = read_query(options)

    from crystalicl_jobflow.candidates import (
        Access,
        count_documents,
        find_documents,
        open_candidates,
    )
    from crystalicl_jobflow.cli import _candidates

    fields = None
    if options["fields"] is not None:
        fields = [name.strip() for name in options["fields"].split(",") if name.strip()]
    elif output == "table":
        fields = list(_candidates.TABLE_FIELDS)
    elif output == "cif":
        fields = ["structure", "formula_pretty", "symmetry"]
    store = open_candidates(source)
    if options["count"]:
        click.echo(count_documents(store, question, patience=0))
        return
    limit = options["limit"] or (TABLE_LIMIT if output == "table" else None)
    found = find_documents(
        store, question, sort=options["sort"], descending=options["descending"], limit=limit,
        skip=options["skip"], fields=fields, access=Access(patience=0),
    )  # fmt: skip
    if output == "json":
        for document in found:
            click.echo(_candidates.json_line(document))
    elif output == "cif":
        _print_cifs(found, options["out"])
    else:
        documents = list(found)
        _print_table(documents, fields if options["fields"] is not None else None)
        if options["limit"] is None and len(documents) == limit:
            total = count_documents(store, question, patience=0)
            note(f"The first {limit} of {total}; --limit shows more.")


def read_query(options: dict[str, Any]) -> CandidateQuery:
    """Return the question that the options ask."""
    from crystalicl_jobflow.candidates.candidate_query import CandidateQuery

    names = (
        "candidate_ids", "formula", "anonymous_formula", "chemsys", "elements",
        "without_elements", "only_elements", "crystal_system", "num_elements", "num_sites",
        "valid", "stable", "metastable", "novel", "unique", "relaxed", "success",
        "failure_reason", "run",
    )  # fmt: skip
    groups = options["space_group"]
    return CandidateQuery(
        **{name: options[name] for name in names},
        space_group=None if groups is None else [g for g in groups.split(",") if g.strip()],
        properties=split_properties(options["properties"]) or None,
    )


def _print_cifs(found: Iterable[dict[str, Any]], out: Path | None) -> None:
    from crystalicl_jobflow.cli import _candidates

    if out is not None:
        paths = _candidates.write_cifs(out, map(_candidates.CrystalFile.of_document, found))
        note(f"{len(paths)} CIF files in {out}")
        return
    for document in found:
        crystal = _candidates.CrystalFile.of_document(document)
        if crystal is not None:
            click.echo(crystal.text())


def _print_table(documents: list[dict[str, Any]], fields: list[str] | None) -> None:
    from crystalicl_jobflow.cli import _candidates

    if not documents:
        note("No candidate meets this.")
        return
    console = stdout_console()
    if fields is None:
        console.print(_candidates.document_table(documents))
    else:
        console.print(_candidates.field_table(documents, fields))
    console.print(f"{len(documents)} candidates")

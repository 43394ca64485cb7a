"""``crystalicl query``: search generated crystals by what they are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, stdout_console
from crystalicl_jobflow.cli._options import split_properties
from crystalicl_jobflow.cli._outputs import check_cif_folder, check_file

if TYPE_CHECKING:
    from crystalicl_jobflow.candidates import CandidateQuery

TABLE_LIMIT = 200
"""Rows of a table where no limit is given; everything else prints all."""


@click.command(
    epilog="\b\ncrystalicl query crystalicl-demo --valid --space-group 221\n"
    "crystalicl query candidates.sqlite --elements Ca,O --stable --sort energy_above_hull\n"
    "crystalicl query candidates.sqlite --novel --format cif --out cifs\n"
    "crystalicl query run --valid --out valid.csv"
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
    type=click.Choice(["table", "csv", "parquet", "json", "jsonl", "cif"]),
    help="How they are written; jsonl is a JSON document per line.  [default: by the ending of"
    " --out, else table]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="File to write, instead of printing; with --format cif a folder for one file per crystal.",
)
@click.option("--count", is_flag=True, help="Print only how many there are.")
def query(source: str, **options: Any) -> None:
    """Search generated crystals; nothing is written but --out.

    SOURCE is a candidates store, a candidates.jsonl file, or the folder of a run of
    `crystalicl generate`, `demo` or `submit --local`.
    """
    output, out = _output(options)
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
    from crystalicl_jobflow.cli import _query_output

    chosen = None
    if options["fields"] is not None:
        chosen = [name.strip() for name in options["fields"].split(",") if name.strip()]
    shown = _query_output.asked_fields(question.mongo_criteria, options["sort"])
    store = open_candidates(source)
    if options["count"]:
        click.echo(count_documents(store, question, patience=0))
        return
    limit = options["limit"] or (TABLE_LIMIT if output == "table" else None)
    found = find_documents(
        store, question, sort=options["sort"], descending=options["descending"], limit=limit,
        skip=options["skip"], fields=_query_output.needed_fields(output, chosen, shown),
        access=Access(patience=0),
    )  # fmt: skip
    count = _query_output.write_found(found, output, out, fields=chosen, shown=shown)
    if count is None:  # printed for another program
        return
    everything = count_documents(store, patience=0)
    matching = everything
    if question.mongo_criteria:
        matching = count_documents(store, question, patience=0)
    words = _query_output.count_words(count, matching, everything)
    if output == "table" and out is None and count:
        stdout_console().print(words)
    else:
        note(words if out is None else f"{words} in {out}")
    if options["limit"] is None and count == limit and matching > count + options["skip"]:
        note("--limit shows more.")


def _output(options: dict[str, Any]) -> tuple[str, Path | None]:
    """Return the format and the place of what is written, found out to be writable."""
    output: str | None = options["output"]
    out: Path | None = options["out"]
    if out is None:
        if output == "parquet":
            raise UserError("--format parquet needs --out FILE.parquet")
        return output or "table", None
    named = out.suffix.lower().removeprefix(".")
    known = named if named in ("csv", "parquet", "json", "jsonl") else None
    output = output or known
    if output is None or output == "table":
        raise UserError("--out needs --format cif, csv, json, jsonl or parquet")
    if known not in (None, output):
        raise UserError(f"{out} is no name for {output}: leave --format out, or rename it")
    if output == "parquet" and find_spec("pyarrow") is None:
        raise UserError("Parquet needs pyarrow: pip install 'crystalicl-jobflow[evaluation]'")
    if output == "cif":
        check_cif_folder(out)
    else:
        check_file(out)
    return output, out


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

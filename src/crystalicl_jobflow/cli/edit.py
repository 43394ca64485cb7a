"""``crystalicl edit``: from a crystal that one has to checked variants of it on disk."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._console import (
    is_verbose,
    note,
    say,
    stages,
    stdout_console,
    table,
    verbose_option,
)
from crystalicl_jobflow.cli._options import (
    check_model,
    constraint_options,
    model_options,
    open_pool,
    read_constraint,
    read_generator,
    read_sampling,
    retrieval_options,
    sampling_options,
    template_option,
)
from crystalicl_jobflow.cli._outputs import (
    check_run_folder,
    check_store,
    every_draw_option,
    run_options,
)

if TYPE_CHECKING:
    from rich.table import Table

    from crystalicl_jobflow.editing import Parent
    from crystalicl_jobflow.generation import TextGenerator, UnfinishedWork, Writing
    from crystalicl_jobflow.notebook import Crystals
    from crystalicl_jobflow.schemas import Retrieval
    from crystalicl_jobflow.schemas.editing import EditRequest


MAX_LINES = 15
"""Lines of a partial text that are shown."""


@click.command(
    epilog="\b\n"
    "crystalicl edit CaTiO3.cif --substitute Ti=Zr,Hf\n"
    "crystalicl edit NaCl.cif --mask Cl --elements F,Br\n"
    "crystalicl edit TiO2.cif --mutate --formula SnO2\n"
    "crystalicl edit beginning.sgs --complete --formula CaTiO3"
)
@click.argument("file", metavar="FILE")
@click.option(
    "--substitute",
    metavar="OLD=NEW[,NEW…]|any",
    multiple=True,
    help="Elements that take another's place, each in turn; repeat to replace several at once."
    " Ti=any takes ions of the same charge, any alone tries it for every element.",
)
@click.option(
    "--mask",
    metavar="ORBIT[,ORBIT…]",
    help="Orbits that the model fills: elements (Cl), numbers from 1, or elements with their"
    " Wyckoff letter (O 4c).",
)
@click.option(
    "--mutate",
    is_flag=True,
    help="Keep group and orbits, write cell and coordinates anew; with --formula its elements"
    " take their places.",
)
@click.option(
    "--complete",
    is_flag=True,
    help="FILE is the beginning of an SGS text, or one with '?' for what is open: write the rest.",
)
@click.option("--formula", help="Formula of what is filled, mutated or completed.")
@click.option("--elements", help="Elements of what is filled or completed, instead of a formula.")
@click.option(
    "--redraw",
    metavar="cell|coordinates",
    multiple=True,
    type=click.Choice(["cell", "coordinates"]),
    help="What the model writes besides; repeatable.  [default: both for --mutate]",
)
@click.option(
    "--number",
    type=click.IntRange(1),
    default=10,
    show_default=True,
    help="Substitutions by 'any', and ways to put a new formula's elements, at most.",
)
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Texts of each edit.",
)
@every_draw_option
@retrieval_options
@click.option(
    "--format",
    "text_format",
    type=click.Choice(["sgs", "sgsw"]),
    default="sgs",
    show_default=True,
    help="Text format that the model writes.",
)
@template_option
@constraint_options
@sampling_options
@model_options
@run_options("crystalicl-edit")
@verbose_option
def edit(**options: Any) -> None:
    """Change the crystals in FILE: a CIF, POSCAR, SGS text, folder, CSV or store.

    Give exactly one of --substitute, --mask, --mutate and --complete.
    """
    request = _read_request(options)
    sampling = read_sampling(options)
    constraint = read_constraint(options)

    from crystalicl_jobflow.candidates import open_candidate_store, store_candidates
    from crystalicl_jobflow.cli._candidates import candidate_table, print_rates, write_run
    from crystalicl_jobflow.editing import plan_edits, read_parents
    from crystalicl_jobflow.editing.edit import check_writer, check_writing, compare_with_parents
    from crystalicl_jobflow.evaluation import evaluate
    from crystalicl_jobflow.generation import Writing
    from crystalicl_jobflow.notebook.changing import different
    from crystalicl_jobflow.settings import SETTINGS
    from crystalicl_jobflow.validation import build_candidates

    writing = Writing(sampling, options["text_format"], constraint, options["template"])
    check_writing(writing)
    check_run_folder(options["out"])
    check_store(options["store"], open_candidate_store)
    check_model(options)
    check_writer(options["model"] or SETTINGS.MODEL)
    parents = read_parents(options["file"], as_texts=request.complete)
    shots, strategy = options["shots"], options["strategy"]
    retrievals = plan_edits(
        parents,
        request,
        pool=open_pool(options["pool"], strategy=strategy) if shots else None,
        strategy=strategy,
        shots=shots,
        seed=options["seed"],
    )
    _print_plan(parents, retrievals)
    unfinished = _unfinished(options, best_of=sampling.best_of)
    generations = _write(retrievals, writing, options, unfinished)
    candidates = compare_with_parents(build_candidates(generations), parents)
    crystals, evaluation = different(candidates, request), evaluate(candidates)
    write_run(
        options["out"],
        candidates,
        evaluation,
        _summary(parents, request),
        kept=[item.candidate for item in crystals.valid],
    )
    if options["store"] is not None:
        written = store_candidates(candidates, open_candidate_store(options["store"]))
        note(f"Stored {written} new or changed candidates in {options['store']}")
    unfinished.discard()
    shown = candidate_table(candidates) if options["every_draw"] else edit_table(crystals)
    stdout_console().print(shown)
    say(crystals.summary)
    if is_verbose():
        print_rates(evaluation)
    note(f"Files in {options['out']}")


def _read_request(options: Mapping[str, Any]) -> EditRequest:
    from crystalicl_jobflow.schemas.editing import EditRequest

    return EditRequest.build(
        substitute=list(options["substitute"]) or None,
        mask=options["mask"],
        mutate=options["mutate"],
        complete=options["complete"],
        formula=options["formula"],
        elements=options["elements"],
        redraw=options["redraw"] or None,
        number=options["number"],
    )


def _print_plan(parents: list[Parent], retrievals: list[Retrieval]) -> None:
    for parent in parents[:3]:
        if parent.structure is not None:
            number = parent.crystal.space_group_number
            note(f"{parent.parent_id}: {parent.formula} in space group {number}, {parent.orbits()}")
    if len(parents) > 3:
        note(f"and {len(parents) - 3} more crystals")
    first = retrievals[0].edit
    assert first is not None
    count = f"{len(retrievals)} edit{'s' * (len(retrievals) != 1)}"
    note(f"{count}; what is given of the first ({first.change}):")
    lines = first.pattern.splitlines()
    for line in lines[:MAX_LINES]:
        note(f"  {line}")
    if len(lines) > MAX_LINES:
        note(f"  and {len(lines) - MAX_LINES} more lines")


def _unfinished(options: Mapping[str, Any], *, best_of: int) -> UnfinishedWork:
    from crystalicl_jobflow.generation import UnfinishedWork

    def tell_found(draws: int, total: int) -> None:
        note(f"Continuing a killed run: {draws // best_of} of {total // best_of} texts are written")

    return UnfinishedWork(options["out"], on_found=tell_found, start_over=not options["resume"])


def _write(
    retrievals: list[Retrieval],
    writing: Writing,
    options: Mapping[str, Any],
    unfinished: UnfinishedWork,
) -> list[Any]:
    from crystalicl_jobflow.editing import write_edits
    from crystalicl_jobflow.utils.progress import LOADING

    with stages() as report:

        def load() -> TextGenerator:
            report(LOADING, 0, None)
            return read_generator(options)

        return write_edits(
            retrievals,
            load,
            writing=writing,
            samples=options["samples"],
            progress=partial(report, "Edit"),
            unfinished=unfinished,
        )


def _summary(parents: list[Parent], request: EditRequest) -> dict[str, Any]:
    return {
        "edit": request.model_dump(mode="json", exclude_defaults=True),
        "parents": [parent.parent_id for parent in parents],
    }


def edit_table(crystals: Crystals) -> Table:
    """Return a table with one row per crystal: what was changed, and what came of it."""
    from crystalicl_jobflow.candidates.shown import SHOWN_DIGITS

    edits = [item.edit for item in crystals if item.edit is not None]
    several = len({edit.parent_id for edit in edits}) > 1
    changes = len({edit.change for edit in edits}) > 1
    substituted = any(edit.kind == "substitute" for edit in edits)
    rows = table(
        "Id",
        *(["Parent"] if several else []),
        *(["Change"] if changes else []),
        "Formula",
        "Group",
        ">Min. Å",
        ">Drawn",
        ">log p",
        *([">p ions"] if substituted else []),
        "New",
        "Outcome",
    )
    for crystal, edit in zip(crystals, edits, strict=True):
        distance, ions = crystal.candidate.checks.min_distance, edit.substitution_probability
        rows.add_row(
            crystal.candidate.candidate_id[:SHOWN_DIGITS],
            *([edit.parent_id] if several else []),
            *([edit.change] if changes else []),
            crystal.formula or "-",
            str(crystal.space_group or "-"),
            "-" if distance is None else f"{distance:.2f}",
            str(crystal.times_drawn),
            "-" if crystal.log_prob is None else f"{crystal.log_prob:.2f}",
            *(["-" if ions is None else f"{ions:.3g}"] if substituted else []),
            {None: "-", True: "no, the parent", False: "yes"}[edit.matches_parent],
            crystal.outcome,
        )
    return rows

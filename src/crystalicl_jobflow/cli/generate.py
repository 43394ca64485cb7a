"""``crystalicl generate``: from a condition to checked crystals on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._console import note, progress
from crystalicl_jobflow.cli._options import (
    condition_options,
    constraint_options,
    format_option,
    model_options,
    open_pool,
    read_condition,
    read_constraint,
    read_generator,
    read_sampling,
    retrieval_options,
    sampling_options,
    template_option,
)

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.schemas import Candidate


@click.command(
    epilog="\b\ncrystalicl generate --formula CaTiO3 --space-group 221 --samples 8 --out out"
)
@condition_options
@retrieval_options
@click.option("--samples", type=click.IntRange(1), default=8, show_default=True)
@click.option(
    "--keep",
    metavar="K",
    type=click.IntRange(1),
    help="Show, and write CIF files of, the K best-ranked different valid crystals of all samples.",
)
@format_option
@template_option
@constraint_options
@sampling_options
@model_options
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("crystalicl-out"),
    show_default=True,
    help="Folder for candidates.jsonl, cifs/ and summary.json.",
)
@click.option(
    "--resume/--no-resume",
    default=True,
    show_default=True,
    help="Go on where a killed run with the same options into the same folder ended.",
)
@click.option("--store", help="Store that also receives the candidates, e.g. candidates.db.")
def generate(**options: Any) -> None:
    """Generate crystals for a condition."""
    condition = read_condition(options)
    sampling = read_sampling(options)
    constraint = read_constraint(options)

    from crystalicl_jobflow.candidates.builder import open_candidate_store, store_candidates
    from crystalicl_jobflow.cli import _candidates
    from crystalicl_jobflow.evaluation import evaluate
    from crystalicl_jobflow.generation.generate import generate_for_retrievals
    from crystalicl_jobflow.generation.resuming import UnfinishedWork
    from crystalicl_jobflow.retrieval import retrieve
    from crystalicl_jobflow.schemas import Retrieval
    from crystalicl_jobflow.validation.validate import build_candidates

    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    note(f"Asked for: {condition.label()}")
    if options["shots"]:
        retrieval = retrieve(
            open_pool(options["pool"], strategy=options["strategy"]),
            condition,
            strategy=options["strategy"],
            shots=options["shots"],
            seed=options["seed"],
        )
    else:
        retrieval = Retrieval(
            condition=condition, strategy=options["strategy"], shots=0, seed=options["seed"]
        )
    clock.lap("retrieve")
    shown = ", ".join(item.formula for item in retrieval.demonstrations) or "none"
    note(f"Demonstrations: {shown}")
    if retrieval.relaxed:
        note(f"Too few met everything; given up: {'; '.join(retrieval.relaxed)}")

    def load() -> TextGenerator:
        # called once the condition is known to be possible
        note("Loading the model")
        generator = read_generator(options)
        clock.lap("load_model")
        return generator

    def tell_found(draws: int, total: int) -> None:
        share = f"{draws // sampling.best_of} of {total // sampling.best_of}"
        note(f"Going on where a killed run ended: {share} samples are written")

    unfinished = UnfinishedWork(
        options["out"], on_found=tell_found, start_over=not options["resume"]
    )
    with progress("Generate") as report:
        generations = generate_for_retrievals(
            [retrieval],
            load,
            sampling=sampling,
            num_samples=options["samples"],
            text_format=options["text_format"],
            template=options["template"],
            constrain=constraint,
            progress=report,
            unfinished=unfinished,
        )
    clock.lap("generate")
    candidates = build_candidates(generations)
    evaluation = evaluate(candidates)
    kept = None if options["keep"] is None else _best(candidates, options["keep"])
    clock.lap("check")
    out: Path = options["out"]
    summary = {
        "condition": condition.model_dump(mode="json", exclude_defaults=True),
        "pool": retrieval.pool,
        "pool_size": retrieval.pool_size,
        "shots": options["shots"],
        "demonstration_ids": generations[0].demonstration_ids,
        "relaxed": retrieval.relaxed,
        "seconds": seconds,
    }
    if kept is not None:
        summary["kept"] = [candidate.candidate_id for candidate in kept]
    _candidates.write_run(out, candidates, evaluation, summary, kept=kept)
    if options["store"] is not None:
        written = store_candidates(candidates, open_candidate_store(options["store"]))
        note(f"Stored {written} new or changed candidates in {options['store']}")
    missing = sum(item.error is not None for item in generations[0].completions)
    if missing:
        count = f"{missing} of {len(candidates)} samples"
        note(f"{count} got no text from the server; the same command asks for them again")
    unfinished.discard()
    _candidates.print_run(candidates if kept is None else kept, evaluation)
    valid = sum(candidate.valid for candidate in candidates)
    said = "" if kept is None else f", the best {len(kept)} different ones kept"
    click.echo(f"{valid} of {len(candidates)} valid{said}; files in {out}")


def _best(candidates: list[Candidate], number: int) -> list[Candidate]:
    """Return the candidates that a selection takes, by rank."""
    from crystalicl_jobflow.selection.select import select_candidates

    by_id = {candidate.candidate_id: candidate for candidate in candidates}
    _, chosen = select_candidates(candidates, number=number)
    return [by_id[item.candidate_id] for item in chosen]


class _Clock:
    """Wall seconds since the last lap, by name."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 3)
        self.last = now

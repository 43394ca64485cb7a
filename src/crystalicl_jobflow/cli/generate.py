"""``crystalicl generate``: from a condition to checked crystals on disk."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._common import note, progress, stdout_console
from crystalicl_jobflow.cli._options import (
    condition_options,
    constraint_options,
    model_options,
    read_condition,
    read_constraint,
    read_generator,
    read_sampling,
    retrieval_options,
    sampling_options,
)
from crystalicl_jobflow.cli._pool import open_pool

if TYPE_CHECKING:
    from crystalicl_jobflow.schemas import Candidate, Evaluation, Generation


@click.command()
@condition_options
@retrieval_options
@click.option("--samples", type=click.IntRange(1), default=8, show_default=True)
@click.option(
    "--format",
    "text_format",
    type=click.Choice(["sgs", "xyz", "cif"]),
    default="sgs",
    show_default=True,
    help="Text that the model is asked to write.",
)
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
@click.option("--store", help="Store that also receives the candidates, e.g. candidates.db.")
def generate(**options: Any) -> None:
    r"""Generate crystals for a condition.

    \b
    crystalicl generate --formula CaTiO3 --space-group 221 --shots 3 --samples 8 --out out
    """
    condition = read_condition(options)
    sampling = read_sampling(options)
    constraint = read_constraint(options)

    from crystalicl_jobflow.evaluation import build_candidates, evaluate
    from crystalicl_jobflow.generation.pipeline import generate_for_retrievals
    from crystalicl_jobflow.retrieval import retrieve

    seconds: dict[str, float] = {}
    clock = _Clock(seconds)
    note(f"Asked for: {condition.label()}")
    pool = open_pool(options["pool"])
    retrieval = retrieve(
        pool,
        condition,
        strategy=options["strategy"].upper(),
        shots=options["shots"],
        seed=options["seed"],
    )
    clock.lap("retrieve")
    shown = ", ".join(item.formula for item in retrieval.demonstrations) or "none"
    note(f"Demonstrations: {shown}")
    if retrieval.relaxed:
        note(f"Too few met everything; given up: {'; '.join(retrieval.relaxed)}")
    generator = read_generator(options)
    clock.lap("load_model")
    with progress("Generate") as report:
        generations = generate_for_retrievals(
            [retrieval],
            generator,
            sampling=sampling,
            num_samples=options["samples"],
            text_format=options["text_format"],
            constrain=constraint,
            progress=report,
        )
    clock.lap("generate")
    candidates = build_candidates(generations)
    evaluation = evaluate(candidates)
    clock.lap("check")
    write_run(
        options["out"],
        generations[0],
        candidates,
        evaluation,
        seconds=seconds,
        more={"pool": retrieval.pool, "pool_size": retrieval.pool_size, "shots": options["shots"]},
    )
    if options["store"] is not None:
        _store(candidates, options["store"])
    print_run(options["out"], candidates, evaluation)


class _Clock:
    """Wall seconds since the last lap, by name."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds
        self.last = time.perf_counter()

    def lap(self, name: str) -> None:
        now = time.perf_counter()
        self.seconds[name] = round(now - self.last, 3)
        self.last = now


def _store(candidates: list[Candidate], spec: str) -> None:
    from crystalicl_jobflow.builders import open_candidate_store, store_candidates

    written = store_candidates(candidates, open_candidate_store(spec))
    note(f"Stored {written} candidates in {spec}")


def write_run(
    folder: Path,
    generation: Generation,
    candidates: list[Candidate],
    evaluation: Evaluation,
    *,
    seconds: dict[str, float],
    more: dict[str, Any],
) -> None:
    """Write candidates, CIF files of the valid crystals and the summary of one run."""
    from crystalicl_jobflow.cli import _output

    _output.clear_previous(folder)
    _output.write_candidates(folder / _output.CANDIDATES, candidates)
    cifs = _output.write_cifs(
        folder / _output.CIFS, (candidate for candidate in candidates if candidate.valid)
    )
    constraints = {item.constraint for item in generation.completions}
    summary = {
        "condition": generation.condition.model_dump(mode="json", exclude_defaults=True),
        "num_candidates": evaluation.num_candidates,
        "rates": {name: rate.model_dump() for name, rate in evaluation.rates.items()},
        "reasons": evaluation.reasons,
        "metrics": evaluation.metrics,
        "tolerances": evaluation.tolerances,
        "strategy": generation.strategy,
        "demonstration_ids": generation.demonstration_ids,
        "relaxed": generation.relaxed,
        "text_format": generation.text_format,
        "constraint": next(iter(constraints)) if len(constraints) == 1 else None,
        "sampling": generation.sampling.model_dump(),
        "model": generation.model.model_dump(),
        "versions": generation.versions,
        "seconds": seconds,
        "cifs": [path.relative_to(folder).as_posix() for path in cifs],
        **more,
    }
    _output.write_json(folder / _output.SUMMARY, summary)


def print_run(folder: Path, candidates: list[Candidate], evaluation: Evaluation) -> None:
    """Print the candidates, the rates, and where the files are."""
    from crystalicl_jobflow.cli._output import candidate_table, rates_table

    console = stdout_console()
    console.print(candidate_table(candidates))
    console.print(rates_table(evaluation))
    valid = sum(candidate.valid for candidate in candidates)
    console.print(f"{valid} of {len(candidates)} valid; files in {folder}", soft_wrap=True)

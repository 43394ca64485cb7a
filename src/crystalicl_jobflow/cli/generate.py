"""``crystalicl generate``: from a condition to checked crystals on disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, stages, verbose_option
from crystalicl_jobflow.cli._energy_options import energy_options, read_energies
from crystalicl_jobflow.cli._options import (
    check_model,
    condition_options,
    constraint_options,
    format_option,
    groups_option,
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
from crystalicl_jobflow.cli._outputs import (
    check_run_folder,
    check_store,
    every_draw_option,
    run_options,
)
from crystalicl_jobflow.cli._pattern_options import (
    compare_with_pattern,
    pattern_options,
    pattern_summary,
    read_pattern_option,
)
from crystalicl_jobflow.cli._search_options import read_search, search_options

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator, UnfinishedWork, Writing
    from crystalicl_jobflow.schemas import Candidate, Condition, Retrieval
    from crystalicl_jobflow.utils.progress import Clock


@click.command(
    epilog="\b\ncrystalicl generate --formula CaTiO3 --space-group 221 --samples 8 --out out"
)
@condition_options
@retrieval_options
@groups_option
@pattern_options
@click.option(
    "--samples",
    type=click.IntRange(1),
    default=8,
    show_default=True,
    help="Draws; each different crystal is shown once, with how often it was drawn.",
)
@every_draw_option
@click.option(
    "--keep",
    metavar="K",
    type=click.IntRange(1),
    help="Show the K best-ranked different valid crystals of all samples, and write these as CIF.",
)
@click.option(
    "--rank",
    "ranking",
    metavar="NAME[,NAME…]",
    help="What --keep ranks by, e.g. evidence.  [default: success,times_drawn,log_prob; with --xrd"
    " success,xrd,times_drawn,log_prob]",
)
@energy_options
@search_options
@format_option
@template_option
@constraint_options
@sampling_options
@model_options
@run_options("crystalicl-out")
@verbose_option
def generate(**options: Any) -> None:
    """Generate crystals for a condition; the different ones are shown, the best first."""
    condition = read_condition(options)
    sampling = read_sampling(options)
    constraint = read_constraint(options)
    search = read_search(options)

    from crystalicl_jobflow.candidates import open_candidate_store
    from crystalicl_jobflow.cli._candidates import print_run, write_run
    from crystalicl_jobflow.evaluation import evaluate
    from crystalicl_jobflow.generation import Writing
    from crystalicl_jobflow.notebook import Crystals
    from crystalicl_jobflow.utils.progress import Clock

    _check_ranking(options)
    pattern = read_pattern_option(options)
    check_run_folder(options["out"])
    check_store(options["store"], open_candidate_store)
    check_model(options)
    writing = Writing(
        sampling, options["text_format"], constraint, options["template"], search, options["groups"]
    )
    clock = Clock()
    note(f"Asked for: {condition.label()}")
    retrieval = _retrieve(condition, options)
    clock.lap("retrieve")
    _print_retrieval(retrieval)
    unfinished = _unfinished(options, best_of=sampling.best_of)
    candidates = _write_and_check(retrieval, writing, options, unfinished, clock)
    candidates = _with_energies(candidates, options)
    candidates = compare_with_pattern(candidates, pattern)
    evaluation = evaluate(candidates)
    ranking = None if options["ranking"] is None else options["ranking"].split(",")
    crystals = Crystals.from_candidates(candidates, pattern=pattern, ranking=ranking)
    kept = None
    if options["keep"] is not None or pattern is not None:
        crystals = crystals.valid[: options["keep"]]
        kept = [item.candidate for item in crystals]
    clock.lap("check")
    summary = _summary(retrieval, candidates, options, clock.seconds)
    summary |= pattern_summary(candidates, pattern)
    if kept is not None:
        summary["kept"] = [candidate.candidate_id for candidate in kept]
    write_run(options["out"], candidates, evaluation, summary, kept=kept, pattern=pattern)
    _store(candidates, options["store"])
    _print_missing(candidates)
    unfinished.discard()
    best = "" if kept is None else f"; the best {len(kept)} different ones kept"
    print_run(crystals, evaluation, every_draw=options["every_draw"], ending=best)
    note(f"Files in {options['out']}")


def _retrieve(condition: Condition, options: Mapping[str, Any]) -> Retrieval:
    from crystalicl_jobflow.generation.loading import templates_needed
    from crystalicl_jobflow.pipeline import choose_demonstrations, groups_needed
    from crystalicl_jobflow.settings import SETTINGS

    strategy, shots = options["strategy"], options["shots"]
    templates = templates_needed(options.get("model") or SETTINGS.MODEL, options["samples"])
    groups = 0
    if options["pool"] is not None and options["groups"] == "pool" and not options["search"]:
        groups = groups_needed([condition], options["samples"])
    needed = shots or templates or groups
    pool = open_pool(options["pool"], strategy=strategy) if needed else None
    (retrieval,) = choose_demonstrations(
        [condition],
        pool,
        strategy=strategy,
        shots=shots,
        seed=options["seed"],
        templates=templates,
        groups=groups,
    )
    return retrieval


def _print_retrieval(retrieval: Retrieval) -> None:
    if retrieval.groups:
        shown = ", ".join(f"{item.space_group} ({item.share:.0%})" for item in retrieval.groups[:5])
        note(f"Space groups by the pool: {shown}{', …' if len(retrieval.groups) > 5 else ''}")
        return
    shown = ", ".join(item.formula for item in retrieval.demonstrations) or "none"
    note(f"Demonstrations: {shown}")
    if retrieval.relaxed:
        note(f"Too few met everything; given up: {'; '.join(retrieval.relaxed)}")


def _unfinished(options: Mapping[str, Any], *, best_of: int) -> UnfinishedWork:
    """Return where texts are kept until the run is done."""
    from crystalicl_jobflow.generation import UnfinishedWork

    def tell_found(draws: int, total: int) -> None:
        share = f"{draws // best_of} of {total // best_of}"
        note(f"Continuing a killed run: {share} samples are written")

    return UnfinishedWork(options["out"], on_found=tell_found, start_over=not options["resume"])


def _write_and_check(
    retrieval: Retrieval,
    writing: Writing,
    options: Mapping[str, Any],
    unfinished: UnfinishedWork,
    clock: Clock,
) -> list[Candidate]:
    from crystalicl_jobflow.pipeline import write_and_check
    from crystalicl_jobflow.utils.progress import LOADING

    with stages() as report:

        def load() -> TextGenerator:
            # called once the condition is known to be possible
            report(LOADING, 0, None)
            generator = read_generator(options)
            clock.lap("load_model")
            return generator

        return write_and_check(
            [retrieval],
            load,
            writing=writing,
            samples=options["samples"],
            progress=partial(report, "Generate"),
            unfinished=unfinished,
            clock=clock,
        )


def _check_ranking(options: Mapping[str, Any]) -> None:
    """Refuse a ranking that does not exist, or that ranks nothing, before any work."""
    has_use = options["search"] is not None or options["ranking"] is not None
    if read_energies(options) is not None and not has_use:
        raise UserError("--energy has an effect with --rank evidence or --search only")
    if options["ranking"] is None:
        return
    if options["keep"] is None and options["xrd"] is None:
        raise UserError("--rank has no effect without --keep or --xrd")
    from crystalicl_jobflow.selection.ranking import PATTERN, SIMILARITY, parse_ranking

    names = options["ranking"].split(",")
    parse_ranking(names)
    without = {PATTERN, SIMILARITY}.intersection(names)
    if without and options["xrd"] is None:
        raise UserError(f"--rank {min(without)} needs --xrd, a measured pattern")


def _with_energies(candidates: list[Candidate], options: Mapping[str, Any]) -> list[Candidate]:
    """Return the candidates with energies as evidence, where they are asked for."""
    asked = read_energies(options)
    if asked is None or options["ranking"] is None:
        return candidates
    from crystalicl_jobflow.selection.evidence_energies import EvidenceEnergies, add_energies

    return add_energies(candidates, EvidenceEnergies(**asked))


def _summary(
    retrieval: Retrieval,
    candidates: list[Candidate],
    options: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    return {
        "condition": retrieval.condition.model_dump(mode="json", exclude_defaults=True),
        "pool": retrieval.pool,
        "pool_size": retrieval.pool_size,
        "shots": options["shots"],
        "demonstration_ids": candidates[0].provenance.demonstration_ids,
        "relaxed": retrieval.relaxed,
        "space_groups_drawn": _drawn(candidates),
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
    }


def _drawn(candidates: list[Candidate]) -> dict[str, int]:
    """Return how many texts were written for each space group that was drawn."""
    numbers = (candidate.provenance.drawn_space_group for candidate in candidates)
    return dict(Counter(str(number) for number in numbers if number is not None))


def _store(candidates: list[Candidate], spec: str | None) -> None:
    if spec is None:
        return
    from crystalicl_jobflow.candidates import open_candidate_store, store_candidates

    written = store_candidates(candidates, open_candidate_store(spec))
    note(f"Stored {written} new or changed candidates in {spec}")


def _print_missing(candidates: list[Candidate]) -> None:
    from crystalicl_jobflow.schemas import FailureReason

    missing = sum(item.failure_reason is FailureReason.NOT_GENERATED for item in candidates)
    if missing:
        count = f"{missing} of {len(candidates)} samples"
        note(f"{count} got no text from the server; the same command tries them again")

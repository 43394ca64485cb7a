"""``crystalicl evaluate``: rates over generated crystals, each with its denominator."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, stages, stdout_console, table, verbose_option
from crystalicl_jobflow.cli._outputs import check_folder

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystalicl_jobflow.datasets.crystal_data import CrystalData
    from crystalicl_jobflow.schemas import Candidate, Evaluation


@click.command(
    epilog="\b\ncrystalicl evaluate crystalicl-demo --out evaluation\n"
    "crystalicl evaluate candidates.jsonl --reference test.csv.gz --out evaluation\n"
    "crystalicl evaluate candidates.jsonl --reference test.csv.gz --coverage mp-20 \\\n"
    "    --known train.csv.gz --novelty --energies chgnet --relax --out evaluation"
)
@click.argument("source", metavar="CANDIDATES")
@click.option(
    "--reference",
    metavar="CSV|STORE",
    help="Known crystals to compare with: true structures, and the reference set.",
)
@click.option(
    "--aligned/--no-aligned",
    default=True,
    show_default=True,
    help="Whether rows of the reference CSV are the truths of the conditions.",
)
@click.option("--known", metavar="CSV|STORE", help="What novelty is against.  [the reference]")
@click.option(
    "--out",
    required=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for metrics.json, structures.csv, structures.parquet and candidates.jsonl.",
)
@click.option("--unique/--no-unique", default=True, show_default=True, help="Count duplicates.")
@click.option("--novelty", is_flag=True, help="Compare with the known crystals.")
@click.option(
    "--coverage",
    metavar="DATASET",
    help="Coverage of the reference set, with the cut-offs of mp-20, perov-5 or carbon-24.",
)
@click.option(
    "--energies", metavar="MODEL", help="Energies and hull: chgnet, tensornet-matpes, matcalc:NAME."
)
@click.option("--relax", is_flag=True, help="Relax with the energy model first.")
@click.option(
    "--hull",
    metavar="CSV|STORE|JSON",
    help="Known crystals of the convex hull.  [the reference set]",
)
@click.option(
    "--reference-energies/--no-reference-energies",
    default=True,
    show_default=True,
    help="Energies of all reference crystals, for their distribution.",
)
@click.option(
    "--predict",
    "predictors",
    multiple=True,
    metavar="PROPERTY[=MODEL]",
    help="Predict a property, e.g. band_gap=trees; may be repeated.",
)
@click.option(
    "--also",
    multiple=True,
    metavar="RULE",
    help="Count by another paper's rule, too: unique-alone, gate-truth, gate-both, metre,"
    " symprec=N, smact=SET; may be repeated.",
)
@click.option("--reward", is_flag=True, help="CrysText-RL's reward of each candidate.")
@click.option("--cache", metavar="PATH", help="Keep fingerprints in this .sqlite file or store.")
@click.option(
    "--workers", "--processes", "processes", type=click.IntRange(1), default=1, show_default=True
)
@verbose_option
def evaluate(source: str, out: Path, **options: Any) -> None:
    """Evaluate generated crystals: rates with their denominators, and each one's results.

    CANDIDATES is a candidates store, a candidates.jsonl file, or a folder that
    `crystalicl generate`, `demo` or `benchmark` wrote.

    Rows of the reference CSV belong to candidates by the column candidate_id, or else by
    the column request_index, or else by their position: row 0 is the truth of request 0.
    With --no-aligned, and for candidates that were asked for nothing, they are a set.
    """
    from crystalicl_jobflow.candidates import load_candidates
    from crystalicl_jobflow.cli import _candidates
    from crystalicl_jobflow.energies.kept import ENERGIES_FILE
    from crystalicl_jobflow.evaluation import (
        EvaluationOptions,
        evaluate_and_judge,
        parquet_available,
        write_evaluation,
    )
    from crystalicl_jobflow.utils.redaction import redact_document

    check_folder(out)
    candidates = load_candidates(source)
    if not candidates:
        raise UserError(f"{source} holds no candidates")
    chosen = EvaluationOptions(
        unique=options["unique"],
        reward=options["reward"],
        coverage=options["coverage"],
        novelty=options["novelty"],
        energies=options["energies"],
        relax=options["relax"],
        energies_cache=str(out / ENERGIES_FILE),
        hull=options["hull"],
        reference_energies=options["reference_energies"],
        predict=dict(_name_and_model(item) for item in options["predictors"]),
        also=tuple(options["also"]),
        cache=options["cache"],
        processes=options["processes"],
    )
    reference, known = options["reference"], options["known"]
    chosen.check(reference=reference is not None, known=(known or reference) is not None)
    truths = _truths(reference, candidates) if options["aligned"] else None
    with stages() as report:
        evaluation, judged = evaluate_and_judge(
            candidates,
            chosen,
            truths=truths,
            reference=read_set(reference),
            known=read_set(known),
            progress=report,
        )
    _candidates.write_candidates(out / _candidates.CANDIDATES, judged)
    sets = redact_document({"reference": reference, "known": known})
    more = {**sets, **_candidates.shared_provenance(candidates)}
    paths = write_evaluation(out, evaluation, more=more)
    _print(evaluation)
    for name in evaluation.metrics:
        if name.startswith("not_judged:") and name != "not_judged:joint":
            field = name.removeprefix("not_judged:")
            # an energy above the hull is not predicted
            how = "--energies chgnet" if field == "energy_above_hull" else f"--predict {field}"
            note(f"{field} was not judged for every candidate that has it: try {how}")
    for name, reasons in evaluation.tolerances.items():
        if name.startswith("not_predicted:"):
            note(f"Crystals without a {name.removeprefix('not_predicted:')}: {reasons}")
    unjudged = evaluation.tolerances.get("not_judged_by_hull")
    if unjudged is not None:
        note(f"Crystals without a verdict on their stability: {unjudged}")
    if chosen.energies is not None and not chosen.relax:
        note("Energies are those of the crystals as generated; --relax relaxes them first")
    if not parquet_available():
        note("No Parquet file: pip install 'crystalicl-jobflow[evaluation]'")
    note(f"Written: {', '.join(map(str, paths))}, {out / _candidates.CANDIDATES}")


def _name_and_model(item: str) -> tuple[str, str | None]:
    from crystalicl_jobflow.schemas import find_property

    name, _, model = item.partition("=")
    spec = find_property(name)
    return (name if spec is None else spec.name), model or None


def read_set(spec: str | None) -> CrystalData | None:
    """Read a set of known crystals from a CSV, a store or another source.

    Raises
    ------
    ValueError
        If there is none.
    """
    if spec is None:
        return None
    from crystalicl_jobflow.datasets.crystal_data import read_data_set

    data = read_data_set(spec)
    if data.failed:
        name, reason = data.failed[0]
        note(f"{spec}: {len(data.failed)} not read, the first is {name}: {reason}")
    return data


def _truths(spec: str | None, candidates: list[Candidate]) -> dict[str | int, Structure] | None:
    """Read the true structures of candidates, where the reference is a CSV."""
    if spec is None or not spec.lower().endswith((".csv", ".csv.gz")):
        return None
    from crystalicl_jobflow.evaluation.truths import read_truths

    return read_truths(spec, candidates)


def _print(evaluation: Evaluation) -> None:
    from crystalicl_jobflow.cli import _candidates

    _candidates.print_rates(evaluation, title=f"{evaluation.num_candidates} candidates")
    if evaluation.reasons:
        reasons = table("Failure reason", ">Candidates")
        for reason, count in evaluation.reasons.items():
            reasons.add_row(reason.replace("_", " "), str(count))
        stdout_console().print(reasons)

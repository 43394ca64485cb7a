"""Candidates as commands show and write them: tables, JSON lines, CIF files, whole runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.candidates.files import CANDIDATES, write_candidates
from crystalicl_jobflow.candidates.shown import SHOWN_DIGITS, CrystalFile, outcome
from crystalicl_jobflow.cli._console import stdout_console, table
from crystalicl_jobflow.schemas.diffraction import PATTERN_FILE
from crystalicl_jobflow.utils.files import (
    folder_inside,
    refuse_link,
    replacing,
    write_json,
    write_text,
)

if TYPE_CHECKING:
    from rich.table import Table

    from crystalicl_jobflow.schemas import Candidate, Evaluation
    from crystalicl_jobflow.schemas.diffraction import PowderPattern

SUMMARY = "summary.json"
CIFS = "cifs"
MAX_LISTED = 10
"""Most constraints that a summary lists; every candidate names its own."""


def write_cifs(folder: Path, crystals: Iterable[CrystalFile | None]) -> list[Path]:
    """Write one symmetrised CIF file for every crystal; None is passed over.

    Returns
    -------
    list of Path
        The files, in the order of the crystals.

    Raises
    ------
    ValueError
        If the folder is a symbolic link.
    """
    refuse_link(folder)
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for crystal in crystals:
        if crystal is not None:
            write_text(folder / crystal.name, crystal.text())
            paths.append(folder / crystal.name)
    return paths


def previous_cifs(folder: Path) -> set[Path]:
    """Return the CIF files that an earlier run listed in its summary, and no others."""
    summary = folder / SUMMARY
    if not summary.is_file():
        return set()
    try:
        names = json.loads(summary.read_text(encoding="utf-8")).get("cifs", [])
    except (ValueError, AttributeError):
        return set()
    paths = {folder / str(name) for name in names}
    return {path for path in paths if path.parent == folder / CIFS and path.suffix == ".cif"}


def candidate_table(candidates: Sequence[Candidate], *, title: str | None = None) -> Table:
    """Return a table with one row per candidate.

    What was asked for is a column where the candidates differ in it.
    """
    several = len({candidate.condition.label() for candidate in candidates}) > 1
    asked = ["Asked for"] if several else []
    compared = [">Similarity", ">V/V text"] if any(item.xrd for item in candidates) else []
    heads = ("Id", *asked, "Formula", "Group", ">Atoms", ">Min. Å", *compared, "Outcome")
    rows = table(*heads, title=title)
    for candidate in candidates:
        distance = candidate.checks.min_distance
        group = "-"
        if candidate.space_group is not None:
            group = f"{candidate.space_group} {candidate.space_group_symbol or ''}"
        rows.add_row(
            candidate.candidate_id[:SHOWN_DIGITS],
            *([candidate.condition.label().replace(", group ", " ")] if several else []),
            candidate.formula_pretty or "-",
            group,
            str(candidate.nsites_primitive or "-"),
            "-" if distance is None else f"{distance:.2f}",
            *(_pattern_cells(candidate) if compared else []),
            outcome(
                valid=candidate.valid,
                reason=candidate.failure_reason,
                as_asked=candidate.joint_success,
            ),
        )
    return rows


def _pattern_cells(candidate: Candidate) -> list[str]:
    fit = candidate.xrd
    if fit is None or fit.similarity is None or fit.volume_ratio is None:
        return ["-", "-"]
    return [f"{fit.similarity:.3f}", f"{fit.volume_ratio:.3f}"]


def rates_table(evaluation: Evaluation, *, title: str | None = None) -> Table:
    """Return a table of all rates with their counts and denominators, and the figures."""
    from crystalicl_jobflow.evaluation.rates import rate_title

    rows = table("Rate", ">Share", ">Count", ">Of", title=title)
    for name, rate in evaluation.rates.items():
        share = "not judged" if rate.rate is None else f"{100 * rate.rate:.1f} %"
        rows.add_row(rate_title(name), share, str(rate.count), str(rate.of))
    for name, value in evaluation.metrics.items():
        if value is not None:
            count = f"{value:.0f}" if float(value).is_integer() else f"{value:.4f}"
            rows.add_row(name.replace("_", " "), "", count, "")
    return rows


def write_run(
    folder: Path,
    candidates: Sequence[Candidate],
    evaluation: Evaluation,
    more: dict[str, Any],
    *,
    kept: Sequence[Candidate] | None = None,
    pattern: PowderPattern | None = None,
) -> None:
    """Write candidates, CIF files of the valid crystals and the summary of one run.

    Parameters
    ----------
    folder
        Where to; CIF files that an earlier run left here are removed.
    candidates, evaluation
        What was generated and how it did.
    more
        Further fields of the summary: what was asked, seconds per part.
    kept
        The candidates that get CIF files, where those are not all the valid ones.
    pattern
        The measured pattern that they were compared with; the report draws it.
    """
    cifs_folder = folder_inside(folder, CIFS)
    earlier = previous_cifs(folder)
    valid = [candidate for candidate in candidates if candidate.valid]
    chosen = valid if kept is None else kept
    files = [CrystalFile.of_candidate(item) for item in chosen]
    files += [CrystalFile.of_refined(item) for item in chosen]
    cifs = write_cifs(cifs_folder, files)
    summary = {
        **more,
        "num_candidates": evaluation.num_candidates,
        "num_valid": len(valid),
        **rates_document(evaluation),
        **shared_provenance(candidates),
        "cifs": [path.relative_to(folder).as_posix() for path in cifs],
    }
    # the earlier run is there until both files of this one are whole
    with replacing(folder / SUMMARY) as beside:
        write_json(beside, summary)
        write_candidates(folder / CANDIDATES, candidates)
        if pattern is not None:
            write_json(folder / PATTERN_FILE, pattern.model_dump(mode="json"))
        else:
            (folder / PATTERN_FILE).unlink(missing_ok=True)
    for path in earlier - set(cifs):
        path.unlink(missing_ok=True)


def rates_document(evaluation: Evaluation) -> dict[str, Any]:
    """Return rates with counts and denominators, reasons, figures and tolerances."""
    return {
        "rates": {name: rate.model_dump() for name, rate in evaluation.rates.items()},
        "reasons": evaluation.reasons,
        "metrics": evaluation.metrics,
        "tolerances": evaluation.tolerances,
    }


def shared_provenance(candidates: Sequence[Candidate]) -> dict[str, Any]:
    """Return what all candidates of a run have in common: model, sampling, versions."""
    if not candidates:
        return {}
    first = candidates[0].provenance
    constraints = {candidate.provenance.constraint for candidate in candidates}
    return {
        "strategy": first.strategy,
        "text_format": candidates[0].text_format,
        "constraints": sorted(text for text in constraints if text is not None)[:MAX_LISTED],
        "num_constrained": sum(c.provenance.constraint is not None for c in candidates),
        "sampling": None if first.sampling is None else first.sampling.model_dump(),
        "model": None if first.model is None else first.model.model_dump(),
        "versions": first.versions,
    }


def print_run(candidates: Sequence[Candidate], evaluation: Evaluation) -> None:
    """Print the candidates and the rates."""
    console = stdout_console()
    console.print(candidate_table(candidates))
    console.print(rates_table(evaluation))

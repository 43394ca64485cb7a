"""Candidates as commands show and write them: tables, JSON lines, CIF files, whole runs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.candidates.files import CANDIDATES, write_candidates
from crystalicl_jobflow.candidates.shown import SHOWN_DIGITS, CrystalFile, outcome
from crystalicl_jobflow.cli._console import is_verbose, note, say, stdout_console, table
from crystalicl_jobflow.cli._tables import OUTCOME
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

    from crystalicl_jobflow.notebook import Crystals
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


def candidate_table(
    candidates: Sequence[Candidate],
    *,
    times_drawn: Sequence[int] | None = None,
    title: str | None = None,
) -> Table:
    """Return a table with one row per candidate.

    What was asked for is a column where the candidates differ in it.

    Parameters
    ----------
    candidates
        The candidates.
    times_drawn
        How often each was drawn; None for no such column.
    title
        Line above the table.
    """
    several = len({candidate.condition.label() for candidate in candidates}) > 1
    columns = [
        ("Id", [item.candidate_id[:SHOWN_DIGITS] for item in candidates]),
        ("Formula", [item.formula_pretty or "-" for item in candidates]),
        ("Group", [_group(item) for item in candidates]),
    ]
    if several:
        asked = [item.condition.label().replace(", group ", " ") for item in candidates]
        columns.insert(1, ("Asked for", asked))
    fits = [item.xrd for item in candidates]
    if not any(fits):
        columns += [
            (">Atoms", [str(item.nsites_primitive or "-") for item in candidates]),
            (">Min. Å", [_fixed(item.checks.min_distance, 2) for item in candidates]),
        ]
    else:  # in their place, so that 80 columns are enough
        columns += [
            (">Similarity", [_fixed(None if fit is None else fit.similarity, 3) for fit in fits]),
            (">V/V text", [_fixed(None if fit is None else fit.volume_ratio, 3) for fit in fits]),
        ]
    if times_drawn is not None:
        columns.append((">Drawn", [str(number) for number in times_drawn]))
    columns.append((OUTCOME, [_outcome(item) for item in candidates]))
    rows = table(*(heading for heading, _ in columns), title=title)
    for cells in zip(*(cells for _, cells in columns), strict=True):
        rows.add_row(*cells)
    return rows


def _group(candidate: Candidate) -> str:
    if candidate.space_group is None:
        return "-"
    return f"{candidate.space_group} {candidate.space_group_symbol or ''}"


def _fixed(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _outcome(candidate: Candidate) -> str:
    return outcome(
        valid=candidate.valid,
        reason=candidate.failure_reason,
        as_asked=candidate.joint_success,
    )


def rates_table(
    evaluation: Evaluation, *, title: str | None = None, verbose: bool | None = None
) -> Table:
    """Return a table of rates with their counts and denominators.

    Parameters
    ----------
    evaluation
        The rates and figures.
    title
        Line above the table.
    verbose
        Whether all rates, with their intervals, and the figures are shown; else the few that
        say most. None: as ``--verbose`` says.
    """
    from crystalicl_jobflow.evaluation import interval_text, main_rates, rate_title, share_text

    everything = is_verbose() if verbose is None else verbose
    names = list(evaluation.rates) if everything else main_rates(evaluation.rates)
    rows = table("Rate", ">Share", ">Count", ">Of", *([">95 %"] if everything else []), title=title)
    for name in names:
        rate = evaluation.rates[name]
        cells = [share_text(rate.count, rate.of), str(rate.count), str(rate.of)]
        between = [interval_text(rate.count, rate.of)] if everything else []
        rows.add_row(rate_title(name), *cells, *between)
    if everything:
        for name, value in evaluation.metrics.items():
            if value is not None:
                count = f"{value:.0f}" if float(value).is_integer() else f"{value:.4g}"
                rows.add_row(name.replace("_", " "), "", count, "")
    return rows


def print_rates(evaluation: Evaluation, *, title: str | None = None) -> None:
    """Print the rates, and how many more ``--verbose`` shows."""
    stdout_console().print(rates_table(evaluation, title=title))
    more = len(evaluation.rates)
    if not is_verbose():
        from crystalicl_jobflow.evaluation import main_rates

        more -= len(main_rates(evaluation.rates))
        if more > 0:
            note(f"{more} more rates and all intervals: --verbose")


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


def print_run(
    crystals: Crystals, evaluation: Evaluation, *, every_draw: bool = False, ending: str = ""
) -> None:
    """Print the crystals, how many draws gave them, and the rates.

    Parameters
    ----------
    crystals
        The different crystals that are shown, and all draws.
    evaluation
        Rates over all draws.
    every_draw
        Whether all draws are shown instead, as they were drawn.
    ending
        Put after the sentence on the draws.
    """
    if every_draw:
        shown = candidate_table(crystals.candidates)
    else:
        shown = candidate_table(
            [item.candidate for item in crystals],
            times_drawn=[item.times_drawn for item in crystals],
        )
    if shown.row_count:
        stdout_console().print(shown)
    say(f"{crystals.summary}{ending}")
    say()
    print_rates(evaluation)

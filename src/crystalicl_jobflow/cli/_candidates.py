"""Files that commands write and tables that they print."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.candidates.files import CANDIDATES, write_candidates
from crystalicl_jobflow.cli._console import stdout_console, table

if TYPE_CHECKING:
    from rich.table import Table

    from crystalicl_jobflow.schemas import Candidate, Evaluation

SUMMARY = "summary.json"
CIFS = "cifs"
ID_DIGITS = 8
"""Digits of a candidate's id that file names and tables show."""
MAX_LISTED = 10
"""Most constraints that a summary lists; every candidate names its own."""


def cif_name(candidate: Candidate) -> str:
    """Return the file name of a candidate's crystal: formula, group, start of its id."""
    group = candidate.space_group or 0
    return f"{candidate.formula}_{group}_{candidate.candidate_id[:ID_DIGITS]}.cif"


def cif_text(candidate: Candidate) -> str:
    """Return the symmetrised CIF text of a candidate that has a structure.

    Raises
    ------
    ValueError
        If it has none.
    """
    from pymatgen.io.cif import CifWriter

    if candidate.structure is None:
        raise ValueError(f"candidate {candidate.candidate_id} has no structure")
    symprec = float(candidate.provenance.tolerances.get("symprec", 0.1))
    return str(CifWriter(candidate.structure, symprec=symprec))


def write_cifs(folder: Path, candidates: Iterable[Candidate]) -> list[Path]:
    """Write one symmetrised CIF file for every candidate that has a structure.

    Returns
    -------
    list of Path
        The files, in the order of the candidates.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for candidate in candidates:
        if candidate.structure is None:
            continue
        path = folder / cif_name(candidate)
        path.write_text(cif_text(candidate), encoding="utf-8")
        paths.append(path)
    return paths


def clear_previous(folder: Path) -> None:
    """Remove the CIF files that an earlier run listed in its summary, and nothing else."""
    summary = folder / SUMMARY
    if not summary.is_file():
        return
    try:
        names = json.loads(summary.read_text(encoding="utf-8")).get("cifs", [])
    except (ValueError, AttributeError):
        return
    for name in names:
        path = folder / str(name)
        if path.parent == folder / CIFS and path.suffix == ".cif":
            path.unlink(missing_ok=True)


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2, default=str) + "\n", encoding="utf-8")


def outcome(candidate: Candidate) -> str:
    """Return what became of a candidate, in a few words."""
    reason = candidate.failure_reason
    if not candidate.valid:
        return "not valid" if reason is None else str(reason).replace("_", " ")
    if candidate.joint_success is None:
        return "valid"
    return "valid, as asked" if candidate.joint_success else "valid, differs"


def candidate_table(candidates: Sequence[Candidate], *, title: str | None = None) -> Table:
    """Return a table with one row per candidate.

    What was asked for is a column where the candidates differ in it.
    """
    several = len({candidate.condition.label() for candidate in candidates}) > 1
    asked = ["Asked for"] if several else []
    rows = table("Id", *asked, "Formula", "Group", ">Atoms", ">Min. Å", "Outcome", title=title)
    for candidate in candidates:
        distance = candidate.checks.min_distance
        group = "-"
        if candidate.space_group is not None:
            group = f"{candidate.space_group} {candidate.space_group_symbol or ''}"
        rows.add_row(
            candidate.candidate_id[:ID_DIGITS],
            *([candidate.condition.label().replace(", group ", " ")] if several else []),
            candidate.formula or "-",
            group,
            str(candidate.num_sites or "-"),
            "-" if distance is None else f"{distance:.2f}",
            outcome(candidate),
        )
    return rows


def rates_table(evaluation: Evaluation, *, title: str | None = None) -> Table:
    """Return a table of all rates with their counts and denominators, and the figures."""
    rows = table("Rate", ">Share", ">Count", ">Of", title=title)
    for name, rate in evaluation.rates.items():
        share = "-" if rate.rate is None else f"{100 * rate.rate:.1f} %"
        rows.add_row(name.replace("_", " "), share, str(rate.count), str(rate.of))
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
    """
    clear_previous(folder)
    write_candidates(folder / CANDIDATES, candidates)
    valid = [candidate for candidate in candidates if candidate.valid]
    cifs = write_cifs(folder / CIFS, valid if kept is None else kept)
    summary = {
        **more,
        "num_candidates": evaluation.num_candidates,
        "num_valid": len(valid),
        **rates_document(evaluation),
        **shared_provenance(candidates),
        "cifs": [path.relative_to(folder).as_posix() for path in cifs],
    }
    write_json(folder / SUMMARY, summary)


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

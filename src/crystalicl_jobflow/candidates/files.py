"""Candidates in files: JSON lines, whole runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.structure_table import CANDIDATES_FILE
from crystalicl_jobflow.utils.files import replacing
from crystalicl_jobflow.utils.messages import validation_line

CANDIDATES = CANDIDATES_FILE


def read_candidates(path: Path) -> list[Candidate]:
    """Read a file with one candidate a line, as validated or as a store holds it.

    Parameters
    ----------
    path
        The file, UTF-8; empty lines do not count.

    Raises
    ------
    ValueError
        If a line is no candidate; the message names the line.
    """
    candidates = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                candidates.append(_read_candidate(line))
            except ValueError as error:
                raise ValueError(
                    f"{path}, line {number}: no candidate: {validation_line(error)}"
                ) from None
    return candidates


def write_candidates(path: Path, candidates: Iterable[Candidate]) -> None:
    """Write one candidate document a line; an earlier file stays until all are written."""
    with replacing(path) as beside, beside.open("w", encoding="utf-8") as file:
        for candidate in candidates:
            file.write(candidate.model_dump_json() + "\n")


def _read_candidate(line: str) -> Candidate:
    document = json.loads(line)
    if not isinstance(document, dict) or "run_ids" not in document:  # only a store's has these
        return Candidate.model_validate_json(line)
    from crystalicl_jobflow.candidates.query import read_candidate

    return read_candidate(document)

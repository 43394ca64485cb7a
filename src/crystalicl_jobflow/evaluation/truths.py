"""The true crystals of candidates, from a CSV."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pymatgen.core import Composition, Structure

from crystalicl_jobflow.crystal.formula import crystal_composition, whole_composition
from crystalicl_jobflow.datasets.csv_rows import CsvFile
from crystalicl_jobflow.datasets.records import read_crystal
from crystalicl_jobflow.schemas import Candidate

_KEYS = ("candidate_id", "request_index")
"""Columns by which rows belong to candidates, the first that there is."""


def read_truths(
    path: str | Path, candidates: Sequence[Candidate]
) -> dict[str | int, Structure] | None:
    """Read the true crystals of candidates, where a CSV holds them.

    Parameters
    ----------
    path
        A CSV with CIFs in its column ``cif``. Rows belong to candidates by the column
        ``candidate_id``, or else ``request_index``, or else by position: row 0 is the truth
        of request 0.
    candidates
        The candidates.

    Returns
    -------
    dict or None
        Candidate id or request index → structure, for these candidates only; None where no
        candidate has a condition and the CSV names none, so that its rows are a set.

    Raises
    ------
    ValueError
        If the file cannot be read or has no column ``cif``, a structure cannot be read, no
        row belongs to a candidate, or the truth of a candidate does not have the formula of
        its condition, which means that the rows are not in the order of the requests.
    """
    if not Path(path).is_file():
        raise ValueError(f"{path} does not exist")
    file = CsvFile(path, None)
    key = next((name for name in _KEYS if name in file.columns), None)
    if key is None and all(candidate.condition.is_empty for candidate in candidates):
        return None
    if "cif" not in file.columns:
        raise ValueError(f"{path} has no column 'cif'")
    wanted: dict[Any, Candidate] = {}
    for candidate in candidates:
        by_id = key == "candidate_id"
        name = candidate.candidate_id if by_id else candidate.provenance.request_index
        wanted.setdefault(name, candidate)
    truths: dict[str | int, Structure] = {}
    for number, row in enumerate(file.rows(), start=1):
        where = f"{path}, row {number}"
        if row.error is not None:
            raise ValueError(f"{where}: {row.error}")
        row_name = number - 1 if key is None else _name(row.fields.get(key, ""), key)
        if row_name in wanted:
            truths[row_name] = _truth(row.fields.get("cif", ""), wanted[row_name], where)
    if not truths:
        raise ValueError(f"{path} has no row that belongs to a candidate")
    return truths


def _name(text: str, key: str) -> str | int:
    """Return the candidate's id, or the number of its request, as a row has it."""
    text = text.strip()
    if key != "request_index" or not text.removesuffix(".0").isdecimal():
        return text
    return int(text.removesuffix(".0"))


def _truth(text: str, candidate: Candidate, where: str) -> Structure:
    try:
        structure = read_crystal(text)
    except ValueError as error:
        raise ValueError(f"{where}: no structure can be read: {error}") from None
    formula = candidate.condition.formula
    found = crystal_composition(structure).reduced_formula
    if formula is not None and whole_composition(Composition(formula)).reduced_formula != found:
        raise ValueError(
            f"{where}: {found} cannot be the truth of candidate {candidate.candidate_id}, whose"
            f" condition is {formula}: add a column candidate_id or request_index, or say"
            " --no-aligned where the rows are no truths"
        )
    return structure

"""Verdicts that others published, beside ours on the same compositions and crystals."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from pymatgen.core import Composition, Structure
from pymatgen.symmetry.analyzer import SymmetryUndeterminedError

from crystalicl_jobflow.crystal.symmetry import group_number
from crystalicl_jobflow.datasets.cif_reader import read_cif_block
from crystalicl_jobflow.datasets.csv_rows import CsvFile
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import StageProgress
from crystalicl_jobflow.validation.cif_validity import cif_validity
from crystalicl_jobflow.validation.composition import composition_valid, unknown_negativity

PLAID_SYMPREC = 0.01
"""Symmetry tolerance (Å) of PLaID's authors."""


@dataclass(frozen=True)
class Judged:
    """One row with both verdicts.

    Parameters
    ----------
    name
        Composition or id of the row.
    theirs, ours
        The verdicts, in words.
    why
        Reason of our verdict, where it can be told.
    choice
        A documented choice of ours that explains a difference; empty for none.
    error
        Why the row could not be judged; empty where it was.
    """

    name: str
    theirs: str
    ours: str
    why: str = ""
    choice: str = ""
    error: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both verdicts are the same."""
        return not self.error and self.theirs == self.ours


@dataclass(frozen=True)
class PublishedSet:
    """A file of published verdicts.

    Parameters
    ----------
    name
        Beginning of the file's name.
    question
        What is judged.
    source
        Whose verdicts they are.
    column
        Column of what is judged.
    judge
        Puts our verdict beside a row's.
    """

    name: str
    question: str
    source: str
    column: str
    judge: Callable[[Mapping[str, str]], Judged]


@dataclass(frozen=True)
class Agreement:
    """How far our verdicts agree with published ones.

    Parameters
    ----------
    published
        The set.
    rows
        All rows that were looked at.
    """

    published: PublishedSet
    rows: list[Judged]

    @property
    def differences(self) -> list[Judged]:
        """Rows on which the verdicts differ, those explained by a documented choice last."""
        rows = [row for row in self.rows if not row.agrees]
        return sorted(rows, key=lambda row: (bool(row.choice), row.choice, row.name))

    @property
    def agreeing(self) -> int:
        """Rows on which the verdicts are the same."""
        return sum(row.agrees for row in self.rows)

    @property
    def chosen(self) -> int:
        """Rows that differ by a documented choice."""
        return sum(bool(row.choice) for row in self.differences)

    @property
    def rate(self) -> float | None:
        """Share of agreeing rows, documented choices apart; None where no row is left."""
        counted = len(self.rows) - self.chosen
        return self.agreeing / counted if counted else None

    def metrics(self) -> dict[str, Any]:
        """Return the figures and every difference, for ``agreement.json``."""
        return {
            "set": self.published.name,
            "question": self.published.question,
            "source": self.published.source,
            "rows": len(self.rows),
            "agreeing": self.agreeing,
            "documented_choices": self.chosen,
            "rate": self.rate,
            "differences": [
                {key: value for key, value in vars(row).items() if value}
                for row in self.differences
            ],
        }


def _smact(row: Mapping[str, str]) -> Judged:
    composition = row["composition"]
    theirs, ours = _truth(row["smact_valid"]), composition_valid(composition)
    choice = ""
    if theirs != ours:
        unknown = unknown_negativity(Composition(composition))
        if ours and unknown:
            choice = f"{', '.join(unknown)} without an electronegativity passes, as in CDVAE's code"
    return Judged(composition, _valid(theirs), _valid(ours), choice=choice)


def _cif(row: Mapping[str, str]) -> Judged:
    found = cif_validity(row["text"])
    return Judged(
        row.get("material_id", ""),
        _valid(_truth(row["valid"])),
        _valid(found.valid),
        why=" ".join(found.problems.values()),
    )


def _group(row: Mapping[str, str]) -> Judged:
    structure = read_cif_block(row["cif"]).structure
    found = group_number(structure, symprec=PLAID_SYMPREC)
    return Judged(
        structure.composition.reduced_formula,
        str(int(row["actual_spacegroup"])),
        str(found),
        why=f"spglib finds {_with_spglib(structure)}; asked for was {row.get('asked_group', '')}",
    )


def _with_spglib(structure: Structure) -> str:
    """Return the group that spglib finds by itself, as others call it."""
    try:
        return str(structure.get_space_group_info(symprec=PLAID_SYMPREC)[1])
    except SymmetryUndeterminedError:
        return "none"


def _truth(text: str) -> bool:
    known = {"true": True, "1": True, "false": False, "0": False}
    try:
        return known[text.strip().lower()]
    except KeyError:
        raise ValueError(f"{text!r} is neither true nor false") from None


def _valid(verdict: bool) -> str:
    return "valid" if verdict else "not valid"


PUBLISHED = (
    PublishedSet(
        "lemat_smact", "Can the composition be neutral?", "LeMat-GenBench", "composition", _smact
    ),
    PublishedSet("crystallm_pi_validity", "Is the CIF text valid?", "CrystaLLM-π", "text", _cif),
    PublishedSet(
        "plaid_groups", f"Space group at symprec {PLAID_SYMPREC} Å", "PLaID", "cif", _group
    ),
)
"""The sets that are known, by the names of their files."""


def compare_with_published(
    data: str | Path,
    *,
    limit: int | None = None,
    seed: int = 0,
    processes: int = 1,
    progress: StageProgress | None = None,
) -> list[Agreement]:
    """Judge what others judged, and compare.

    Parameters
    ----------
    data
        Folder with one or more of the files of `PUBLISHED` (``NAME.csv`` or ``NAME.csv.gz``).
    limit
        Rows drawn from each set; None for all.
    seed
        Of the drawn rows.
    processes
        Processes that judge.
    progress
        Called with the set's source, rows done and all of them.

    Returns
    -------
    list of Agreement
        One per file found, in the order of `PUBLISHED`.

    Raises
    ------
    ValueError
        If the folder holds none of the files, or one cannot be read; one line.
    """
    folder = Path(data)
    found = []
    for published in PUBLISHED:
        path = next(
            (
                p
                for end in (".csv.gz", ".csv")
                if (p := folder / f"{published.name}{end}").is_file()
            ),
            None,
        )
        if path is None:
            continue
        rows = [(row.fields, row.error) for row in CsvFile(path, published.column).rows()]
        if limit is not None and limit < len(rows):
            rows = random.Random(seed).sample(rows, limit)
        report = None if progress is None else partial(progress, published.source)
        judge = partial(_judge, published.name)
        found.append(
            Agreement(published, map_list(judge, rows, processes=processes, progress=report))
        )
    if not found:
        names = ", ".join(f"{published.name}.csv.gz" for published in PUBLISHED)
        raise ValueError(f"{folder} holds none of {names}")
    return found


def _judge(name: str, row: tuple[Mapping[str, str], str | None]) -> Judged:
    """Judge a row of a set; one that cannot be judged is no reason to stop."""
    cells, error = row
    if error is not None:
        return Judged("", "", "", error=error)
    (published,) = (item for item in PUBLISHED if item.name == name)
    try:
        return published.judge(cells)
    except Exception as problem:  # any row may be broken in a way of its own
        label = next(iter(cells.values()), "").strip()[:30]
        return Judged(label, "", "", error=first_line(problem))


KIND = "agreement"
"""What agreements are called where they are stored."""


def agreement_table(metrics: Mapping[str, Any]) -> str:
    """Return stored agreements as a Markdown table.

    Parameters
    ----------
    metrics
        What ``crystalicl benchmark agreement --out`` wrote.
    """
    from crystalicl_jobflow.utils.markdown import markdown_table

    rows = [
        [
            item["question"],
            item["source"],
            str(item["rows"]),
            str(item["agreeing"]),
            str(item["documented_choices"]),
            "-" if item["rate"] is None else f"{100 * item['rate']:.1f}",
        ]
        for item in metrics["sets"]
    ]
    heads = ["verdict", "of", "rows", "the same", "our choice", "agree, choices apart, %"]
    return markdown_table(heads, rows)


def all_agree(found: Sequence[Agreement], share: float) -> bool:
    """Return whether every set agrees in at least a share of its rows."""
    return all(item.rate is not None and item.rate >= share for item in found)

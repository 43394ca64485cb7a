"""What a browser may ask: conditions, a CIF to take one from, filters of a store. Nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from crystalicl_jobflow.candidates import CandidateQuery
from crystalicl_jobflow.crystal import space_groups
from crystalicl_jobflow.crystal.symmetry import group_number
from crystalicl_jobflow.datasets.cif_reader import read_cif_block
from crystalicl_jobflow.datasets.files import decode_text
from crystalicl_jobflow.datasets.structure_checks import check_structure
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.utils.messages import show_controls
from crystalicl_jobflow.web.limits import Limits

CONDITION_FIELDS = ("formula", "space_group", "elements", "num_sites")
"""Fields of a condition that a page asks by."""

QUESTION_FIELDS = (*CONDITION_FIELDS, "samples", "seed")

TEXT_FILTERS = (
    "formula", "anonymous_formula", "chemsys", "elements", "without_elements", "only_elements",
    "space_group", "crystal_system", "num_elements", "num_sites", "failure_reason", "run",
)  # fmt: skip
"""Filters of :class:`~crystalicl_jobflow.candidates.CandidateQuery` that are texts."""

FLAGS = ("valid", "stable", "metastable", "novel", "unique", "relaxed", "success")
"""Its filters that are yes or no."""

RANGES = ("energy_above_hull", "formation_energy_per_atom", "band_gap", "density")
"""Properties that a page gives ranges of, as LOW:HIGH."""

SORTS = ("energy_above_hull", "formation_energy_per_atom", "density", "num_sites", "created_at")
"""Fields that a page sorts by."""

MAX_PAGE = 10_000
MAX_REMARKS, MAX_REMARK = 3, 200
DEFAULT_SAMPLES = 8
MAX_SEED = 2**31 - 1


@dataclass(frozen=True)
class Question:
    """What is asked of the model.

    Parameters
    ----------
    condition
        The condition.
    samples, seed
        Texts to write, and the seed of demonstrations and texts.
    """

    condition: Condition
    samples: int = DEFAULT_SAMPLES
    seed: int = 0


@dataclass(frozen=True)
class Search:
    """What is asked of the store.

    Parameters
    ----------
    query
        The filters.
    sort, descending
        The order; None for the store's own.
    page
        From 1.
    fields
        The filters as they were given, to show them again.
    """

    query: CandidateQuery
    sort: str | None = None
    descending: bool = False
    page: int = 1
    fields: Mapping[str, str] | None = None


def read_question(fields: Mapping[str, Any], limits: Limits) -> Question:
    """Read a question.

    Parameters
    ----------
    fields
        Of :data:`QUESTION_FIELDS`; empty ones count as not given.
    limits
        What it may cost.

    Raises
    ------
    ValueError
        If a field is unknown, too long or makes no sense, or nothing is asked for; one line.
    """
    given = _given(fields, QUESTION_FIELDS, limits)
    asked: dict[str, Any] = {name: given[name] for name in CONDITION_FIELDS if name in given}
    if "space_group" in asked:
        asked["space_group"] = _listed(asked["space_group"])
    if not asked:
        raise ValueError("nothing is asked for: give a formula, a space group or elements")
    condition = Condition.build(**asked)
    atoms = 0.0 if condition.composition is None else condition.composition.num_atoms
    if atoms > limits.formula_atoms:
        raise ValueError(
            f"formula {condition.formula} has {atoms:.0f} atoms, more than {limits.formula_atoms}"
        )
    return Question(
        condition,
        samples=_whole(given, "samples", default=DEFAULT_SAMPLES, low=1, high=limits.samples),
        seed=_whole(given, "seed", default=0, low=0, high=MAX_SEED),
    )


def read_cif(data: bytes, limits: Limits) -> dict[str, Any]:
    """Read a CIF file for the question that asks for its formula and group.

    Parameters
    ----------
    data
        The file.
    limits
        Largest file, most atoms.

    Returns
    -------
    dict
        The fields ``formula`` and ``space_group``, the group's ``symbol``, and ``remarks`` of
        what was mended in the file.

    Raises
    ------
    ValueError
        If it is too large or holds no crystal that can be trusted; one line.
    """
    if len(data) > limits.cif_bytes:
        raise ValueError(f"the file has {len(data):,} bytes, more than {limits.cif_bytes:,}")
    read = read_cif_block(decode_text(data))
    if len(read.structure) > limits.cif_sites:
        raise ValueError(f"its cell has {len(read.structure)} atoms, more than {limits.cif_sites}")
    checked = check_structure(read.structure)
    if not checked.structure.is_ordered:
        raise ValueError("several species share a site: there is no formula to ask for")
    condition = Condition.build(
        formula=checked.structure.composition, space_group=group_number(checked.structure)
    )
    assert isinstance(condition.space_group, int)
    return {
        "formula": condition.formula,
        "space_group": condition.space_group,
        "symbol": space_groups.symbol(condition.space_group),
        "remarks": _first([*read.remarks, *checked.remarks]),
    }


def _first(remarks: Sequence[str]) -> list[str]:
    """Return as many remarks as can be read at a glance."""
    shown = [show_controls(remark[:MAX_REMARK]) for remark in remarks[:MAX_REMARKS]]
    more = len(remarks) - len(shown)
    return [*shown, f"and {more} more remarks"] if more else shown


def read_search(fields: Mapping[str, Any], limits: Limits) -> Search:
    """Read what a page asks of the store.

    Parameters
    ----------
    fields
        Of :data:`TEXT_FILTERS`, :data:`FLAGS` (yes or no), :data:`RANGES`, and ``id``,
        ``sort``, ``descending`` and ``page``; empty ones count as not given.
    limits
        Longest field.

    Raises
    ------
    ValueError
        If a field is unknown, too long or makes no sense; one line.
    """
    names = (*TEXT_FILTERS, *FLAGS, *RANGES, "id", "sort", "descending", "page")
    given = _given(fields, names, limits)
    asked: dict[str, Any] = {name: given[name] for name in TEXT_FILTERS if name in given}
    if "space_group" in asked:
        asked["space_group"] = _listed(asked["space_group"])
    for name in FLAGS:
        if name in given:
            asked[name] = _flag(name, given[name])
    ranges = {name: given[name] for name in RANGES if name in given}
    sort = given.get("sort")
    if sort is not None and sort not in SORTS:
        raise ValueError(f"sort {sort!r} is none of {', '.join(SORTS)}")
    return Search(
        CandidateQuery(**asked, candidate_ids=given.get("id"), properties=ranges or None),
        sort=sort,
        descending=_flag("descending", given.get("descending", "no")),
        page=_whole(given, "page", default=1, low=1, high=MAX_PAGE),
        fields={name: value for name, value in given.items() if name != "page"},
    )


def _given(fields: Mapping[str, Any], names: tuple[str, ...], limits: Limits) -> dict[str, str]:
    """Return the fields that are not empty, as texts."""
    given = {}
    for name, value in fields.items():
        if name not in names:
            known = ", ".join(names)
            raise ValueError(f"unknown field {str(name)[:40]!r}: there are {known}")
        if isinstance(value, bool) or not isinstance(value, str | int):
            raise ValueError(f"{name} is neither a text nor a whole number")
        text = str(value).strip()
        if len(text) > limits.field_characters:
            raise ValueError(
                f"{name} has {len(text)} characters, more than {limits.field_characters}"
            )
        if text:
            given[name] = text
    return given


def _whole(given: Mapping[str, str], name: str, *, default: int, low: int, high: int) -> int:
    text = given.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and low <= int(text) <= high):
        raise ValueError(f"{name} {text[:20]!r} is no whole number from {low} to {high}")
    return int(text)


def _flag(name: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise ValueError(f"{name} is yes or no, not {text[:20]!r}")
    return text == "yes"


def _listed(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]

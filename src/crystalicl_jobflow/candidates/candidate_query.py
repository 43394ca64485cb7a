"""What can be asked about candidates, in MongoDB's language."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crystalicl_jobflow.candidates.indexes import CANDIDATE_KEY, ID_DIGITS
from crystalicl_jobflow.crystal.space_groups import crystal_system
from crystalicl_jobflow.schemas import Condition, ConditionError, Range, find_property
from crystalicl_jobflow.schemas.stored_candidate import CandidateDoc
from crystalicl_jobflow.stores import refuse_code

Bounds = float | str | Range | tuple[float | None, float | None]
"""A value (met within 1e-6) or a range: ``(low, high)``, ``"low:high"``, ``":high"``."""

NUMBERS = {
    "energy_above_hull": "energy_above_hull",
    "e_above_hull": "energy_above_hull",
    "formation_energy_per_atom": "formation_energy_per_atom",
    "formation_energy": "formation_energy_per_atom",
    "energy_per_atom": "energy_per_atom",
    "band_gap": "band_gap",
    "bandgap": "band_gap",
    "density": "density",
    "nsites": "nsites",
    "nsites_primitive": "nsites_primitive",
    "num_sites": "nsites_primitive",
    "volume": "volume",
    "density_atomic": "density_atomic",
    "nelements": "nelements",
    "space_group": "symmetry.number",
    "min_distance": "checks.min_distance",
}
"""Names that ranges and orders take → fields of the documents."""

ALIASES = {
    "formula": "formula_pretty",
    "anonymous_formula": "formula_anonymous",
    "id": CANDIDATE_KEY,
    "space_group_symbol": "symmetry.symbol",
    "crystal_system": "symmetry.crystal_system",
    "stable": "is_stable",
    "metastable": "is_metastable",
    "novel": "is_novel",
    "unique": "is_unique",
}
"""Further names that orders and projections take → fields of the documents."""

_TOLERANCE = 1e-6


@dataclass(frozen=True)
class CandidateQuery:
    """A question to a store of candidates; everything that is given has to hold.

    Parameters
    ----------
    candidate_ids
        Ids, or the beginnings of ids.
    formula
        Formula; its reduced form is compared.
    anonymous_formula
        Anonymised formula, e.g. ABC3.
    chemsys
        The exact chemical system, e.g. 'Ca-O-Ti'; several in a list.
    elements
        Elements that must be present.
    without_elements
        Elements that must not be.
    only_elements
        Elements of which it may consist.
    space_group
        Number or symbol, or several.
    crystal_system
        triclinic to cubic.
    num_elements, num_sites
        A number or a range.
    properties
        Name (see :data:`NUMBERS`, or any property) to a value or a range.
    valid, stable, metastable, novel, unique, relaxed, success
        Only those that are, or only those that are not; those not judged are neither.
    failure_reason
        A reason code.
    run
        Uuid of a Flow or job, or name of a run.
    criteria
        Further conditions in MongoDB's language; operators that run code are refused.

    Raises
    ------
    ConditionError
        If a formula, element, group or property is not known, or a range reversed.
    ForbiddenCriteriaError
        If `criteria` hold ``$where``, ``$expr`` or another operator that runs code.

    Examples
    --------
    >>> CandidateQuery(elements="Ca,O", stable=True).mongo_criteria
    {'elements': {'$all': ['Ca', 'O']}, 'is_stable': True}
    """

    candidate_ids: str | Sequence[str] | None = None
    formula: str | None = None
    anonymous_formula: str | None = None
    chemsys: str | Sequence[str] | None = None
    elements: str | Sequence[str] | None = None
    without_elements: str | Sequence[str] | None = None
    only_elements: str | Sequence[str] | None = None
    space_group: int | str | Sequence[int | str] | None = None
    crystal_system: str | None = None
    num_elements: int | Bounds | None = None
    num_sites: int | Bounds | None = None
    properties: Mapping[str, Bounds] | None = None
    valid: bool | None = None
    stable: bool | None = None
    metastable: bool | None = None
    novel: bool | None = None
    unique: bool | None = None
    relaxed: bool | None = None
    success: bool | None = None
    failure_reason: str | None = None
    run: str | None = None
    criteria: Mapping[str, Any] | None = None
    mongo_criteria: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "mongo_criteria", self._build())

    def _build(self) -> dict[str, Any]:
        """Return the question in MongoDB's language, equalities first."""
        condition = Condition.build(
            formula=self.formula,
            anonymous_formula=self.anonymous_formula,
            elements=self.elements,
            space_group=self.space_group,
        )
        terms: list[dict[str, Any]] = []
        if self.candidate_ids is not None:
            terms.append(_by_id(_listed(self.candidate_ids)))
        if condition.formula is not None:
            terms.append({"formula_pretty": condition.formula})
        if condition.anonymous_formula is not None:
            terms.append({"formula_anonymous": condition.anonymous_formula})
        if self.chemsys is not None:
            systems = [str(Condition.build(chemsys=item).chemsys) for item in _listed(self.chemsys)]
            terms.append({"chemsys": _one_of(systems)})
        terms += self._elements(condition)
        if condition.space_groups is not None:
            terms.append({"symmetry.number": _one_of(condition.space_groups)})
        if self.crystal_system is not None:
            # by number: documents of earlier versions write the systems in small letters
            terms.append({"symmetry.number": _crystal_system(self.crystal_system)})
        flags = {
            "valid": self.valid, "is_stable": self.stable, "is_metastable": self.metastable,
            "is_novel": self.novel, "is_unique": self.unique, "is_relaxed": self.relaxed,
            "joint_success": self.success,
        }  # fmt: skip
        terms += [{name: wanted} for name, wanted in flags.items() if wanted is not None]
        if self.failure_reason is not None:
            terms.append({"failure_reason": _reason(self.failure_reason)})
        if self.run is not None:
            terms.append({"run_ids": self.run})
        ranges = dict(self.properties or {})
        counts = {"nelements": self.num_elements, "num_sites": self.num_sites}
        ranges |= {name: bounds for name, bounds in counts.items() if bounds is not None}
        terms += [
            _in_range(number_field(name), _bounds(name, value)) for name, value in ranges.items()
        ]
        if self.criteria:
            refuse_code(self.criteria)
            terms.append(dict(self.criteria))
        return joined(terms)

    def _elements(self, condition: Condition) -> list[dict[str, Any]]:
        terms: list[dict[str, Any]] = []
        if condition.elements is not None:
            terms.append({"elements": {"$all": list(condition.elements)}})
        if self.without_elements is not None:
            banned = Condition.build(elements=self.without_elements).elements or ()
            both = sorted(set(banned) & set(condition.elements or ()))
            if both:
                raise ConditionError(f"element {', '.join(both)} is asked for and excluded")
            terms.append({"elements": {"$nin": list(banned)}})
        if self.only_elements is not None:
            allowed = Condition.build(elements=self.only_elements).elements or ()
            # elements are few: naming the others keeps to what every store understands
            terms.append({"elements": {"$nin": _other_elements(allowed)}})
            terms.append({"nelements": {"$gte": 1, "$lte": len(allowed)}})
        return terms


def field_name(name: str) -> str:
    """Return the field of the documents that a name means.

    Raises
    ------
    ValueError
        If there is none; one line.
    """
    found = NUMBERS.get(name) or ALIASES.get(name) or name
    head = found.split(".")[0]
    if head not in CandidateDoc.model_fields:
        known = ", ".join(sorted({*CandidateDoc.model_fields, *NUMBERS, *ALIASES}))
        raise ValueError(f"candidates have no field {name!r}; they have {known}")
    return found


def number_field(name: str) -> str:
    """Return the field of the documents in which a property's value lies.

    Raises
    ------
    ConditionError
        If the property is not known; one line.
    """
    if name in NUMBERS:
        return NUMBERS[name]
    spec = find_property(name)
    if spec is None:
        raise ConditionError(
            f"property {name!r} is not known; known are {', '.join(sorted(NUMBERS))}"
        )
    return NUMBERS.get(spec.name, f"properties.{spec.name}")


def _bounds(name: str, condition: Bounds) -> dict[str, float]:
    try:
        (value,) = Condition.build(properties={"energy_above_hull": condition}).properties.values()
    except ConditionError as error:
        raise ConditionError(f"{name}: {error}") from None
    if not isinstance(value, Range):
        return {"$gte": value - _TOLERANCE, "$lte": value + _TOLERANCE}
    bounds = {}
    if value.min is not None:
        bounds["$gte"] = value.min
    if value.max is not None:
        bounds["$lte"] = value.max
    return bounds


def _in_range(name: str, bounds: dict[str, float]) -> dict[str, Any]:
    if name != "nsites_primitive":
        return {name: bounds}
    # documents of earlier versions have the atoms in the primitive cell as nsites
    return {"$or": [{name: bounds}, {name: None, "nsites": bounds}]}


def _by_id(ids: Sequence[str]) -> dict[str, Any]:
    if all(len(name) == ID_DIGITS for name in ids):
        return {CANDIDATE_KEY: _one_of(ids)}
    # ids are hexadecimal: what begins with one lies between it and it followed by "g"
    ranges = [{CANDIDATE_KEY: {"$gte": name, "$lt": f"{name}g"}} for name in ids]
    return ranges[0] if len(ranges) == 1 else {"$or": ranges}


def _one_of(values: Iterable[Any]) -> Any:
    items = list(values)
    return items[0] if len(items) == 1 else {"$in": items}


def _listed(value: str | Sequence[str]) -> list[str]:
    items = value.split(",") if isinstance(value, str) else list(value)
    return [str(item).strip() for item in items if str(item).strip()]


def _crystal_system(name: str) -> dict[str, int]:
    """Return the numbers of a system's groups."""
    numbers: dict[str, list[int]] = {}
    for number in range(1, 231):
        numbers.setdefault(crystal_system(number), []).append(number)
    if name.lower() not in numbers:
        raise ConditionError(f"crystal system {name!r} is none of {', '.join(numbers)}")
    found = numbers[name.lower()]
    return {"$gte": found[0], "$lte": found[-1]}


def _reason(code: str) -> str:
    from crystalicl_jobflow.schemas import FailureReason

    try:
        return FailureReason(code).value
    except ValueError:
        known = ", ".join(item.value for item in FailureReason)
        raise ConditionError(f"reason {code!r} is none of {known}") from None


def _other_elements(allowed: Sequence[str]) -> list[str]:
    from pymatgen.core import Element

    return sorted({element.symbol for element in Element} - set(allowed))


def terms_of(criteria: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the terms of which criteria are made."""
    if set(criteria) == {"$and"}:
        return list(criteria["$and"])
    return [criteria] if criteria else []


def joined(terms: list[dict[str, Any]]) -> dict[str, Any]:
    """Join terms; those that speak of different fields need no ``$and``."""
    joined: dict[str, Any] = {}
    for term in terms:
        if set(term) & set(joined):
            return {"$and": terms}
        joined |= term
    return joined

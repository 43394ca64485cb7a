"""Find stored candidates by what they are: any maggma store, the same questions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from maggma.core import Sort, Store
from pymatgen.core import Structure

from crystalicl_jobflow.builders.blobs import BlobStore, blobs_for, resolve_blobs
from crystalicl_jobflow.builders.indexes import CANDIDATE_KEY, ID_DIGITS
from crystalicl_jobflow.builders.parts import as_moment, as_structure, without_marks
from crystalicl_jobflow.builders.writing import RETRY_SECONDS, retrying
from crystalicl_jobflow.schemas import Candidate, Condition, ConditionError, Range, find_property
from crystalicl_jobflow.schemas.candidates import CandidateDoc

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
    "num_sites": "nsites",
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
_FLAGS = ("valid", "parsed", "is_stable", "is_metastable", "is_novel", "is_unique", "is_relaxed",
          "is_sun", "joint_success")  # fmt: skip


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
        Further conditions in MongoDB's language.

    Raises
    ------
    ConditionError
        If a formula, element, group or property is not known, or a range reversed.

    Examples
    --------
    >>> CandidateQuery(elements="Ca,O", stable=True).criteria_
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
    criteria_: dict[str, Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "criteria_", self._build())

    def _build(self) -> dict[str, Any]:
        """Return the question in MongoDB's language, equalities first."""
        asked = Condition.build(
            formula=self.formula,
            anonymous_formula=self.anonymous_formula,
            elements=self.elements,
            space_group=self.space_group,
        )
        terms: list[dict[str, Any]] = []
        if self.candidate_ids is not None:
            terms.append(_by_id(_listed(self.candidate_ids)))
        if asked.formula is not None:
            terms.append({"formula_pretty": asked.formula})
        if asked.anonymous_formula is not None:
            terms.append({"formula_anonymous": asked.anonymous_formula})
        if self.chemsys is not None:
            systems = [str(Condition.build(chemsys=item).chemsys) for item in _listed(self.chemsys)]
            terms.append({"chemsys": _one_of(systems)})
        terms += self._elements(asked)
        if asked.space_groups is not None:
            terms.append({"symmetry.number": _one_of(asked.space_groups)})
        if self.crystal_system is not None:
            terms.append({"symmetry.crystal_system": _crystal_system(self.crystal_system)})
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
        for name, bounds in (("nelements", self.num_elements), ("nsites", self.num_sites)):
            if bounds is not None:
                ranges[name] = bounds
        terms += [{number_field(name): _bounds(name, value)} for name, value in ranges.items()]
        if self.criteria:
            terms.append(dict(self.criteria))
        return _and(terms)

    def _elements(self, asked: Condition) -> list[dict[str, Any]]:
        terms: list[dict[str, Any]] = []
        if asked.elements is not None:
            terms.append({"elements": {"$all": list(asked.elements)}})
        if self.without_elements is not None:
            banned = Condition.build(elements=self.without_elements).elements or ()
            both = sorted(set(banned) & set(asked.elements or ()))
            if both:
                raise ConditionError(f"element {', '.join(both)} is asked for and excluded")
            terms.append({"elements": {"$nin": list(banned)}})
        if self.only_elements is not None:
            allowed = Condition.build(elements=self.only_elements).elements or ()
            # elements are few: naming the others keeps to what every store understands
            terms.append({"elements": {"$nin": _other_elements(allowed)}})
            terms.append({"nelements": {"$gte": 1, "$lte": len(allowed)}})
        return terms


def find_documents(
    store: Store,
    query: CandidateQuery | None = None,
    *,
    sort: str | None = None,
    descending: bool = False,
    limit: int | None = None,
    skip: int = 0,
    fields: Sequence[str] | None = None,
    blobs: Store | BlobStore | None = None,
    patience: float = RETRY_SECONDS,
) -> Iterator[dict[str, Any]]:
    """Yield the documents that answer a question.

    Parameters
    ----------
    store
        A connected store of candidates.
    query
        The question; None for all.
    sort
        Field to sort by. Candidates without a value come last, whatever the direction.
    descending
        Largest first.
    limit, skip
        At most so many, after so many.
    fields
        Fields to return, dotted below others; all by default. The id is always there.
    blobs
        Where large fields lie, see :func:`~crystalicl_jobflow.builders.blobs.blobs_for`.
    patience
        Seconds for which a page is asked for again where the server is away.

    Raises
    ------
    ValueError
        If a field is not known, or a number negative; one line.
    """
    if (limit is not None and limit < 1) or skip < 0:
        raise ValueError("a limit is at least 1, and what is passed over at least 0")
    criteria = (query or CandidateQuery()).criteria_
    names = None
    if fields is not None:
        names = list(dict.fromkeys([CANDIDATE_KEY, *(field_name(name) for name in fields)]))
    order = None if sort is None else field_name(sort)
    place = blobs_for(store, blobs)
    ask = partial(_ask, store, names, patience)
    for document in _pages(ask, store, criteria, order, -1 if descending else 1, limit, skip):
        document.pop("_id", None)
        yield resolve_blobs(document, place)


def _pages(
    ask: Callable[..., Iterator[dict[str, Any]]],
    store: Store,
    criteria: dict[str, Any],
    order: str | None,
    way: int,
    limit: int | None,
    skip: int,
) -> Iterator[dict[str, Any]]:
    """Yield sorted documents: those with a value, then those without."""
    if order is None:
        yield from ask(criteria, None, limit or 0, skip)
        return
    with_value = _and([*_as_terms(criteria), {order: {"$ne": None}}])
    found = 0
    for document in ask(with_value, {order: way}, limit or 0, skip):
        found += 1
        yield document
    if limit is not None and found >= limit:
        return
    if found == 0 and skip:  # the page may lie among those without a value
        skip -= min(skip, store.count(with_value))
    elif found:
        skip = 0
    without = _and([*_as_terms(criteria), {order: None}])
    yield from ask(without, None, (limit - found) if limit else 0, skip)


def _ask(
    store: Store,
    names: list[str] | None,
    patience: float,
    criteria: dict[str, Any],
    sort: dict[str, Sort | int] | None,
    limit: int,
    skip: int,
) -> Iterator[dict[str, Any]]:
    if limit:  # a page is asked for again as a whole where the server goes away
        yield from retrying(
            lambda: list(store.query(criteria, names, sort=sort, limit=limit, skip=skip)),
            seconds=patience,
        )
        return
    yield from store.query(criteria, names, sort=sort, skip=skip)


def count_documents(
    store: Store, query: CandidateQuery | None = None, *, patience: float = RETRY_SECONDS
) -> int:
    """Return how many candidates answer a question; ``patience`` as in find_documents."""
    asked = query or CandidateQuery()
    return retrying(lambda: store.count(asked.criteria_), seconds=patience)


def find_structures(
    store: Store, query: CandidateQuery | None = None, **how: Any
) -> Iterator[tuple[str, Structure]]:
    """Yield id and crystal of the candidates that answer a question and have one.

    Parameters
    ----------
    store, query
        As for :func:`find_documents`.
    **how
        Its ``sort``, ``descending``, ``limit``, ``skip``, ``blobs`` and ``patience``.
    """
    for document in find_documents(store, query, fields=["structure"], **how):
        if document.get("structure") is not None:
            yield document[CANDIDATE_KEY], as_structure(document["structure"])


def query_candidates(
    store: Store,
    *,
    sort: str | None = None,
    descending: bool = False,
    limit: int | None = None,
    skip: int = 0,
    blobs: Store | BlobStore | None = None,
    **asked: Any,
) -> list[Candidate]:
    """Search stored candidates by what they are (not by what was asked for).

    Parameters
    ----------
    store
        A connected store of candidates.
    sort, descending, limit, skip, blobs
        As for :func:`find_documents`.
    **asked
        The fields of :class:`CandidateQuery`.

    Returns
    -------
    list of Candidate
        Those that meet everything, as the validation made them: with the crystal that the
        text describes, not the relaxed one. Texts that were not validated are not among them.

    Raises
    ------
    ConditionError
        If a formula, element, group or property is not known, or a range reversed.

    Examples
    --------
    >>> from crystalicl_jobflow.builders import open_candidate_store
    >>> store = open_candidate_store("memory:")
    >>> query_candidates(store, elements=["Ca", "O"], valid=True, properties={"band_gap": (1, 3)})
    []
    """
    found = find_documents(
        store, CandidateQuery(**asked), sort=sort, descending=descending, limit=limit, skip=skip,
        blobs=blobs,
    )  # fmt: skip
    return [read_candidate(document) for document in found if document.get("stage") != "generated"]


def read_document(document: Mapping[str, Any]) -> CandidateDoc:
    """Return a stored document as its schema, pymatgen objects in it.

    Raises
    ------
    pydantic.ValidationError
        If it is none.
    """
    return CandidateDoc.model_validate(without_marks(document))


def read_candidate(document: Mapping[str, Any]) -> Candidate:
    """Return the candidate of a stored document, as the validation made it."""
    known = without_marks({k: v for k, v in document.items() if k != "structure"})
    generated = known.get("generated") or {}
    structure = (document.get("generated") or {}).get("structure") or document.get("structure")
    group = generated.get("symmetry") or {}
    fields = {name: known[name] for name in Candidate.model_fields if known.get(name) is not None}
    created = as_moment(known.get("created_at"))
    if created is not None:
        fields["created_at"] = created.isoformat() + "Z"
    return Candidate.model_validate(
        {
            **fields,
            "formula": known.get("formula_pretty"),
            "anonymous_formula": known.get("formula_anonymous"),
            "structure": structure if generated else None,
            "num_sites": known.get("nsites"),
            "density": generated.get("density"),
            "space_group": group.get("number"),
            "space_group_symbol": group.get("symbol"),
        }
    )


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


def _bounds(name: str, asked: Bounds) -> dict[str, float]:
    value = Condition.build(properties={"e_above_hull": asked}).properties["e_above_hull"]
    if not isinstance(value, Range):
        return {"$gte": value - _TOLERANCE, "$lte": value + _TOLERANCE}
    bounds = {}
    if value.min is not None:
        bounds["$gte"] = value.min
    if value.max is not None:
        bounds["$lte"] = value.max
    return bounds


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


def _crystal_system(name: str) -> str:
    systems = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal",
               "cubic")  # fmt: skip
    if name.lower() not in systems:
        raise ConditionError(f"crystal system {name!r} is none of {', '.join(systems)}")
    return name.lower()


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


def _as_terms(criteria: dict[str, Any]) -> list[dict[str, Any]]:
    if set(criteria) == {"$and"}:
        return list(criteria["$and"])
    return [criteria] if criteria else []


def _and(terms: list[dict[str, Any]]) -> dict[str, Any]:
    """Join terms; those that speak of different fields need no ``$and``."""
    joined: dict[str, Any] = {}
    for term in terms:
        if set(term) & set(joined):
            return {"$and": terms}
        joined |= term
    return joined

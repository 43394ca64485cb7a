"""From a parent and what is to be changed to partial texts and their conditions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice, product
from typing import Any

from pymatgen.core import Composition, Species

from crystalicl_jobflow.editing.ions import ions_of, same_charge, substitution_probability
from crystalicl_jobflow.editing.parents import EditError, Parent, composition_of, orbit_name
from crystalicl_jobflow.generation.substitution import element_assignments, with_elements
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.schemas.editing import ANY, Edit, EditRequest
from crystalicl_jobflow.text import SGSCrystal, parse_pattern
from crystalicl_jobflow.text.asymmetric_unit import SGSSite
from crystalicl_jobflow.text.pattern import FREE, GapPattern, SGSPattern, SitePattern, within
from crystalicl_jobflow.text.rounding import keep_group

CELL_RANGE = 0.08
"""How far, as a fraction, the cell lengths of a substituted crystal may be from those scaled by
the volume of its atoms: these are off by up to 5 % in volume at the median (see `propose`), for
some elements by far more."""

_ORBIT = re.compile(r"([A-Z][a-z]?)\s*(\d*)([a-zA])", re.ASCII)


@dataclass(frozen=True)
class PlannedEdit:
    """One partial text with what its prompt asks for.

    Parameters
    ----------
    condition
        Formula or elements, and space group.
    edit
        The partial text, and where it comes from.
    shows_parent
        Whether the prompt shows the parent: a pattern for other elements, but the answer where
        its own orbits are asked for.
    """

    condition: Condition
    edit: Edit
    shows_parent: bool = False


def plan(parent: Parent, request: EditRequest) -> list[PlannedEdit]:
    """Return the partial texts of one parent.

    Parameters
    ----------
    parent
        The crystal, or the beginning of a text.
    request
        What is to be changed.

    Raises
    ------
    EditError, PatternError, ConditionError
        If it cannot be changed so; one line.
    """
    return list(_PLANS[request.kind](parent, request))


def _condition(**fields: Any) -> Condition:
    return Condition.build(**fields)


def _edit(parent: Parent, pattern: SGSPattern, request: EditRequest, **fields: Any) -> Edit:
    return Edit(
        kind=request.kind,
        parent_id=parent.parent_id,
        parent_formula=None if parent.structure is None else parent.formula,
        pattern=pattern.format(),
        atoms=0 if parent.structure is None else parent.atoms,
        **fields,
    )


def _near(pattern: SGSPattern) -> SGSPattern:
    """Return a pattern whose cell lengths may differ a little from those given."""
    a, b, c = (
        spans and within(spans[0][0] * (1 - CELL_RANGE), spans[0][1] * (1 + CELL_RANGE))
        for spans in pattern.lengths
    )
    return replace(pattern, lengths=(a, b, c))


def _redrawn(pattern: SGSPattern, crystal: SGSCrystal, request: EditRequest) -> SGSPattern:
    """Return a pattern whose cell or coordinates the model writes, as asked."""
    if "cell" in request.redrawn:
        pattern = replace(pattern, lengths=FREE, angles=FREE)
    if "coordinates" in request.redrawn:
        letters = {place: site.wyckoff_letter for place, site in enumerate(crystal.sites)}
        orbits = []
        for place, item in enumerate(pattern.orbits):
            assert isinstance(item, SitePattern)
            letter = letters[place]
            position = None if letter is None else (letter,)
            orbits.append(replace(item, letters=position, frac_coords=FREE))
        pattern = replace(pattern, orbits=tuple(orbits))
    return pattern


# -- substitute ------------------------------------------------------------------------------


def _substitute(parent: Parent, request: EditRequest) -> Iterator[PlannedEdit]:
    assert request.substitute is not None
    crystal = parent.crystal
    ions = ions_of(parent.composition)
    for replaced in _replacements(parent, request, ions):
        names = {site.species: replaced.get(site.species, site.species) for site in crystal.sites}
        changed = tuple(replace(site, species=names[site.species]) for site in crystal.sites)
        after = composition_of(replace(crystal, sites=changed))
        new = keep_group(with_elements(crystal, names, parent.composition.formula, after.formula))
        pattern = _redrawn(_near(SGSPattern.of_crystal(new)), new, request)
        yield PlannedEdit(
            _condition(formula=after.reduced_formula, space_group=new.space_group_number),
            _edit(
                parent,
                pattern,
                request,
                change=", ".join(f"{old} → {to}" for old, to in replaced.items()),
                substitution_probability=substitution_probability(ions, replaced),
            ),
            shows_parent=True,
        )


def _replacements(
    parent: Parent, request: EditRequest, ions: Mapping[str, Species]
) -> list[dict[str, str]]:
    """Return which elements replace which, each way once."""
    asked = request.substitute or {}
    own = {element.symbol for element in parent.composition}
    missing = [old for old in asked if old != ANY and old not in own]
    if missing:
        raise EditError(
            f"{parent.parent_id}: there is no {', '.join(missing)} to replace,"
            f" only {', '.join(sorted(own))}"
        )
    if ANY in asked:
        ways = [{old: new} for old in sorted(own) for new in _of_same_charge(old, own, ions)]
        return _most_probable(parent, ways, ions, request.number)
    choices = [
        _of_same_charge(old, own, ions)[: request.number]
        if new == (ANY,)
        else [name for name in dict.fromkeys(new) if name != old]
        for old, new in asked.items()
    ]
    ways = [dict(zip(asked, names, strict=True)) for names in product(*choices)]
    if any(new == (ANY,) for new in asked.values()):
        return _most_probable(parent, ways, ions, request.number)
    if not ways:
        raise EditError(f"{parent.parent_id}: an element is replaced by itself")
    return ways


def _of_same_charge(old: str, own: set[str], ions: Mapping[str, Species]) -> list[str]:
    ion = ions.get(old)
    return [] if ion is None else [name for name in same_charge(ion) if name not in own]


def _most_probable(
    parent: Parent, ways: list[dict[str, str]], ions: Mapping[str, Species], number: int
) -> list[dict[str, str]]:
    if not ways:
        reason = (
            "no ion of the same charge is known"
            if ions
            else "its oxidation states are unknown; name the elements, as in Ti=Zr,Hf"
        )
        raise EditError(f"{parent.parent_id} ({parent.formula}): {reason}")
    ways.sort(key=lambda way: -(substitution_probability(ions, way) or 0.0))
    return ways[:number]


# -- infill ----------------------------------------------------------------------------------


def _infill(parent: Parent, request: EditRequest) -> Iterator[PlannedEdit]:
    assert request.mask is not None
    crystal = parent.crystal
    masked = masked_orbits(parent, request.mask)
    if len(masked) == len(crystal.sites):
        raise EditError(f"{parent.parent_id}: every orbit is masked, so nothing is kept")
    whole = SGSPattern.of_crystal(crystal)
    first = min(masked)
    hidden: list[SitePattern | GapPattern] = [GapPattern(request.elements)]
    if request.elements is not None:  # at least one orbit; under a formula its atoms say so
        hidden.insert(0, SitePattern(request.elements))
    orbits: list[SitePattern | GapPattern] = []
    for place, item in enumerate(whole.orbits):
        if place == first:
            orbits += hidden
        if place not in masked:
            orbits.append(item)
    pattern = replace(whole, orbits=tuple(orbits))
    if "cell" in request.redrawn:
        pattern = replace(pattern, lengths=FREE, angles=FREE)
    if "coordinates" in request.redrawn:
        raise EditError("infilling keeps the orbits that are not masked: mutate redraws them")
    kept = [site for place, site in enumerate(crystal.sites) if place not in masked]
    asked: dict[str, Any] = {"formula": request.formula or parent.formula}
    if request.elements is not None:
        asked = {"elements": sorted({site.species for site in kept})}
    yield PlannedEdit(
        _condition(**asked, space_group=crystal.space_group_number),
        _edit(
            parent,
            pattern,
            request,
            change="fill " + ", ".join(orbit_name(crystal.sites[place]) for place in masked),
        ),
    )


def masked_orbits(parent: Parent, names: Sequence[str]) -> list[int]:
    """Return the places of the orbits that are named, from 0.

    Parameters
    ----------
    parent
        The crystal.
    names
        Elements, numbers of orbits from 1, or elements with a Wyckoff letter.

    Raises
    ------
    EditError
        If a name is that of no orbit; one line that lists them.
    """
    found: set[int] = set()
    sites = parent.crystal.sites
    for name in names:
        places = {place for place, site in enumerate(sites) if _is_named(name, place + 1, site)}
        if not places:
            raise EditError(
                f"{name[:40]!r} names no orbit of {parent.parent_id}: there are {parent.orbits()}"
            )
        found |= places
    return sorted(found)


def _is_named(name: str, number: int, site: SGSSite) -> bool:
    if name.isdecimal():
        return name == str(number)
    match = _ORBIT.fullmatch(name)
    if match is not None and (match[1], match[3]) == (site.species, site.wyckoff_letter):
        return match[2] in ("", str(site.multiplicity))
    return name == site.species


# -- mutate ----------------------------------------------------------------------------------


def _mutate(parent: Parent, request: EditRequest) -> Iterator[PlannedEdit]:
    crystal = parent.crystal
    if not request.redrawn:
        raise EditError("a mutation that redraws neither cell nor coordinates changes nothing")
    formula = _condition(formula=request.formula or parent.formula).formula
    assert formula is not None
    if formula == parent.formula:
        pattern = _redrawn(SGSPattern.of_crystal(crystal), crystal, request)
        yield PlannedEdit(
            _condition(formula=formula, space_group=crystal.space_group_number),
            _edit(parent, pattern, request, change=f"new {' and '.join(sorted(request.redrawn))}"),
        )
        return
    ways = list(islice(element_assignments(parent.formula, formula), request.number))
    if not ways:
        raise EditError(
            f"{parent.parent_id}: {formula} ({Composition(formula).anonymized_formula}) does not"
            f" have the stoichiometry of {parent.formula}"
            f" ({parent.composition.anonymized_formula})"
        )
    for _, mapping in ways:
        names = dict(mapping)
        after = Composition({names[el.symbol]: n for el, n in parent.composition.items()})
        new = keep_group(with_elements(crystal, names, parent.composition.formula, after.formula))
        yield PlannedEdit(
            _condition(formula=formula, space_group=crystal.space_group_number),
            _edit(
                parent,
                _redrawn(SGSPattern.of_crystal(new), new, request),
                request,
                change=", ".join(f"{old} → {to}" for old, to in mapping if old != to),
            ),
            shows_parent=True,
        )


# -- complete --------------------------------------------------------------------------------


def _complete(parent: Parent, request: EditRequest) -> Iterator[PlannedEdit]:
    if parent.text is None:
        raise EditError(
            f"{parent.parent_id} is a whole crystal: to complete takes the beginning of a text"
        )
    pattern = parse_pattern(parent.text, is_beginning=True)
    asked: dict[str, Any] = {"formula": request.formula, "space_group": pattern.groups}
    if request.formula is None:
        given = {
            site.elements[0] for site in pattern.sites if site.elements and len(site.elements) == 1
        }
        if request.elements is not None:
            # the elements that the written orbits are of; each of them occurs
            given |= set(request.elements)
            pattern = replace(
                pattern,
                orbits=tuple(
                    GapPattern(item.elements or request.elements)
                    if isinstance(item, GapPattern)
                    else item
                    for item in pattern.orbits
                ),
            )
            asked["chemsys"] = "-".join(sorted(given))
        elif given:
            asked["elements"] = sorted(given)
    yield PlannedEdit(
        _condition(**asked),
        _edit(parent, pattern, request, change="complete a text"),
    )


_PLANS = {
    "substitute": _substitute,
    "infill": _infill,
    "mutate": _mutate,
    "complete": _complete,
}

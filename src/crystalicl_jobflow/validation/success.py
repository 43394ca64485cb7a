"""Whether a crystal meets its condition, part by part."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pymatgen.core import Composition

from crystalicl_jobflow.crystal.formula import whole_composition
from crystalicl_jobflow.crystal.wyckoff_letters import letters_text, same_letters
from crystalicl_jobflow.schemas import PROPERTIES, Candidate, Condition, FailureReason, Range
from crystalicl_jobflow.thresholds import SYMPREC, meets_value
from crystalicl_jobflow.validation.summary import CrystalSummary, find_letters


def asked_for(condition: Condition) -> tuple[str, ...]:
    """Return the names of a condition's parts, as ``Candidate.success`` has them.

    ``formula``, ``anonymous_formula``, ``chemsys``, ``elements``, ``space_group``,
    ``num_sites``, ``wyckoff``, then the properties by name.
    """
    parts = [name for name in _JUDGES if getattr(condition, name) is not None]
    return (*parts, *condition.properties)


def judge(
    condition: Condition,
    crystal: CrystalSummary | None,
    *,
    properties: Mapping[str, float] | None = None,
) -> dict[str, bool | None]:
    """Judge each part of a condition.

    Parameters
    ----------
    condition
        The condition.
    crystal
        The crystal's facts; None where the text is not a crystal: nothing is met then.
    properties
        Predicted or computed values by name, in the property's unit.

    Returns
    -------
    dict
        Name (see :func:`asked_for`) → met or not; None for a property without a value.

    Notes
    -----
    Formula: equal reduced formulas. Space group: the group found is one of the condition's.
    Wyckoff letters: in that group, those asked for or those of an equivalent origin or choice of
    axes (`same_letters`).
    Properties: a range by containment, a single value by
    :func:`~crystalicl_jobflow.thresholds.meets_value`.
    """
    if crystal is None:
        return dict.fromkeys(asked_for(condition), False)
    values = properties or {}
    success: dict[str, bool | None] = {}
    for name in asked_for(condition):
        if name in _JUDGES:
            success[name] = _JUDGES[name](condition, crystal)
        else:
            success[name] = _meets_property(name, condition.properties[name], values.get(name))
    return success


def joint_success(success: Mapping[str, bool | None]) -> bool | None:
    """Return whether every part of a condition is met.

    False if one part is missed. Otherwise None if a part could not be judged, or if the
    condition is empty.
    """
    if any(met is False for met in success.values()):
        return False
    if not success or any(met is None for met in success.values()):
        return None
    return True


def describe_misses(
    condition: Condition,
    crystal: CrystalSummary,
    success: Mapping[str, bool | None],
    *,
    properties: Mapping[str, float] | None = None,
) -> str:
    """Return one clause for each part that was missed: the crystal's value and the condition's.

    Parameters
    ----------
    condition
        The condition.
    crystal
        What the crystal is.
    success
        What :func:`judge` returned for both.
    properties
        Predicted or computed values by name, in the property's unit.
    """
    values = properties or {}
    misses = []
    for name, met in success.items():
        if met is not False:
            continue
        words = _WORDS.get(name, name.replace("_", " "))
        if name in _JUDGES:
            found, wanted = getattr(crystal, name), getattr(condition, name)
        else:
            found, wanted = values.get(name), condition.properties[name]
            spec = PROPERTIES.get(name)
            words = spec.phrase if spec is not None else words
        misses.append(f"the {words} is {_show(found)}, asked for was {_show(wanted)}")
    return "; ".join(misses)


def _formula(condition: Condition, crystal: CrystalSummary) -> bool:
    # as compositions: formulas have several spellings
    one, other = Composition(condition.formula), Composition(crystal.formula)
    return whole_composition(one) == whole_composition(other)


def _anonymous_formula(condition: Condition, crystal: CrystalSummary) -> bool:
    return condition.anonymous_formula == crystal.anonymous_formula


def _chemsys(condition: Condition, crystal: CrystalSummary) -> bool:
    return condition.chemsys == crystal.chemsys


def _elements(condition: Condition, crystal: CrystalSummary) -> bool:
    return set(condition.elements or ()) <= set(crystal.elements)


def _space_group(condition: Condition, crystal: CrystalSummary) -> bool:
    return crystal.space_group in (condition.space_groups or ())


def _num_sites(condition: Condition, crystal: CrystalSummary) -> bool:
    if isinstance(condition.num_sites, Range):
        return condition.num_sites.contains(crystal.num_sites)
    return crystal.num_sites == condition.num_sites


def _wyckoff(condition: Condition, crystal: CrystalSummary) -> bool:
    number = crystal.space_group
    return (
        condition.wyckoff is not None
        and crystal.wyckoff is not None
        and number is not None
        and number == condition.space_group
        and same_letters(crystal.wyckoff, condition.wyckoff, number)
    )


_JUDGES: dict[str, Callable[[Condition, CrystalSummary], bool]] = {
    "formula": _formula,
    "anonymous_formula": _anonymous_formula,
    "chemsys": _chemsys,
    "elements": _elements,
    "space_group": _space_group,
    "num_sites": _num_sites,
    "wyckoff": _wyckoff,
}


_WORDS = {"wyckoff": "set of Wyckoff letters"}


def _meets_property(name: str, wanted: float | Range, value: float | None) -> bool | None:
    if value is None:
        return None
    if isinstance(wanted, Range):
        return wanted.contains(value)
    return meets_value(name, value, wanted)


def _show(value: object) -> str:
    if isinstance(value, Range):
        low = "" if value.min is None else f"at least {value.min:g}"
        high = "" if value.max is None else f"at most {value.max:g}"
        return " and ".join(part for part in (low, high) if part)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    if isinstance(value, Mapping):
        return letters_text(value)
    if value is None:
        return "not known"
    return f"{value:g}" if isinstance(value, float) else str(value)


def with_properties(
    candidate: Candidate,
    values: Mapping[str, float | None],
    versions: Mapping[str, str] | None = None,
) -> Candidate:
    """Give one candidate property values, and judge anew what its condition asks for.

    Parameters
    ----------
    candidate
        A validated candidate; one without a crystal comes back as it is.
    values
        Property → value; None takes out what it was before, as where another model than the one
        before has no value.
    versions
        What the values come from, for ``provenance.versions``.
    """
    summary = _summary(candidate)
    if summary is None:
        return candidate
    changed = candidate.model_copy(deep=True)
    known = {**changed.properties, **values}
    changed.properties = {name: value for name, value in known.items() if value is not None}
    changed.provenance.versions.update(versions or {})
    success = judge(changed.condition, summary, properties=changed.properties)
    changed.success = success
    changed.joint_success = joint_success(success)
    # what is unphysical stays the first reason; only a missed condition comes and goes
    if changed.failure_reason == FailureReason.CONDITION_NOT_MET:
        changed.failure_reason = changed.failure_message = None
    if changed.failure_reason is None:
        note_misses(changed, summary)
    return changed


def note_misses(candidate: Candidate, crystal: CrystalSummary) -> None:
    """Write into a judged candidate what of its condition was missed, if anything was."""
    if candidate.joint_success is not False:
        return
    misses = describe_misses(
        candidate.condition, crystal, candidate.success, properties=candidate.properties
    )
    candidate.failure_reason = FailureReason.CONDITION_NOT_MET
    candidate.failure_message = f"{misses[:1].upper()}{misses[1:]}."


def _summary(candidate: Candidate) -> CrystalSummary | None:
    """Return the facts that the candidate's document already holds."""
    if candidate.structure is None or candidate.formula_pretty is None or not candidate.parsed:
        return None
    letters = None
    if candidate.condition.wyckoff is not None:
        tolerance = candidate.symmetry.symprec or SYMPREC
        letters = find_letters(candidate.structure, candidate.space_group, symprec=tolerance)
    return CrystalSummary(
        formula=candidate.formula_pretty,
        anonymous_formula=candidate.formula_anonymous or "",
        chemsys=candidate.chemsys or "",
        elements=tuple(candidate.elements),
        num_sites=candidate.nsites_primitive or len(candidate.structure),
        density=candidate.density,
        volume=candidate.structure.volume,
        space_group=candidate.space_group,
        space_group_symbol=candidate.space_group_symbol,
        wyckoff=letters,
    )

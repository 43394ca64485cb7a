"""Whether a crystal is the one that was asked for, condition by condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from pymatgen.core import Composition

from crystalicl_jobflow.evaluation.summary import CrystalSummary
from crystalicl_jobflow.evaluation.thresholds import meets_value
from crystalicl_jobflow.schemas import PROPERTIES, Condition, Range


def asked_for(condition: Condition) -> tuple[str, ...]:
    """Return the names of what a condition asks for, as ``Candidate.success`` has them.

    ``formula``, ``anonymous_formula``, ``chemsys``, ``elements``, ``space_group``,
    ``num_sites``, then the properties by name.
    """
    fields = ("formula", "anonymous_formula", "chemsys", "elements", "space_group", "num_sites")
    parts = [name for name in fields if getattr(condition, name) is not None]
    return (*parts, *condition.properties)


def judge(
    condition: Condition,
    crystal: CrystalSummary | None,
    *,
    properties: Mapping[str, float] | None = None,
) -> dict[str, bool | None]:
    """Judge each thing asked for.

    Parameters
    ----------
    condition
        What was asked for.
    crystal
        The crystal's facts; None where the text was no crystal: nothing is met then.
    properties
        Predicted or computed values by name, in the property's unit.

    Returns
    -------
    dict
        Name (see :func:`asked_for`) → met or not; None for a property without a value.

    Notes
    -----
    Formula: equal reduced formulas. Space group: the group found is among those asked.
    Properties: a range by containment, a single value by
    :func:`~crystalicl_jobflow.evaluation.thresholds.meets_value`.
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
    """Return whether everything asked for was met at once.

    One part missed decides: False. Otherwise None if a part could not be judged, or if
    nothing was asked for.
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
    """Return one clause for each part that was missed: what is there, what was asked for."""
    values = properties or {}
    misses = []
    for name, met in success.items():
        if met is not False:
            continue
        words = name.replace("_", " ")
        if name in _JUDGES:
            found, asked = getattr(crystal, name), getattr(condition, name)
        else:
            found, asked = values.get(name), condition.properties[name]
            spec = PROPERTIES.get(name)
            words = spec.phrase if spec is not None else words
        misses.append(f"the {words} is {_show(found)}, asked for was {_show(asked)}")
    return "; ".join(misses)


def _formula(condition: Condition, crystal: CrystalSummary) -> bool:
    # as compositions: formulas have several spellings
    asked = Composition(condition.formula).reduced_composition
    return bool(asked.almost_equals(Composition(crystal.formula).reduced_composition))


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


_JUDGES: dict[str, Callable[[Condition, CrystalSummary], bool]] = {
    "formula": _formula,
    "anonymous_formula": _anonymous_formula,
    "chemsys": _chemsys,
    "elements": _elements,
    "space_group": _space_group,
    "num_sites": _num_sites,
}


def _meets_property(name: str, asked: float | Range, value: float | None) -> bool | None:
    if value is None:
        return None
    if isinstance(asked, Range):
        return asked.contains(value)
    return meets_value(name, value, asked)


def _show(value: object) -> str:
    if isinstance(value, Range):
        low = "" if value.min is None else f"at least {value.min:g}"
        high = "" if value.max is None else f"at most {value.max:g}"
        return " and ".join(part for part in (low, high) if part)
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return f"{value:g}" if isinstance(value, float) else str(value)

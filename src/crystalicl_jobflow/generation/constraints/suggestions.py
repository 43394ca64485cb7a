"""Suggestions of possible conditions close to an impossible one."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.wyckoff_letters import WyckoffLetters, atoms_of, letters_text
from crystalicl_jobflow.generation.constraints.budget import atoms_asked
from crystalicl_jobflow.generation.constraints.options import ConstraintOptions
from crystalicl_jobflow.generation.constraints.plan import Plan
from crystalicl_jobflow.generation.constraints.targets import target_of
from crystalicl_jobflow.schemas import Condition, Range

MOST_SUGGESTED = 5
"""Maximum number of groups or numbers of atoms in a message."""
_REACH = 4  # multiple of the limit on atoms up to which numbers are tried
_FAR = 240  # atoms, beyond which no cell is suggested


def explain(condition: Condition, options: ConstraintOptions) -> tuple[str, list[str]]:
    """Return why a condition is impossible, and similar conditions that are possible.

    Parameters
    ----------
    condition
        A condition for which none of the requested groups is possible.
    options
        Limits.

    Returns
    -------
    message
        One line.
    suggestions
        The nearest requests that are possible, in words; empty where none was found.
    """
    asked = condition.space_groups or ()
    if condition.wyckoff is not None and asked:
        return _explain_letters(condition.wyckoff, asked[0], options), []
    least, most = atoms_asked(condition.num_sites, options.max_atoms)
    what = (
        condition.formula
        or condition.anonymous_formula
        or (condition.chemsys and f"a crystal of {condition.chemsys}")
        or (condition.elements and f"a crystal with {', '.join(condition.elements)}")
        or "a crystal"
    )
    where = f" in space group {_list(asked, 'or')}" if asked else ""
    limits = f"exactly {least}" if least == most else f"at most {most}"
    if condition.num_sites is not None and least != most:
        limits = f"{least} to {most}"
    if least > most:
        limits = f"{least} or more, but at most {options.max_atoms},"
    orbits = f" in {options.max_orbits} orbits or fewer" if options.max_orbits else ""
    message = (
        f"{what} cannot be built{where} with {limits} atom{'s' * (most != 1)}"
        f" in the primitive cell{orbits}"
    )
    suggestions = []
    if asked and least <= most:
        groups = _nearest_groups(_plan(condition, options, least, most), asked)
        if groups:
            suggestions.append(f"space group {_list(groups, 'or')}")
    numbers = _other_atoms(condition, options, asked or tuple(range(1, 231)), least, most)
    if numbers:
        suggestions.append(numbers + (f" in space group {_list(asked, 'or')}" if asked else ""))
    if options.max_orbits and least <= most and not suggestions:
        unlimited = options.model_copy(update={"max_orbits": None})
        plan = _plan(condition, unlimited, least, most)
        if any(plan.is_possible(number) for number in asked or range(1, 231)):
            suggestions.append("no limit on the orbits")
    return message, suggestions


def _explain_letters(letters: WyckoffLetters, number: int, options: ConstraintOptions) -> str:
    """Return why a crystal with these letters is out of the limits."""
    atoms = sum(atoms_of(letters, number).values())
    orbits = sum(map(len, letters.values()))
    found, limit = f"{atoms} atoms in the primitive cell", options.max_atoms
    if atoms <= limit and options.max_orbits is not None:
        found, limit = f"{orbits} orbits", options.max_orbits
    return (
        f"the Wyckoff letters {letters_text(letters)} of space group {number} are {found},"
        f" more than the limit of {limit}"
    )


def _plan(condition: Condition, options: ConstraintOptions, least: int, most: int) -> Plan:
    return Plan(target_of(condition), tuple(range(1, 231)), least, most, options)


def _list(items: Sequence[object], word: str) -> str:
    texts = [str(item) for item in items]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {word} {texts[-1]}"


def _nearest_groups(plan: Plan, asked: Sequence[int]) -> list[int]:
    """Return possible groups, first those of the same crystal system, then by number."""
    systems = {wyckoff.crystal_system(number) for number in asked}

    def distance(number: int) -> tuple[bool, int]:
        same = wyckoff.crystal_system(number) in systems
        return not same, min(abs(number - other) for other in asked)

    found: list[int] = []
    for number in sorted(plan.groups, key=distance):
        if plan.is_possible(number):
            found.append(number)
            if len(found) == MOST_SUGGESTED:
                break
    return found


def _other_atoms(
    condition: Condition, options: ConstraintOptions, groups: Sequence[int], least: int, most: int
) -> str | None:
    """Describe the numbers of atoms that are possible in the requested groups."""

    def can_be(number_of_atoms: int) -> bool:
        plan = _plan(condition, options, number_of_atoms, number_of_atoms)
        return any(plan.is_possible(group) for group in groups)

    highest = min(max(_REACH * options.max_atoms, least), _FAR)
    if condition.num_sites is None or least > most:
        # the condition needs a higher limit
        asked = condition.num_sites
        top = asked.max if isinstance(asked, Range) and asked.max is not None else highest
        order: Sequence[int] = range(max(least, most + 1), int(min(top, highest)) + 1)
        if isinstance(asked, int):
            order = [asked] if asked <= highest else []
        limit = next((n for n in order if can_be(n)), None)
        return None if limit is None else f"a limit of {limit} atoms"
    middle = (least + most) / 2
    order = sorted(range(1, options.max_atoms + 1), key=lambda n: abs(n - middle))
    possible = list(itertools.islice((n for n in order if can_be(n)), MOST_SUGGESTED))
    return f"{_list(sorted(possible), 'or')} atoms" if possible else None

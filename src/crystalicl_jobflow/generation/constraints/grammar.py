"""A constraint as a grammar, for servers that support constrained decoding.

The grammar is in GGML's BNF dialect (GBNF), which xgrammar, llguidance and llama.cpp read. It
covers what a context-free grammar can express in a few hundred rules: the lines, the requested
space groups, angles fixed by the crystal system, the elements that may and must occur, and the
number formats. It cannot express equal lengths, the multiplicities that add up to a formula, or
distances; `finished_text` checks those afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache

import numpy as np

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation.base import RowConstraint
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS
from crystalicl_jobflow.generation.constraints.cell_values import (
    angle_mask,
    angle_values,
    length_values,
)
from crystalicl_jobflow.generation.constraints.constraint import SGSConstraint
from crystalicl_jobflow.generation.constraints.fields import Values
from crystalicl_jobflow.generation.constraints.plan import COORDINATE_VALUES, GROUP_VALUES
from crystalicl_jobflow.generation.constraints.targets import (
    AnonymousTarget,
    FormulaTarget,
    SystemTarget,
    target_of,
)

MOST_REQUIRED = 8
"""Maximum number of elements that are forced to occur: each of them doubles the rules."""


def text_grammar(constraint: RowConstraint, *, opening: str | None = None) -> str | None:
    """Return the grammar of the texts that a constraint allows, and of few others.

    Parameters
    ----------
    constraint
        The constraint of SGS or SGSW texts.
    opening
        Prefix of the first line, where it differs from that of the constraint: empty where the
        answer of a chat starts a new text.

    Returns
    -------
    str or None
        The grammar, its start symbol ``root``; None for other constraints. Every text that
        the constraint allows is in its language.
    """
    if not isinstance(constraint, SGSConstraint):
        return None
    options = constraint.options
    line = literal("\n" + options.line_prefix)
    lengths = _field(length_values(*options.length_bounds))
    rules = {
        "length": lengths,
        "lengths": f'{line} length " " length " " length',
        "coord": _field(COORDINATE_VALUES),
        "xyz": f'{line} coord " " coord " " coord',
    }
    angles = angle_values(*options.angle_bounds)
    systems: dict[tuple[str, ...], list[int]] = {}
    for number in constraint.groups:
        systems.setdefault(_angle_fields(number, angles), []).append(number)
    crystals = []
    for place, (fields, numbers) in enumerate(systems.items()):
        symbols = alternatives(GROUP_VALUES.strings[number - 1] for number in numbers)
        rules[f"cell{place}"] = f"({symbols}) lengths {line} {' '.join(fields)}"
        site = "xyz"
        if constraint.text_format == "sgsw":
            site = f"at{place}"
            rules[site] = f'" " ({alternatives(_positions(numbers))}) xyz'
        name = f"{'sites' if site == 'xyz' else site}-"
        rules |= _site_rules(constraint, name=name, line=line, site=site)
        crystals.append(f"cell{place} {name}0")
    if any("angle" in field for fields in systems for field in fields):
        rules["angle"] = _field(angles)
    start = literal(options.opening if opening is None else opening)
    root = f"{start} ({' | '.join(crystals)})" if len(crystals) > 1 else f"{start} {crystals[0]}"
    return "\n".join(f"{name} ::= {rule}" for name, rule in {"root": root, **rules}.items()) + "\n"


def literal(text: str) -> str:
    """Return a text as a grammar's literal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def alternatives(texts: Iterable[str]) -> str:
    """Return the choice of one of several texts."""
    return " | ".join(literal(text) for text in texts)


@lru_cache(maxsize=64)
def _field(values: Values) -> str:
    """Return a rule for the values of a field; digits with the same continuations are merged."""
    return _spelled(frozenset(values.strings))


@lru_cache(maxsize=4096)
def _spelled(texts: frozenset[str]) -> str:
    """Return an expression for a set of texts over digits and points."""
    following: dict[str, set[str]] = {}
    for text in texts:
        if text:
            following.setdefault(text[0], set()).add(text[1:])
    chars: dict[frozenset[str], list[str]] = {}
    for char, rest in sorted(following.items()):
        chars.setdefault(frozenset(rest), []).append(char)
    choices = [
        " ".join(part for part in (_one_of(first), "" if rest == {""} else _spelled(rest)) if part)
        for rest, first in chars.items()
    ]
    if "" in texts:
        return f"({' | '.join(choices)})?"
    return f"({' | '.join(choices)})" if len(choices) > 1 else choices[0]


def _one_of(chars: Sequence[str]) -> str:
    """Return a choice of characters in ascending order."""
    if len(chars) == 1:
        return literal(chars[0])
    is_range = len(chars) > 2 and ord(chars[-1]) - ord(chars[0]) == len(chars) - 1
    return f"[{chars[0]}-{chars[-1]}]" if is_range else f"[{''.join(chars)}]"


def _angle_fields(number: int, values: Values) -> tuple[str, ...]:
    """Return the angles' line of a group: numbers where its crystal system fixes them."""
    every = np.ones(len(values), dtype=bool)
    right = values.index["90"]
    fields: list[str] = []
    for place in range(3):
        mask = angle_mask(number, 1.0, (right,) * place, values, every, 0.0)
        allowed = np.flatnonzero(mask)
        word = values.strings[allowed[0]]
        separator = ['" "'] if place else []
        fields += [*separator, literal(word) if len(allowed) == 1 else "angle"]
    return tuple(fields)


def _site_rules(constraint: SGSConstraint, *, name: str, line: str, site: str) -> dict[str, str]:
    """Return the rules of the orbits: one for each set of required elements already written."""
    required, allowed = _elements(constraint)
    if len(required) > MOST_REQUIRED:
        required = ()
    others = [element for element in allowed if element not in required]
    rules = {"other": alternatives(others)} if others else {}
    everything = (1 << len(required)) - 1
    for done in range(everything + 1):
        choices = ['""'] if required and done == everything else []
        choices += [
            f"{line} {literal(element)} {site} {name}{done | 1 << bit}"
            for bit, element in enumerate(required)
        ]
        if others:
            after = done if required else "more"
            choices.append(f"{line} (other) {site} {name}{after}")
        rules[f"{name}{done}"] = " | ".join(choices)
    if not required:  # one orbit at least
        rules[f"{name}more"] = f'"" | {rules[f"{name}0"]}'
    return rules


def _elements(constraint: SGSConstraint) -> tuple[tuple[str, ...], Collection[str]]:
    """Return the elements that must occur and those that may."""
    target = target_of(constraint.condition, ELEMENTS)
    if isinstance(target, FormulaTarget):
        names = tuple(target.elements(()))
        return names, names
    assert isinstance(target, AnonymousTarget | SystemTarget)
    return tuple(sorted(target.required)), [name for name in ELEMENTS if name in target.allowed]


def _positions(numbers: Sequence[int]) -> list[str]:
    """Return multiplicity and letter of every Wyckoff position of some groups."""
    return sorted(
        {
            f"{position.multiplicity}{position.letter}"
            for number in numbers
            for position in wyckoff.wyckoff_positions(number)
        }
    )

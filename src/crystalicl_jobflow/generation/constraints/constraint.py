"""Constraints on SGS texts: from a condition to the tokens that each row may write."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.crystal.wyckoff_letters import letters_text
from crystalicl_jobflow.generation.base import GenerationError, TokenVocabulary
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS, atoms_asked
from crystalicl_jobflow.generation.constraints.feasibility import group_sites
from crystalicl_jobflow.generation.constraints.fields import (
    Values,
    VocabularyTables,
    vocabulary_tables,
)
from crystalicl_jobflow.generation.constraints.letter_plan import LetterPlan
from crystalicl_jobflow.generation.constraints.letter_state import LetterState
from crystalicl_jobflow.generation.constraints.options import (
    ConstraintOptions,
    ImpossibleConditionError,
)
from crystalicl_jobflow.generation.constraints.pattern_plan import PatternPlan
from crystalicl_jobflow.generation.constraints.pattern_state import PatternState
from crystalicl_jobflow.generation.constraints.plan import (
    ALPHABET,
    COORDINATE_VALUES,
    ELEMENT_VALUES,
    GROUP_VALUES,
    LETTER_VALUES,
    Plan,
)
from crystalicl_jobflow.generation.constraints.targets import (
    AnonymousTarget,
    FormulaTarget,
    SystemTarget,
    target_of,
)
from crystalicl_jobflow.generation.constraints.text_state import SGSState
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.text.pattern import PatternError, SGSPattern

ALL_GROUPS = tuple(range(1, 231))
CONSTRAINED_FORMATS = ("sgs", "sgsw")
"""Text formats for which there is a constraint."""


@dataclass(frozen=True)
class SGSConstraint:
    """What the SGS texts of one condition must satisfy.

    Made by `build_constraint`; serves any number of rows.

    Attributes
    ----------
    condition
        The requested condition.
    options
        Limits.
    text_format
        ``sgs`` or ``sgsw``.
    groups
        The requested space groups in which the condition is possible.
    pattern
        What is given of the texts; None for nothing.
    """

    condition: Condition
    options: ConstraintOptions
    text_format: str
    groups: tuple[int, ...]
    pattern: SGSPattern | None = None
    _plans: dict[str, Plan] = field(default_factory=dict, repr=False, compare=False)

    def describe(self) -> str:
        """Return the constraint in words, in one line."""
        condition, options = self.condition, self.options
        parts = [f"{self.text_format} syntax"]
        for name, value in (
            ("formula", condition.formula),
            ("anonymous formula", condition.anonymous_formula),
            ("chemical system", condition.chemsys),
            ("elements", condition.elements and ",".join(condition.elements)),
            ("space group", condition.space_groups and ",".join(map(str, condition.space_groups))),
            ("Wyckoff letters", condition.wyckoff and letters_text(condition.wyckoff)),
        ):
            if value:
                parts.append(f"{name} {value}")
        least, most = atoms_asked(condition.num_sites, options.max_atoms)
        parts.append(f"{least} to {most} atoms" if least > 1 else f"at most {most} atoms")
        if options.max_orbits is not None:
            parts.append(f"at most {options.max_orbits} orbits")
        if options.min_distance is not None:
            rule = f"distances of at least {options.min_distance:g} Å"
            if options.radii_fraction is not None:
                rule += f" and {options.radii_fraction:g} of the radii's sum"
            parts.append(rule)
        volume = _volume_per_atom(condition, options)
        if volume:
            parts.append(f"at least {volume:.3g} Å³ per atom")
        if self.pattern is not None:
            parts.append(f"given {' / '.join(self.pattern.format().splitlines())}")
        return "; ".join(parts)

    @property
    def least_tokens(self) -> int:
        """About how many tokens a text has at least, by which batches order their rows."""
        if len(self.groups) != 1:
            return 0
        (number,) = self.groups
        atoms = max(1, self.condition.composition.num_atoms if self.condition.composition else 1)
        return 8 + 4 * math.ceil(atoms / max(group_sites(number).multiplicities))

    def start(self, vocabulary: TokenVocabulary) -> SGSState:
        """Start a row.

        Parameters
        ----------
        vocabulary
            Texts of the token ids; the row's text starts directly after the prompt.

        Raises
        ------
        GenerationError
            If the vocabulary cannot spell such texts.
        """
        tables = vocabulary_tables(vocabulary, self._alphabet)
        plan = self._plans.get(vocabulary.fingerprint)
        if plan is None:
            plan = self._plans[vocabulary.fingerprint] = self._bind(vocabulary)
        if isinstance(plan, PatternPlan):
            return PatternState(plan, tables)
        return LetterState(plan, tables) if isinstance(plan, LetterPlan) else SGSState(plan, tables)

    @property
    def _alphabet(self) -> frozenset[str]:
        return ALPHABET | set(self.options.line_prefix) | set(self.options.opening)

    def _bind(self, vocabulary: TokenVocabulary) -> Plan:
        """Return the plan for a vocabulary, limited to the elements that it can spell."""
        tables = vocabulary_tables(vocabulary, self._alphabet)
        line = "\n" + self.options.line_prefix
        writable = tables.table(ELEMENT_VALUES, line).writable
        spelled = ELEMENTS
        if self.condition.formula is None and not writable.all():
            spelled = tuple(name for name, can in zip(ELEMENTS, writable, strict=True) if can)
        with_letters = self.text_format == "sgsw"
        plan = _plan(
            self.condition,
            self.options,
            self.groups,
            spelled,
            with_letters=with_letters,
            pattern=self.pattern,
        )
        for values, separator, texts in self._needed(plan, tables, line):
            can = tables.table(values, separator).writable
            missing = [text for text in texts if not can[values.index[text]]]
            # several groups: it is enough if some can be written
            if missing and not (values is GROUP_VALUES and len(missing) < len(texts)):
                raise GenerationError(
                    f"the model's vocabulary cannot spell the {values.name} {missing[0]!r}"
                )
        if not tables.table(plan.lengths, line).writable.any():
            raise GenerationError("the model's vocabulary cannot spell any cell length")
        return plan

    def _needed(
        self, plan: Plan, tables: VocabularyTables, line: str
    ) -> Iterator[tuple[Values, str, Collection[str]]]:
        """Yield what a vocabulary must be able to spell: field, separator, values."""
        if isinstance(plan.target, FormulaTarget):
            yield ELEMENT_VALUES, line, plan.target.elements(())
        elif isinstance(plan.target, AnonymousTarget | SystemTarget):
            yield ELEMENT_VALUES, line, plan.target.required
        if self.groups != ALL_GROUPS:
            symbols = [GROUP_VALUES.strings[number - 1] for number in self.groups]
            yield GROUP_VALUES, self.options.opening, symbols
        coordinates = (tables.table(COORDINATE_VALUES, separator) for separator in (line, " "))
        if not all(table.writable.all() for table in coordinates):
            yield COORDINATE_VALUES, line, COORDINATE_VALUES.strings
            yield COORDINATE_VALUES, " ", COORDINATE_VALUES.strings
        yield plan.angles, line, ("90",)
        yield plan.angles, " ", ("90", "120")
        if self.pattern is not None:
            for site in self.pattern.sites:
                if site.elements is not None and len(site.elements) == 1:
                    yield ELEMENT_VALUES, line, site.elements
        if plan.with_letters:
            yield LETTER_VALUES, " ", LETTER_VALUES.strings


def _plan(
    condition: Condition,
    options: ConstraintOptions,
    groups: tuple[int, ...],
    writable: tuple[str, ...] = ELEMENTS,
    *,
    with_letters: bool = False,
    pattern: SGSPattern | None = None,
) -> Plan:
    least, most = atoms_asked(condition.num_sites, options.max_atoms)
    target = target_of(condition, writable)
    volume = _volume_per_atom(condition, options)
    limits = target, groups, least, most, options, with_letters, volume
    if condition.wyckoff is not None:
        if pattern is not None:
            raise PatternError(
                "Wyckoff letters and a given text cannot be asked for together:"
                " write the letters into the text, behind the elements"
            )
        return LetterPlan(*limits, letters=condition.wyckoff)
    return Plan(*limits) if pattern is None else PatternPlan(*limits, pattern=pattern)


def _volume_per_atom(condition: Condition, options: ConstraintOptions) -> float:
    """Return the least cell volume per atom in Å³, 0 for no bound."""
    volume = options.min_volume_per_atom or 0.0
    composition = condition.composition
    if composition is not None and options.min_sphere_volume_ratio is not None:
        spheres = sum(
            4 / 3 * math.pi * atomic_radius(element.symbol) ** 3 * amount
            for element, amount in composition.items()
        )
        volume = max(volume, options.min_sphere_volume_ratio * spheres / composition.num_atoms)
    return volume


def check_feasible(
    condition: Condition,
    options: ConstraintOptions | None = None,
    pattern: SGSPattern | None = None,
) -> tuple[int, ...]:
    """Return the requested space groups in which the condition can be met.

    Parameters
    ----------
    condition
        The condition; its properties are ignored.
    options
        Limits; by default those of `ConstraintOptions`.
    pattern
        What is given of the text.

    Raises
    ------
    ImpossibleConditionError
        If there is none; the message is one line and names the nearest that are possible.
    PatternError
        If it is what is given of the text that makes it impossible.
    """
    options = options or ConstraintOptions()
    if pattern is not None:
        return _feasible_with(pattern, condition, options)
    plan = _plan(condition, options, condition.space_groups or ALL_GROUPS)
    found = tuple(number for number in plan.groups if plan.is_possible(number))
    if not found:
        from crystalicl_jobflow.generation.constraints.suggestions import explain

        raise ImpossibleConditionError(*explain(condition, options))
    return found


def _feasible_with(
    pattern: SGSPattern, condition: Condition, options: ConstraintOptions
) -> tuple[int, ...]:
    """Return the groups in which condition and pattern can be met."""
    asked = set(condition.space_groups or ALL_GROUPS) & set(pattern.groups or ALL_GROUPS)
    if not asked:
        raise PatternError("the given space group is not the one asked for")
    plan = _plan(condition, options, tuple(sorted(asked)), pattern=pattern)
    found = []
    reason: PatternError | None = None
    for number in plan.groups:
        try:
            if plan.is_possible(number):
                found.append(number)
        except PatternError as error:
            reason = reason or error
    if found:
        return tuple(found)
    if reason is not None and len(plan.groups) == 1:
        raise reason
    check_feasible(condition, options)  # where even nothing given would not help
    what = condition.label()
    raise PatternError(
        f"what is given cannot become {what} with at most {plan.most} atoms in the primitive"
        f" cell: {' / '.join(pattern.format().splitlines()[3:]) or 'no orbits'}"
    )


def build_constraint(
    condition: Condition,
    options: ConstraintOptions | None = None,
    text_format: str = "sgs",
    pattern: SGSPattern | None = None,
) -> SGSConstraint | None:
    """Return the constraint under which texts for a condition are written.

    Parameters
    ----------
    condition
        The requested condition.
    options
        Limits; by default those of `ConstraintOptions`.
    text_format
        Name of the text format; there are constraints for SGS and SGSW.
    pattern
        What is given of the texts.

    Returns
    -------
    SGSConstraint or None
        None for formats that have no constraint (XYZ, CIF).

    Raises
    ------
    ImpossibleConditionError
        If no crystal can meet the condition within the limits.
    PatternError
        If it is what is given of the text that makes it impossible.
    """
    if text_format.lower() not in CONSTRAINED_FORMATS:
        return None
    options = options or ConstraintOptions()
    groups = check_feasible(condition, options, pattern)
    return SGSConstraint(condition, options, text_format.lower(), groups, pattern)

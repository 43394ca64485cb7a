"""From a question in a few words to different crystals, the best first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from pymatgen.core import Structure

from crystalicl_jobflow.notebook.crystals import Crystals
from crystalicl_jobflow.pipeline import generate as generate_candidates
from crystalicl_jobflow.schemas import Condition, ConditionError, Strategy
from crystalicl_jobflow.schemas.condition import one_or_many
from crystalicl_jobflow.schemas.diffraction import PowderPattern

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.generation.writing import Writing
    from crystalicl_jobflow.retrieval import DemonstrationIndex

Question = Condition | Mapping[str, Any] | Structure | str
"""A condition, its fields, its JSON text, a formula, or a crystal whose like is asked for."""


class MoreAsked(TypedDict, total=False):
    """What else `generate` takes: the fields of a condition, and a measured pattern."""

    formula: str | None
    anonymous_formula: str | None
    chemsys: str | Sequence[str] | None
    elements: str | Sequence[str] | None
    space_group: int | str | Sequence[int | str] | None
    num_sites: Any
    wyckoff: str | Mapping[str, str | Sequence[str]] | None
    properties: Mapping[str, Any] | None
    xrd: PowderPattern | Mapping[str, Any] | str | Path | None
    wavelength: str | float | None


def generate(
    asked: Question | Sequence[Question] | None = None,
    *,
    samples: int = 8,
    model: TextGenerator | str | None = None,
    pool: DemonstrationIndex | str | None = None,
    strategy: Strategy = "C",
    shots: int = 3,
    seed: int = 0,
    writing: Writing | None = None,
    **fields: Unpack[MoreAsked],
) -> Crystals:
    """Generate crystals: ask by formula, space group, elements or more.

    Parameters
    ----------
    asked
        A formula such as ``"CaTiO3"``, a mapping of a condition's fields, a `Condition`, a crystal
        whose formula and group are asked for, or a list of these; None where the other fields
        say all.
    samples
        Draws per condition. Each different crystal is returned once, with how often it was
        drawn; every draw is in `Crystals.candidates`.
    model
        A loaded model, or what `load_generator` takes; None: the one of the settings.
    pool
        An opened pool, or what `open_pool` takes; None: the prototypes inside pymatgen.
    strategy, shots
        How demonstrations are chosen, and how many a prompt shows (0 to 5).
    seed
        Seed of the demonstrations and the texts.
    writing
        Temperature, text format, constraint and template; the defaults where None.
    **fields
        Further fields of every condition, such as ``space_group=221`` or
        ``elements=["Li", "O"]``, see `Condition`. With ``xrd``, a file of a measured powder
        pattern (or a `PowderPattern`), the crystals are ranked by their similarity to it and get
        a refined cell, `GeneratedCrystal.refined`; ``wavelength`` is a radiation such as 'CuKa',
        or Å. Give a pool, too, so that the likely space groups are tried.

    Returns
    -------
    Crystals
        The different crystals, condition after condition, the best first.

    Raises
    ------
    ConditionError, ImpossibleConditionError
        If a condition makes no sense, or no crystal can meet it under the constraint.
    GenerationError
        If the model cannot be loaded.
    ValueError
        If there is no pattern in the file; one line.

    Examples
    --------
    >>> from crystalicl_jobflow import generate
    >>> crystals = generate("CaTiO3", space_group=221, samples=8)  # doctest: +SKIP
    >>> crystals.structures, crystals[0].times_drawn  # doctest: +SKIP
    >>> crystals = generate("CaTiO3", xrd="pattern.xy", samples=20)  # doctest: +SKIP
    >>> crystals[0].similarity, crystals[0].refined  # doctest: +SKIP
    """
    given: dict[str, Any] = {name: value for name, value in fields.items() if value is not None}
    pattern = _take_pattern(given)
    candidates = generate_candidates(
        read_conditions(asked, **given),
        model=model,
        pool=pool,
        strategy=strategy,
        shots=shots,
        samples=samples,
        seed=seed,
        writing=writing,
    )
    if pattern is not None:
        from crystalicl_jobflow.selection import add_pattern_fits

        candidates = add_pattern_fits(candidates, pattern)
    return Crystals.from_candidates(candidates, pattern=pattern)


def _take_pattern(given: dict[str, Any]) -> PowderPattern | None:
    """Read the measured pattern among what is asked for, and take it out."""
    source, wavelength = given.pop("xrd", None), given.pop("wavelength", None)
    if source is None and wavelength is None:
        return None
    from crystalicl_jobflow.comparison.diffraction import measured_pattern

    return measured_pattern(source, wavelength)


def read_conditions(asked: Question | Sequence[Question] | None, **fields: Any) -> list[Condition]:
    """Read conditions as people write them.

    Parameters
    ----------
    asked
        See `generate`.
    **fields
        Fields that every condition gets.

    Raises
    ------
    ConditionError
        If a condition makes no sense, or a field is given twice; one line.
    """
    return [_condition(item, fields) for item in one_or_many(asked)]


def _condition(asked: Any, fields: Mapping[str, Any]) -> Condition:
    if isinstance(asked, Condition):
        given = {name: getattr(asked, name) for name in asked.model_fields_set}
    elif asked is None:
        given = {}
    elif isinstance(asked, Mapping):
        given = dict(asked)
    else:
        parsed = Condition.parse(asked)
        given = {name: getattr(parsed, name) for name in parsed.model_fields_set}
    twice = sorted(given.keys() & fields.keys())
    if twice:
        raise ConditionError(f"{twice[0]} is given twice: {given[twice[0]]} and {fields[twice[0]]}")
    return Condition.parse({**given, **fields})

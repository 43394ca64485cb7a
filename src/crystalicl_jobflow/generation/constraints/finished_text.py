"""Checks of finished texts against a constraint, for engines that do not let tokens be chosen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.wyckoff_letters import same_letters
from crystalicl_jobflow.generation.base import (
    AcceptText,
    GenerationRequest,
    RowConstraint,
    TokenVocabulary,
)
from crystalicl_jobflow.generation.constraints.cell_values import angle_values, length_values
from crystalicl_jobflow.generation.constraints.constraint import SGSConstraint
from crystalicl_jobflow.generation.constraints.plan import (
    COORDINATE_VALUES,
    ELEMENT_VALUES,
    GROUP_VALUES,
)
from crystalicl_jobflow.schemas import Condition, FailureReason
from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.text.alignment import with_positions
from crystalicl_jobflow.text.asymmetric_unit import SGSCrystal

_END = 0


@dataclass(frozen=True)
class TextCheck:
    """Check of finished texts against one constraint.

    A text is read, rewritten as its crystal's canonical lines, and checked by the same constraint
    that other engines apply token by token. Words before and after the crystal, blanks and a
    missing ``### `` do not matter; formula, group, number of atoms and distances do.

    Parameters
    ----------
    constraint
        The constraint, of SGS or SGSW texts.
    """

    constraint: SGSConstraint

    def __call__(self, text: str) -> FailureReason | None:
        """Return why a text violates the constraint; None where it does not.

        Returns
        -------
        FailureReason or None
            The reader's reason if the text is not a crystal, ``condition_not_met`` for another
            composition, group, cell or number of atoms, ``atoms_overlap`` for atoms that are too
            close.
        """
        from crystalicl_jobflow.crystal import wyckoff
        from crystalicl_jobflow.text import SGS, TextError

        try:
            crystal = SGS.parse(text)
        except TextError as error:
            return error.reason
        number = crystal.space_group_number
        if not self._has_letters(crystal):
            return FailureReason.CONDITION_NOT_MET
        lengths, angles = wyckoff.constrain_lattice(crystal.lengths, crystal.angles, number)
        lines = SGS.format(replace(crystal, lengths=lengths, angles=angles)).split("\n")
        words, index = _words(self._plain.options.length_bounds, self._plain.options.angle_bounds)
        state = self._plain.start(words)
        for place, line in enumerate(lines):
            for word in _split(line, is_first=place == 0):
                token = index.get(word)
                if token is None or token not in state.allowed():
                    return FailureReason.CONDITION_NOT_MET
                if not state.advance(token):
                    return FailureReason.ATOMS_OVERLAP
        if not state.may_end:
            return FailureReason.CONDITION_NOT_MET
        return FailureReason.ATOMS_OVERLAP if state.relaxed else None

    def _has_letters(self, crystal: SGSCrystal) -> bool:
        """Return whether the orbits lie on the positions asked for, if any are."""
        asked = self.constraint.condition.wyckoff
        if asked is None:
            return True
        placed = with_positions(crystal)
        found = None if placed is None else placed.wyckoff
        return (
            found is not None
            and crystal.space_group_number in self.constraint.groups
            and same_letters(found, asked, crystal.space_group_number)
        )

    @cached_property
    def _plain(self) -> SGSConstraint:
        """The constraint for plain lines; letters follow from the coordinates."""
        options = self.constraint.options.model_copy(update={"line_prefix": "", "text_prefix": ""})
        condition = self.constraint.condition.model_copy(update={"wyckoff": None})
        return replace(
            self.constraint, condition=condition, options=options, text_format="sgs", _plans={}
        )


def text_check(constraint: RowConstraint) -> TextCheck | None:
    """Return the check of finished texts, or None where a constraint works on tokens only."""
    return TextCheck(constraint) if isinstance(constraint, SGSConstraint) else None


def _split(line: str, *, is_first: bool) -> list[str]:
    first, *rest = line.split(" ")
    return [first if is_first else f"\n{first}", *(f" {word}" for word in rest)]


@lru_cache(maxsize=8)
def _words(
    length_bounds: tuple[float, float], angle_bounds: tuple[int, int]
) -> tuple[TokenVocabulary, dict[str, int]]:
    """Return a vocabulary in which every field of a text is one token, and its index."""
    strings = ["", *GROUP_VALUES.strings, *(f"\n{name}" for name in ELEMENT_VALUES.strings)]
    for values in (length_values(*length_bounds), angle_values(*angle_bounds), COORDINATE_VALUES):
        strings += [f"\n{text}" for text in values.strings] + [
            f" {text}" for text in values.strings
        ]
    strings = list(dict.fromkeys(strings))
    vocabulary = TokenVocabulary(strings, (_END,))
    return vocabulary, {text: token for token, text in enumerate(strings) if text}


def symmetry_accept(
    condition: Condition, *, symprec: float | None = None, text_format: str = "sgs"
) -> AcceptText:
    """Return a check that rejects texts whose crystals do not have the requested symmetry.

    A constraint ensures at least the symmetry that the text declares. It cannot detect that
    coordinates and cell happen to be more symmetric.

    Parameters
    ----------
    condition
        The condition; if it names no group, the one that the text declares counts.
    symprec
        Tolerance in Å of the symmetry search; by default that of the settings.
    text_format
        ``sgs`` or ``sgsw``.
    """
    from crystalicl_jobflow.text import SGS, SGSW, TextError

    form = SGSW if text_format.lower() == "sgsw" else SGS
    tolerance = SETTINGS.SYMPREC if symprec is None else symprec

    def accept(text: str, _request: GenerationRequest) -> FailureReason | None:
        try:
            crystal = form.parse(text)
            structure = form.build(crystal)
        except TextError as error:
            return error.reason
        found = _found_group(structure, tolerance)
        if found is None:
            return FailureReason.SYMMETRY_NOT_FOUND
        asked = condition.space_groups or (crystal.space_group_number,)
        return None if found in asked else FailureReason.SYMMETRY_DIFFERS

    return accept


def _found_group(structure: Structure, symprec: float) -> int | None:
    """Return the space-group number as pymatgen's ``SpacegroupAnalyzer`` finds it."""
    from crystalicl_jobflow.crystal.symmetry import structure_dataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dataset = structure_dataset(structure, symprec=symprec)
    return None if dataset is None else int(dataset.number)

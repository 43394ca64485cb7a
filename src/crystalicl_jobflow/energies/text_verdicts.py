"""What the texts of a search are worth: whether each is a valid crystal, and its energy."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.structure_hash import structure_hash
from crystalicl_jobflow.energies.energy_model import EnergyModel
from crystalicl_jobflow.energies.loading import load_energy_model
from crystalicl_jobflow.energies.references import ElementalReferences, load_references
from crystalicl_jobflow.energies.volume_scan import best_energies
from crystalicl_jobflow.generation.search.rewards import Verdict
from crystalicl_jobflow.schemas import Completion, Condition, TreeSearch
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.validation.checks import validate_structure
from crystalicl_jobflow.validation.reading import read_text
from crystalicl_jobflow.validation.success import joint_success, judge

if TYPE_CHECKING:
    from maggma.core import Store

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Looked:
    """A text that was looked at: its crystal where that is valid."""

    verdict: Verdict
    structure: Structure | None = None


class TextJudge:
    """Judges the texts of a search; each different text, and each different crystal, once.

    A text is valid if its crystal passes all checks and meets everything asked for that can be
    judged without a predicted property. Its cost is the formation energy per atom (eV) by the
    potential of the search, or the energy per atom where an element has no reference; without
    a potential, minus the logarithm of the text's probability.

    Parameters
    ----------
    conditions
        Condition of each request.
    settings
        Settings of the search, with the name of the potential.
    text_format
        Format of the texts.
    model
        A loaded potential instead of the named one.
    cache
        File (``.sqlite``) or store where energies are kept by structure hash; None for none
        beyond this judge.

    Raises
    ------
    ValueError
        If there is no such potential; one line.
    ImportError
        If it needs a package that is missing, with what to install.
    """

    def __init__(
        self,
        conditions: Sequence[Condition],
        settings: TreeSearch,
        *,
        text_format: str = "sgs",
        model: EnergyModel | None = None,
        cache: Store | str | None = None,
    ) -> None:
        self._conditions = list(conditions)
        self._settings = settings
        self._format = text_format
        self._cache: Any = cache
        if model is None and settings.energy is not None:
            model = load_energy_model(settings.energy)
        self._model = model
        self._references = None if model is None else _references(model)
        self._texts: dict[tuple[int, str, bool], _Looked] = {}
        self._energies: dict[str, float | None] = {}

    def __call__(self, texts: Sequence[tuple[int, Completion]]) -> list[Verdict]:
        """Judge texts, each given with the index of its request, in order."""
        looked = [self._look(place, completion) for place, completion in texts]
        if self._model is None:
            return [
                replace(item.verdict, cost=None if text.log_prob is None else -text.log_prob)
                for item, (_, text) in zip(looked, texts, strict=True)
            ]
        energies = iter(
            self.energies([item.structure for item in looked if item.structure is not None])
        )
        return [
            item.verdict
            if item.structure is None
            else self._with_energy(item.verdict, item.structure, next(energies))
            for item in looked
        ]

    def energies(self, structures: Sequence[Structure]) -> list[float | None]:
        """Return the cost of crystals: formation energies per atom in eV, see above.

        Raises
        ------
        ValueError
            If the search has no potential.
        """
        if self._model is None:
            raise ValueError("the search has no potential")
        names = [structure_hash(item) for item in structures]
        new = dict(zip(names, structures, strict=True))
        for name in self._energies.keys() & new.keys():
            del new[name]
        found = best_energies(
            list(new.values()), self._model, relaxed=self._settings.relaxed, cache=self._cache
        )
        for (name, structure), energy in zip(new.items(), found, strict=True):
            self._energies[name] = self._of_formation(structure, energy.energy_per_atom)
        return [self._energies[name] for name in names]

    def _look(self, place: int, completion: Completion) -> _Looked:
        key = (place, completion.text, completion.finished)
        if key not in self._texts:
            self._texts[key] = self._read(self._conditions[place], completion)
        return self._texts[key]

    def _read(self, condition: Condition, completion: Completion) -> _Looked:
        if completion.error is not None:
            return _Looked(Verdict(is_crystal=False, is_valid=False))
        try:
            structure, declared, _ = read_text(
                completion.text, self._format, finished=completion.finished
            )
            if structure is None:
                return _Looked(Verdict(is_crystal=False, is_valid=False))
            report = validate_structure(
                structure, condition=condition, declared_space_group=declared
            )
            met = joint_success(judge(condition, report.summary)) is not False
        except Exception as error:  # one text must not end the search
            logger.warning("a text was not judged: %s: %s", type(error).__name__, first_line(error))
            return _Looked(Verdict(is_crystal=False, is_valid=False))
        valid = report.valid and met
        return _Looked(Verdict(is_crystal=True, is_valid=valid), structure if valid else None)

    def _with_energy(self, verdict: Verdict, structure: Structure, energy: float | None) -> Verdict:
        """Return a verdict with an energy, and what gave it."""
        assert self._model is not None
        if energy is None:
            return verdict
        name = f"{self._model.name} {self._model.version}"
        references = self._references
        if references is not None and not references.missing(structure.composition):
            name = references.label
        return replace(verdict, cost=energy, energy_model=name)

    def _of_formation(self, structure: Structure, energy: float | None) -> float | None:
        """Return the formation energy, or the energy where an element has no reference."""
        composition = structure.composition
        if energy is None or self._references is None or self._references.missing(composition):
            return energy
        return self._references.formation_energy(composition, energy)


def search_judge(
    conditions: Sequence[Condition],
    settings: TreeSearch | None,
    *,
    text_format: str = "sgs",
    cache: Store | str | None = None,
) -> TextJudge | None:
    """Return the judge of a search; None where there is no search.

    Parameters
    ----------
    conditions, settings, text_format, cache
        See `TextJudge`.
    """
    if settings is None:
        return None
    return TextJudge(conditions, settings, text_format=text_format, cache=cache)


def _references(model: EnergyModel) -> ElementalReferences | None:
    try:
        return load_references(model)
    except (ValueError, ImportError):
        return None

"""An energy model that keeps what it computed, so that a killed evaluation goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from monty.json import MontyEncoder
from pymatgen.core import Structure

from crystalicl_jobflow.comparison.fingerprint_cache import open_fingerprint_cache
from crystalicl_jobflow.crystal.structure_documents import (
    structure_as_dict,
    structure_from_dict,
)
from crystalicl_jobflow.crystal.structure_hash import structure_hash
from crystalicl_jobflow.energies.energy_model import (
    MAX_FORCE,
    MAX_STEPS,
    Energy,
    EnergyFailure,
    EnergyModel,
    Relaxation,
)
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from maggma.core import Store

    from crystalicl_jobflow.comparison.fingerprint_cache import FingerprintCache

ENERGIES_FILE = "energies.sqlite"
"""File of a run's or an evaluation's folder that keeps energies: a killed one goes on."""

ENERGIES_AT_ONCE = 64
"""Energies between two savings: a few batches of a potential."""

_METHOD = 1
"""Raised where results come out otherwise, so that older ones are not read."""

AnswerT = TypeVar("AnswerT", Energy, Relaxation)


class KeptEnergies:
    """A model of energies whose results are read where they are known, and kept where not.

    Parameters
    ----------
    model
        The potential.
    cache
        Where results are kept by structure hash, see
        :func:`~crystalicl_jobflow.comparison.fingerprint_cache.open_fingerprint_cache`; those
        of other models, versions and limits are not seen.

    Notes
    -----
    A result is written as soon as it is there: relaxations one by one. That a model failed for a
    crystal is kept, too, but for errors that it raised, which may be those of the machine.
    """

    def __init__(self, model: EnergyModel, cache: FingerprintCache | Store | str) -> None:
        self._model = model
        self._cache = cache

    @property
    def name(self) -> str:
        """That of the model."""
        return self._model.name

    @property
    def version(self) -> str:
        """That of the model."""
        return self._model.version

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages whose versions belong to its results."""
        return tuple(getattr(self._model, "packages", ()))

    def energies(
        self, structures: Sequence[Structure | None], *, progress: Progress | None = None
    ) -> list[Energy]:
        """Return the energy of each crystal as it is, see `EnergyModel.energies`."""
        return self._answers(
            structures,
            "as it is",
            self._model.energies,
            lambda document: Energy(**document),
            at_once=ENERGIES_AT_ONCE,
            progress=progress,
        )

    def relax(
        self,
        structures: Sequence[Structure | None],
        *,
        fmax: float = MAX_FORCE,
        max_steps: int = MAX_STEPS,
        progress: Progress | None = None,
    ) -> list[Relaxation]:
        """Relax each crystal, see `EnergyModel.relax`."""
        return self._answers(
            structures,
            f"relaxed to {fmax:g} eV/Å in {max_steps} steps",
            lambda some: self._model.relax(some, fmax=fmax, max_steps=max_steps),
            _relaxation,
            at_once=1,
            progress=progress,
        )

    def _answers(
        self,
        structures: Sequence[Structure | None],
        what: str,
        compute: Callable[[Sequence[Structure | None]], list[AnswerT]],
        read: Callable[[dict[str, Any]], AnswerT],
        *,
        at_once: int,
        progress: Progress | None,
    ) -> list[AnswerT]:
        names = ["" if item is None else structure_hash(item) for item in structures]
        first: dict[str, int] = {}
        for place, name in enumerate(names):
            first.setdefault(name, place)
        kind = f"{what} {_METHOD} {self.name} {self.version}"
        with open_fingerprint_cache(self._cache, kind=kind) as kept:
            assert kept is not None
            found = kept.get_many([name for name in first if name])
            known = {
                name: read(_document(json.loads(text)))
                for name, text in found.items()
                if isinstance(text, str)
            }
            missing = [name for name in first if name not in known]
            for start in range(0, len(missing), at_once):
                part = missing[start : start + at_once]
                fresh = dict(
                    zip(part, compute([structures[first[name]] for name in part]), strict=True)
                )
                known |= fresh
                kept.put_many(
                    {
                        name: json.dumps(_plain(answer), cls=MontyEncoder)
                        for name, answer in fresh.items()
                        if name and answer.failure is not EnergyFailure.MODEL_FAILED
                    }
                )
                if progress is not None:
                    progress(len(structures) - len(missing) + start + len(part), len(structures))
        return [known[name] for name in names]


def _plain(answer: Energy | Relaxation) -> dict[str, Any]:
    document = {item.name: getattr(answer, item.name) for item in fields(answer)}
    if document.get("structure") is not None:
        document["structure"] = structure_as_dict(document["structure"])
    return document


def _document(document: Mapping[str, Any]) -> dict[str, Any]:
    failure = document["failure"]
    return {**document, "failure": None if failure is None else EnergyFailure(failure)}


def _relaxation(document: dict[str, Any]) -> Relaxation:
    structure = document["structure"]
    return Relaxation(
        **{**document, "structure": None if structure is None else structure_from_dict(structure)}
    )

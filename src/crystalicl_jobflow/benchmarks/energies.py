"""Predicted properties beside the known ones of a data set."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pymatgen.core import Structure

    from crystalicl_jobflow.energies import Energy, EnergyModel, PropertyPredictor, Relaxation
    from crystalicl_jobflow.utils.progress import Progress


class _Once:
    """An energy model that is asked once about the same crystals, whatever the references."""

    def __init__(self, model: EnergyModel) -> None:
        self.model = model
        self.name, self.version = model.name, model.version
        self.last: tuple[Sequence[Structure | None], list[Energy]] | None = None

    def energies(
        self, structures: Sequence[Structure | None], *, progress: Progress | None = None
    ) -> list[Energy]:
        """Return what the model answered the last time, if it was asked the same."""
        if self.last is None or self.last[0] is not structures:
            self.last = (structures, self.model.energies(structures, progress=progress))
        return self.last[1]

    def relax(
        self,
        structures: Sequence[Structure | None],
        *,
        fmax: float = 0.1,
        max_steps: int = 500,
        progress: Progress | None = None,
    ) -> list[Relaxation]:
        """Relax with the model."""
        return self.model.relax(structures, fmax=fmax, max_steps=max_steps, progress=progress)


def compared_predictors(
    name: str, predictors: Sequence[str], references: Sequence[str]
) -> list[PropertyPredictor]:
    """Return the predictors to compare, one for each set of elemental references.

    Parameters
    ----------
    name
        Name of the property.
    predictors
        Names as in `load_predictor`; none for the property's first one.
    references
        Names as in `load_references`, for predictors that are energy models.

    Raises
    ------
    ValueError
        If references are named and no predictor is an energy model.
    """
    from crystalicl_jobflow.energies import load_predictor, load_references
    from crystalicl_jobflow.energies.predictors import FormationEnergyPredictor

    found: list[PropertyPredictor] = []
    energetic = False
    for predictor in predictors or (None,):
        loaded = load_predictor(name, predictor)
        if references and isinstance(loaded, FormationEnergyPredictor):
            energetic = True
            model = _Once(loaded.model)
            found += [
                FormationEnergyPredictor(model, load_references(model, kind)) for kind in references
            ]
        else:
            found.append(loaded)
    if references and not energetic:
        names = ", ".join(item.name for item in found)
        raise ValueError(f"--references belong to an energy model, not to {names} of {name}")
    return found

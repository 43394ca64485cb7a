"""A relaxation Maker of atomate2 with any of this package's energy models."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from atomate2.forcefields.jobs import ForceFieldRelaxMaker

from crystalicl_jobflow.energies.loading import TENSORNET, ase_calculator


@dataclass
class PotentialRelaxMaker(ForceFieldRelaxMaker):
    """Relax a crystal with a potential by its name here, or from a folder.

    Its results are called after the potential, so that a
    :class:`~crystalicl_jobflow.jobs.RelaxMaker` finds the same one for the known crystals of
    the convex hull.

    Parameters
    ----------
    potential
        As in :func:`~crystalicl_jobflow.energies.load_energy_model`: ``tensornet-matpes``,
        ``matcalc:NAME`` or ``matcalc:FOLDER``, ``chgnet:r2scan``.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import RelaxMaker
    >>> from crystalicl_jobflow.jobs.potential import PotentialRelaxMaker
    >>> RelaxMaker(PotentialRelaxMaker(potential="tensornet-matpes")).name
    'start forcefield'
    """

    potential: str = TENSORNET
    name: str = "potential relax"

    @property
    def ase_calculator_name(self) -> str:
        """Name of the potential in the results."""
        return self.potential

    def _get_calculator(self) -> Any:
        return ase_calculator(self.potential)

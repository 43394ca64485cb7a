"""Any potential that matcalc knows by name, or any calculator of ASE."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.energies.ase_relax import relax_each
from crystalicl_jobflow.energies.energy_model import (
    MAX_FORCE,
    MAX_STEPS,
    Energy,
    Relaxation,
    checked_energy,
    raised,
    refusal,
)
from crystalicl_jobflow.utils.messages import one_line
from crystalicl_jobflow.utils.progress import Progress


class MatcalcModel:
    """A calculator of ASE as an energy model, see :meth:`load`.

    Parameters
    ----------
    calculator
        With energy, forces and stress.
    name, version
        What it is called in results.
    """

    def __init__(self, calculator: Any, *, name: str, version: str) -> None:
        self.calculator = calculator
        self.name = name
        self.version = version

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages whose versions belong to its results: ase, and that of the calculator."""
        module = type(self.calculator).__module__.partition(".")[0]
        return "ase", *packages_distributions().get(module, ())

    @classmethod
    def load(cls, name: str) -> MatcalcModel:
        """Load a potential by matcalc's name, e.g. ``TensorNet-MatPES-PBE-2025.2``.

        Raises
        ------
        ImportError
            If matcalc, or the package of this potential, is missing.
        ValueError
            If matcalc has no such potential, or its weights cannot be fetched; one line.
        """
        try:
            import matcalc
        except ImportError:
            raise ImportError(
                f'{name} needs matcalc: pip install "crystalicl-jobflow[matcalc]"'
            ) from None
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                calculator = matcalc.load_fp(name)
        except ImportError as error:
            raise ImportError(f"{name}: {one_line(error, limit=300)}") from None
        except Exception as error:
            # providers raise whatever their downloads do
            raise ValueError(
                f"matcalc cannot load {name!r}: {one_line(error, limit=300)}"
            ) from None
        return cls(calculator, name=f"matcalc:{name}", version=f"matcalc {matcalc.__version__}")

    def energies(
        self, structures: Sequence[Structure | None], *, progress: Progress | None = None
    ) -> list[Energy]:
        """Return the energies one after the other, see `EnergyModel.energies`."""
        answers = []
        for number, structure in enumerate(structures, start=1):
            answers.append(self._energy(structure))
            if progress is not None:
                progress(number, len(structures))
        return answers

    def relax(
        self,
        structures: Sequence[Structure | None],
        *,
        fmax: float = MAX_FORCE,
        max_steps: int = MAX_STEPS,
        progress: Progress | None = None,
    ) -> list[Relaxation]:
        """Relax the crystals one after the other, see `EnergyModel.relax`.

        Parameters
        ----------
        structures
            Crystals; None where there is none.
        fmax
            Largest force in eV/Å at which a relaxation has converged.
        max_steps
            Most steps of each relaxation.
        progress
            Called with (done, of).
        """
        return relax_each(
            structures,
            lambda: self.calculator,
            refuse=refusal,
            fmax=fmax,
            max_steps=max_steps,
            progress=progress,
        )

    def _energy(self, structure: Structure | None) -> Energy:
        from pymatgen.io.ase import AseAtomsAdaptor

        refused = refusal(structure)
        if refused is not None or structure is None:
            assert refused is not None
            return refused
        try:
            atoms: Any = AseAtomsAdaptor.get_atoms(structure)
            atoms.calc = self.calculator
            with contextlib.redirect_stdout(io.StringIO()):
                return checked_energy(float(atoms.get_potential_energy()) / len(atoms))
        except Exception as error:
            return raised(error)

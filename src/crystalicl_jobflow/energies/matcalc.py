"""Any potential that matcalc knows by name, saved models of matgl, any calculator of ASE."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from importlib.metadata import packages_distributions
from pathlib import Path
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
)
from crystalicl_jobflow.energies.matgl_models import (
    ISOLATED,
    cutoff_of,
    is_saved,
    known_elements,
    load_saved,
    refused,
)
from crystalicl_jobflow.utils.messages import one_line
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.utils.torch_runtime import torch_threads


class MatcalcModel:
    """A calculator of ASE as an energy model, see :meth:`load`.

    Parameters
    ----------
    calculator
        With energy, forces and stress.
    name, version
        What it is called in results.
    elements
        What it knows; empty for not known.
    cutoff
        Within how many Å every atom needs a neighbour; None for no such limit.
    threads
        Torch threads while it works; None leaves torch's own choice.
    """

    def __init__(
        self,
        calculator: Any,
        *,
        name: str,
        version: str,
        elements: frozenset[str] = frozenset(),
        cutoff: float | None = None,
        threads: int | None = None,
    ) -> None:
        self.calculator = calculator
        self.name = name
        self.version = version
        self.elements = elements
        self.cutoff = cutoff
        self.threads = threads

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages whose versions belong to its results: ase, and that of the calculator."""
        module = type(self.calculator).__module__.partition(".")[0]
        return "ase", *packages_distributions().get(module, ())

    @classmethod
    def load(cls, name: str) -> MatcalcModel:
        """Load a potential by matcalc's name, e.g. ``TensorNet-MatPES-PBE-2025.2``, or a folder.

        Parameters
        ----------
        name
            Name, or folder of a potential that matgl has saved.

        Raises
        ------
        ImportError
            If matcalc, or the package of this potential, is missing.
        ValueError
            If matcalc has no such potential, or its weights cannot be fetched; one line.
        """
        if is_saved(name) or Path(name).is_dir():
            return cls.load_folder(name)
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

    @classmethod
    def load_folder(cls, folder: str | Path, *, name: str | None = None) -> MatcalcModel:
        """Load a potential that matgl has saved, with the calculator that matcalc gives it.

        matcalc itself is not imported: that asks the hub for its list of models.

        Parameters
        ----------
        folder
            The folder.
        name
            What it is called in results; None for ``matcalc:`` and the folder's name.

        Raises
        ------
        ImportError
            If matgl is missing, with what to install.
        ValueError
            If the folder holds no potential; one line.
        """
        saved = load_saved(folder)
        from matgl.ext.ase import PESCalculator

        try:
            calculator = PESCalculator(potential=saved.model, stress_unit="eV/A3")
        except AttributeError:
            raise ValueError(
                f"{saved.name} is no potential but a {type(saved.model).__name__}"
            ) from None
        return cls(
            calculator,
            name=name or f"matcalc:{saved.name}",
            version=saved.version,
            elements=known_elements(saved.model),
            cutoff=max(ISOLATED, cutoff_of(saved.model) or 0.0),
            threads=1,
        )

    def energies(
        self, structures: Sequence[Structure | None], *, progress: Progress | None = None
    ) -> list[Energy]:
        """Return the energies one after the other, see `EnergyModel.energies`."""
        answers = []
        with torch_threads(self.threads):
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
        with torch_threads(self.threads):
            return relax_each(
                structures,
                lambda: self.calculator,
                refuse=self._refused,
                fmax=fmax,
                max_steps=max_steps,
                progress=progress,
            )

    def _refused(self, structure: Structure | None) -> Energy | None:
        return refused(structure, elements=self.elements, cutoff=self.cutoff)

    def _energy(self, structure: Structure | None) -> Energy:
        from pymatgen.io.ase import AseAtomsAdaptor

        no = self._refused(structure)
        if no is not None or structure is None:
            assert no is not None
            return no
        try:
            atoms: Any = AseAtomsAdaptor.get_atoms(structure)
            atoms.calc = self.calculator
            with contextlib.redirect_stdout(io.StringIO()):
                return checked_energy(float(atoms.get_potential_energy()) / len(atoms))
        except Exception as error:
            return raised(error)

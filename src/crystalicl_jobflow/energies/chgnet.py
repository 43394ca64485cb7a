"""CHGNet (Deng et al., Nature Machine Intelligence 2023), from its wheel and offline."""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.energies.ase_relax import relax_each
from crystalicl_jobflow.energies.energy_model import (
    MAX_FORCE,
    MAX_STEPS,
    Energy,
    EnergyFailure,
    Relaxation,
    checked_energy,
    raised,
    refusal,
)
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.utils.torch_runtime import torch_threads

MAX_ATOMIC_NUMBER = 94
"""CHGNet has embeddings for H to Pu."""

MAX_GRAPH_SIZE = 200_000
"""Bonds and angles of the crystals that are evaluated together, at most; some 3 kB of memory each,
so that a batch stays below a gigabyte. A single crystal may have more."""

VERSIONS = ("0.3.0", "0.2.0", "r2scan")
"""Weights in the wheel of chgnet 0.4; ``0.3.0`` is its default, trained on MPtrj."""


class CHGNetModel:
    """CHGNet as an :class:`~crystalicl_jobflow.energies.EnergyModel`.

    Its energies are on the scale of the Materials Project's ``PBE`` and ``PBE + U`` energies
    *with* the corrections ``MaterialsProject2020Compatibility``, which is what MPtrj holds:
    compounds of oxygen, of the other corrected anions and of the corrected transition
    metals are shifted, elements are not. Formation energies therefore need elements on the
    uncorrected scale, see :mod:`crystalicl_jobflow.energies.references`.

    Parameters
    ----------
    version
        Weights, one of :data:`VERSIONS`.
    device
        Torch device.
    batch_size
        Crystals evaluated at once.
    threads
        Torch threads while the model works. With more than one, its many small operations
        run fifty times slower on a busy machine.

    Raises
    ------
    ImportError
        If chgnet is missing, with what to install.
    ValueError
        If there are no such weights.
    """

    name = "chgnet"
    packages = ("chgnet", "ase")
    """Packages whose versions belong to its results; ase relaxes."""

    def __init__(
        self,
        *,
        version: str = "0.3.0",
        device: str = "cpu",
        batch_size: int = 32,
        threads: int = 1,
    ) -> None:
        if version not in VERSIONS:
            raise ValueError(f"chgnet has weights {', '.join(VERSIONS)}, not {version!r}")
        try:
            import chgnet.model  # noqa: F401
        except ImportError:
            raise ImportError(
                'CHGNet needs chgnet: pip install "crystalicl-jobflow[forcefields]"'
            ) from None
        self.version = version
        self.device = device
        self.batch_size = batch_size
        self.threads = threads

    @cached_property
    def network(self) -> Any:
        """The network, loaded when it is first needed."""
        from chgnet.model import CHGNet

        with contextlib.redirect_stdout(io.StringIO()):
            network = CHGNet.load(model_name=self.version, use_device=self.device, verbose=False)
        network.graph_converter.set_isolated_atom_response("error")
        return network

    @cached_property
    def calculator(self) -> Any:
        """The ASE calculator over the network."""
        from chgnet.model import CHGNetCalculator

        with contextlib.redirect_stdout(io.StringIO()):
            return CHGNetCalculator(self.network, use_device=self.device, on_isolated_atoms="error")

    def energies(
        self, structures: Sequence[Structure | None], *, progress: Progress | None = None
    ) -> list[Energy]:
        """Return the energies in batches, see `EnergyModel.energies`."""
        answers: list[Energy | None] = [None] * len(structures)
        graphs: dict[int, Any] = {}

        def evaluate(done: int) -> None:
            for place, energy in self._evaluate(graphs).items():
                answers[place] = energy
            graphs.clear()
            if progress is not None:
                progress(done, len(structures))

        with self._quiet():
            size = 0
            for place, structure in enumerate(structures):
                graph = self._graph(structure)
                if isinstance(graph, Energy):
                    answers[place] = graph
                else:
                    added = len(graph.atom_graph) + len(graph.bond_graph)
                    if graphs and size + added > MAX_GRAPH_SIZE:
                        evaluate(place)
                        size = 0
                    graphs[place] = graph
                    size += added
                if (place + 1) % self.batch_size == 0 or place + 1 == len(structures):
                    evaluate(place + 1)
                    size = 0
        return [answer for answer in answers if answer is not None]

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
        with self._quiet():
            return relax_each(
                structures,
                lambda: self.calculator,
                refuse=self._refuse,
                fmax=fmax,
                max_steps=max_steps,
                progress=progress,
            )

    def _refuse(self, structure: Structure | None) -> Energy | None:
        graph = self._graph(structure)
        return graph if isinstance(graph, Energy) else None

    def _graph(self, structure: Structure | None) -> Any:
        refused = refusal(structure, max_atomic_number=MAX_ATOMIC_NUMBER)
        if refused is not None:
            return refused
        try:
            return self.network.graph_converter(structure)
        except ValueError as error:
            if "isolated atom" in str(error):
                return Energy(
                    None,
                    EnergyFailure.ISOLATED_ATOM,
                    "An atom has no neighbour within CHGNet's cut-off of 6 Å.",
                )
            return raised(error)
        except Exception as error:
            return raised(error)

    def _evaluate(self, graphs: dict[int, Any]) -> dict[int, Energy]:
        """Return energies by place; a batch that fails is tried crystal by crystal."""
        if not graphs:
            return {}
        import torch

        try:
            with torch.no_grad():  # chgnet keeps what gradients would need: ten times the memory
                found = self.network.predict_graph(
                    list(graphs.values()), task="e", batch_size=len(graphs)
                )
        except Exception as error:
            if len(graphs) > 1:
                return {
                    place: self._evaluate({place: graph})[place] for place, graph in graphs.items()
                }
            return {place: raised(error) for place in graphs}
        found = found if isinstance(found, list) else [found]
        return {
            place: checked_energy(float(np.asarray(answer["e"]).item()))
            for place, answer in zip(graphs, found, strict=True)
        }

    @contextlib.contextmanager
    def _quiet(self) -> Iterator[None]:
        """Hold torch to the model's threads, and what it prints off the user's screen."""
        with torch_threads(self.threads), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield

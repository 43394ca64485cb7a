"""MEGNet (Chen et al., Chem. Mater. 2019) through matgl: the CrystalICL paper's predictors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.energies.answers import Answer
from crystalicl_jobflow.energies.energy_model import sentence
from crystalicl_jobflow.energies.matgl_models import (
    cutoff_of,
    known_elements,
    load_saved,
    refused,
)
from crystalicl_jobflow.utils.torch_runtime import torch_threads

WEIGHTS = {
    "formation_energy_per_atom": ("MEGNet-Eform-MP-2018.6.1", "MEGNet-MP-2018.6.1-Eform"),
    "band_gap": ("MEGNet-BandGap-mfi-MP-2019.4.1", "MEGNet-MP-2019.4.1-BandGap-mfi"),
}
"""Property → names of the pretrained model: that of matgl since version 2, and the older one.
Both were trained on the Materials Project, of June 2018 and April 2019. In 2018 its formation
energies had no corrections for halides, sulphides and others: compared with those of today they
lie 0.2 eV/atom too high on average (docs/energies.md)."""

FIDELITY = {"band_gap": 0}
"""Property → state label of a multi-fidelity model: 0 is PBE, as the Materials Project has."""


class MegnetPredictor:
    """A pretrained MEGNet as a property predictor.

    Parameters
    ----------
    property_name
        One of :data:`WEIGHTS`.
    place
        Folder or hub name of the model; None for :data:`WEIGHTS`, within the setting
        ``POTENTIALS`` or from matgl's hub, which is asked once.
    model
        A loaded model instead.

    Raises
    ------
    ImportError
        If matgl is missing, with what to install.
    ValueError
        If the weights cannot be found, or there are none for the property; one line.
    """

    name = "megnet"
    packages = ("matgl",)
    """Packages whose versions belong to its results."""

    def __init__(
        self, property_name: str, place: str | Path | None = None, *, model: Any = None
    ) -> None:
        if property_name not in WEIGHTS:
            raise ValueError(f"MEGNet predicts {', '.join(WEIGHTS)}, not {property_name}")
        self.property_name = property_name
        self.version = WEIGHTS[property_name][0]
        if model is None:
            saved = load_saved(WEIGHTS[property_name] if place is None else place)
            model, self.version = saved.model, saved.version
        self.model = model
        self.elements = known_elements(model)
        self.cutoff = cutoff_of(model)

    def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
        """Return a value for each crystal, in order; None where there is none."""
        return [answer.value for answer in self.answers(structures)]

    def answers(self, structures: Sequence[Structure | None]) -> list[Answer]:
        """Return a value, or why there is none, for each crystal, in order."""
        with torch_threads(1), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return [self._one(structure) for structure in structures]

    def _one(self, structure: Structure | None) -> Answer:
        no = refused(structure, elements=self.elements, cutoff=self.cutoff)
        if no is not None:
            return Answer(None, str(no.message))
        options: dict[str, Any] = {}
        if self.property_name in FIDELITY:
            import torch

            options["state_attr"] = torch.tensor([FIDELITY[self.property_name]])
        try:
            answer = self.model.predict_structure(structure, **options)
        except Exception as error:
            # a cell that the graph cannot take: no value, as for no crystal
            return Answer(None, sentence(error))
        value = float(np.asarray(answer.detach().cpu() if hasattr(answer, "detach") else answer))
        if not np.isfinite(value):
            return Answer(None, "The model's answer is not a number.")
        return Answer(max(value, 0.0) if self.property_name == "band_gap" else value)

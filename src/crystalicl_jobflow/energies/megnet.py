"""MEGNet (Chen et al., Chem. Mater. 2019) through matgl: the CrystalICL paper's predictors."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.utils.messages import one_line

WEIGHTS = {
    "formation_energy_per_atom": "MEGNet-Eform-MP-2018.6.1",
    "band_gap": "MEGNet-BandGap-mfi-MP-2019.4.1",
}
"""Property → pretrained model by the name that matgl has for it since version 2; both were trained
on the Materials Project."""

FIDELITY = {"band_gap": 0}
"""Property → state label of a multi-fidelity model: 0 is PBE, as the Materials Project has."""


class MegnetPredictor:
    """A pretrained MEGNet as a property predictor.

    Its weights are not in a wheel: matgl fetches them once from its own hub and keeps them.

    Parameters
    ----------
    property_name
        One of :data:`WEIGHTS`.
    model
        The loaded model; None loads :data:`WEIGHTS`.

    Raises
    ------
    ImportError
        If matgl is missing, with what to install.
    ValueError
        If the weights cannot be fetched, or there are none for the property; one line.
    """

    name = "megnet"
    packages = ("matgl",)
    """Packages whose versions belong to its results."""

    def __init__(self, property_name: str, *, model: Any = None) -> None:
        if property_name not in WEIGHTS:
            raise ValueError(f"MEGNet predicts {', '.join(WEIGHTS)}, not {property_name}")
        self.property_name = property_name
        self.version = WEIGHTS[property_name]
        self.model = _load(self.version) if model is None else model

    def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
        """Return a value for each crystal, in order; None where there is none."""
        return [self._one(structure) for structure in structures]

    def _one(self, structure: Structure | None) -> float | None:
        if structure is None or len(structure) == 0 or not structure.is_ordered:
            return None
        options: dict[str, Any] = {}
        if self.property_name in FIDELITY:
            import torch

            options["state_attr"] = torch.tensor([FIDELITY[self.property_name]])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                answer = self.model.predict_structure(structure, **options)
        except Exception:
            # an element or a cell that the graph cannot take: no value, as for no crystal
            return None
        value = float(np.asarray(answer.detach().cpu() if hasattr(answer, "detach") else answer))
        if not np.isfinite(value):
            return None
        return max(value, 0.0) if self.property_name == "band_gap" else value


def _load(weights: str) -> Any:
    try:
        import matgl
    except ImportError:
        raise ImportError(
            "MEGNet needs matgl, whose weights are fetched at first use: pip install 'matgl>=4'"
        ) from None
    try:
        return matgl.load_model(weights)
    except Exception as error:
        # matgl wraps what its download raises in an error that says nothing
        cause = error.__cause__ or error
        reason = one_line(cause)
        raise ValueError(
            f"MEGNet's weights {weights} cannot be loaded ({reason}); without network use the"
            " predictor 'trees'"
        ) from None

"""Energy models by name."""

from __future__ import annotations

from typing import Any

from crystalicl_jobflow.energies.energy_model import EnergyModel

DEFAULT_MODEL = "chgnet"
"""The model that works offline: its weights are in its wheel."""

TENSORNET = "tensornet-matpes"
"""TensorNet (Simeon and De Fabritiis 2023) on MatPES-PBE (Kaplan et al. 2025)."""


def load_energy_model(name: str = DEFAULT_MODEL, *, device: str = "cpu") -> EnergyModel:
    """Load an energy model.

    Parameters
    ----------
    name
        ``chgnet``, or ``chgnet:r2scan`` for other weights of its wheel; ``tensornet-matpes``
        for TensorNet on MatPES-PBE, from the setting ``POTENTIALS`` or the hub, or
        ``tensornet-matpes:FOLDER``; ``matcalc:NAME`` for any potential that matcalc knows
        (``matcalc:MACE-MPA-0-medium``), whose own package and weights matcalc asks for, or
        ``matcalc:FOLDER`` for one that matgl has saved.
    device
        Torch device.

    Raises
    ------
    ValueError
        If there is no such model; one line.
    ImportError
        If it needs a package that is missing, with what to install.
    """
    family, _, rest = name.partition(":")
    if family == "chgnet":
        from crystalicl_jobflow.energies.chgnet import VERSIONS, CHGNetModel

        return CHGNetModel(version=rest or VERSIONS[0], device=device)
    if family == TENSORNET:
        from crystalicl_jobflow.energies.matcalc import MatcalcModel
        from crystalicl_jobflow.energies.matgl_models import TENSORNET_MATPES, local_folder

        folder = local_folder([rest] if rest else TENSORNET_MATPES)
        if folder is None and not rest:
            return MatcalcModel.load("TensorNet-MatPES-PBE-2025.2")
        return MatcalcModel.load_folder(folder or rest, name=TENSORNET)
    if family == "matcalc" and rest:
        from crystalicl_jobflow.energies.matcalc import MatcalcModel

        return MatcalcModel.load(rest)
    raise ValueError(
        f"no energy model {name!r}; there are chgnet, chgnet:VERSION, {TENSORNET} and matcalc:NAME"
    )


def is_energy_model(name: str) -> bool:
    """Return whether a name is that of an energy model, loaded or not."""
    family, _, rest = name.partition(":")
    return family in (DEFAULT_MODEL, TENSORNET) or (family == "matcalc" and bool(rest))


def ase_calculator(name: str) -> Any:
    """Return the calculator of an energy model, for programs that work with ASE.

    Parameters
    ----------
    name
        As in :func:`load_energy_model`.

    Examples
    --------
    >>> from crystalicl_jobflow.energies.loading import ase_calculator
    >>> type(ase_calculator("chgnet")).__name__
    'CHGNetCalculator'
    """
    model: Any = load_energy_model(name)
    return model.calculator

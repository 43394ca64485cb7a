"""Energy models by name."""

from __future__ import annotations

from crystalicl_jobflow.energies.energy_model import EnergyModel

DEFAULT_MODEL = "chgnet"
"""The model that works offline: its weights are in its wheel."""


def load_energy_model(name: str = DEFAULT_MODEL, *, device: str = "cpu") -> EnergyModel:
    """Load an energy model.

    Parameters
    ----------
    name
        ``chgnet``, or ``chgnet:r2scan`` for other weights of its wheel; ``matcalc:NAME`` for
        any potential that matcalc knows (``matcalc:MACE-MPA-0-medium``), whose own package
        and weights matcalc asks for.
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
    if family == "matcalc" and rest:
        from crystalicl_jobflow.energies.matcalc import MatcalcModel

        return MatcalcModel.load(rest)
    raise ValueError(f"no energy model {name!r}; there are chgnet, chgnet:VERSION and matcalc:NAME")

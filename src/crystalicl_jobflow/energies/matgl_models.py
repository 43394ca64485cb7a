"""Models that matgl has saved, from a folder or its hub, read as data."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.energies.energy_model import Energy, EnergyFailure, refusal
from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.utils.hashing import file_hash
from crystalicl_jobflow.utils.messages import one_line

FILES = ("model.json", "model.pt", "state.pt")
"""What a saved model of matgl consists of."""

HUB_OWNER = "materialyze"
"""Whose models on the hub are meant by a bare name, as in matgl."""

ISOLATED = 6.0
"""Å without a neighbour beyond which an atom counts as isolated for a potential: CHGNet's cut-off.
Caesium's own metal (5.3 Å) lies within, though TensorNet looks 5 Å far: it was trained on it."""

TENSORNET_MATPES = ("TensorNet-PES-MatPES-PBE-2025.2", "TensorNet-MatPES-PBE-v2025.1-PES")
"""Names of TensorNet on MatPES-PBE: that of the hub first."""


@dataclass(frozen=True)
class SavedModel:
    """A loaded model of matgl.

    Parameters
    ----------
    model
        The model.
    name
        Name of its folder, or on the hub.
    digest
        Beginning of the SHA-256 of its weights: two models of one name are told apart.
    """

    model: Any
    name: str
    digest: str

    @property
    def version(self) -> str:
        """Name and digest."""
        return f"{self.name} ({self.digest})"


def load_saved(place: str | Path | Sequence[str]) -> SavedModel:
    """Load a model that matgl has saved.

    What the files name is checked before matgl imports it: nothing but classes of matgl, and
    weights go through torch's reader for weights only. A model that was saved by another version
    of its class would load and answer something else (matgl warns, no more): it is refused, but
    for TensorNet of version 1, whose convention is known.

    Parameters
    ----------
    place
        A folder; else the name of a folder within the setting ``POTENTIALS``, or on the hub
        (``name`` or ``owner/name``). Of several names the first that is a folder counts, or
        the first on the hub.

    Raises
    ------
    ImportError
        If matgl is missing, with what to install.
    ValueError
        If there is no such model, or it cannot be loaded; one line.
    """
    try:
        import matgl
        import torch
        from matgl.data.transformer import Normalizer
    except ImportError:
        raise ImportError(
            'models of matgl need matgl: pip install "crystalicl-jobflow[matgl]"'
        ) from None
    names = [str(place)] if isinstance(place, str | Path) else list(place)
    name, folder = _found(names)
    missing = [file for file in FILES if not (folder / file).is_file()]
    if missing:
        raise ValueError(f"{name} is no saved model of matgl: {', '.join(missing)} missing")
    # matgl's target models hold their normalisation as an object of this class
    with torch.serialization.safe_globals([Normalizer]), warnings.catch_warnings():
        # older formats load; matgl says so of each part
        warnings.simplefilter("ignore")
        try:
            _check_classes(json.loads((folder / "model.json").read_text(encoding="utf-8")))
            _check_classes(torch.load(folder / "model.pt", map_location="cpu", weights_only=True))
            model = matgl.load_model(folder)
            _meet_version(model, _saved_versions(folder))
        except Exception as error:
            # matgl wraps what it met in an error that says nothing
            reason = one_line(error.__cause__ or error)
            raise ValueError(f"{name} cannot be loaded ({reason})") from None
    return SavedModel(model, Path(name).name, str(file_hash(folder / "state.pt"))[:8])


def is_saved(place: str) -> bool:
    """Return whether a name is that of a folder with a saved model of matgl."""
    return (Path(place).expanduser() / FILES[0]).is_file()


def local_folder(names: Sequence[str]) -> Path | None:
    """Return the first folder of these names: as given, or within the setting ``POTENTIALS``."""
    for name in names:
        if is_saved(name):
            return Path(name).expanduser()
    if SETTINGS.POTENTIALS is not None:
        within = Path(SETTINGS.POTENTIALS).expanduser()
        for name in names:
            if is_saved(str(within / name)):
                return within / name
    return None


def known_elements(model: Any) -> frozenset[str]:
    """Return the elements that a model of matgl knows; none if it does not say."""
    return frozenset(_field(model, "element_types") or ())


def cutoff_of(model: Any) -> float | None:
    """Return within how many Å a model of matgl looks for neighbours; None if it does not say."""
    cutoff = _field(model, "cutoff")
    return None if cutoff is None else float(cutoff)


def refused(
    structure: Structure | None, *, elements: frozenset[str], cutoff: float | None
) -> Energy | None:
    """Return why a crystal should not be given to a graph network, or None.

    Parameters
    ----------
    structure
        A crystal, or None.
    elements
        What the network knows; empty for not known.
    cutoff
        Within how many Å every atom needs a neighbour: of a crystal in which one has none, a
        network answers NaN, or something that does not know of this atom.
    """
    found = refusal(structure)
    if found is not None or structure is None:
        return found
    unknown = sorted({el.symbol for el in structure.composition.elements} - elements)
    if elements and unknown:
        return Energy(
            None,
            EnergyFailure.UNSUPPORTED_ELEMENT,
            f"The model does not know {', '.join(unknown)}.",
        )
    if cutoff is not None:
        centres = structure.get_neighbor_list(cutoff)[0]
        if len(np.unique(centres)) < len(structure):
            return Energy(
                None,
                EnergyFailure.ISOLATED_ATOM,
                f"An atom has no neighbour within {cutoff:g} Å.",
            )
    return None


def _found(names: Sequence[str]) -> tuple[str, Path]:
    """Return a model's name and its folder, fetched from the hub where there is none."""
    folder = local_folder(names)
    if folder is not None:
        return folder.name, folder
    name = names[0]
    if Path(name).expanduser().is_dir():
        return name, Path(name).expanduser()
    if name.count("/") > 1 or name.startswith((".", "/", "~")):
        raise ValueError(f"{name}: there is no such folder")
    try:
        return name, _fetch(name if "/" in name else f"{HUB_OWNER}/{name}")
    except Exception as error:  # whatever a download raises
        raise ValueError(
            f"{name} is neither a folder nor can it be fetched from the hub ({one_line(error)});"
            " CRYSTALICL_POTENTIALS names a folder with saved models"
        ) from None


def _fetch(repository: str) -> Path:
    """Return the folder of a model of the hub, fetched once and kept in matgl's own cache."""
    from huggingface_hub import snapshot_download
    from matgl.config import MATGL_CACHE

    return Path(
        snapshot_download(repository, allow_patterns=list(FILES), cache_dir=str(MATGL_CACHE))
    )


def _check_classes(document: Any) -> None:
    """Refuse a model that names something else than classes of matgl, which would be imported.

    Raises
    ------
    ValueError
        If it does.
    """
    for module in _modules(document):
        if module.partition(".")[0] != "matgl":
            raise ValueError(f"it names the module {module}; only matgl's are loaded")


def _modules(document: Any) -> Iterator[str]:
    if isinstance(document, dict):
        for key, value in document.items():
            if key == "@module":
                yield str(value)
            else:
                yield from _modules(value)
    elif isinstance(document, list | tuple):
        for value in document:
            yield from _modules(value)


def _saved_versions(folder: Path) -> dict[str, int]:
    """Return the classes that a saved model consists of, with their versions then."""
    found: dict[str, int] = {}

    def look(document: Any) -> None:
        if isinstance(document, dict):
            if "@class" in document:
                found[str(document["@class"])] = int(document.get("@model_version", 0))
            for value in document.values():
                look(value)

    look(json.loads((folder / FILES[0]).read_text(encoding="utf-8")))
    return found


def _meet_version(model: Any, saved: dict[str, int]) -> None:
    """Let a model of an older version work as it did then.

    Raises
    ------
    ValueError
        If it is not known how.
    """
    part: Any
    for part in (model, getattr(model, "model", None)):
        kind = type(part)
        now = getattr(kind, "__version__", 0)
        then = saved.get(kind.__name__, now)
        if then == now:
            continue
        if (kind.__name__, then, now) == ("TensorNet", 1, 2) and not part._use_warp:
            _embed_onto_destinations(part.tensor_embedding)
            continue
        raise ValueError(
            f"it was saved by version {then} of matgl's {kind.__name__}, and matgl has {now}:"
            " its answers would not be those that it was trained to give"
        )


def _embed_onto_destinations(embedding: Any) -> None:
    """Sum an embedding's messages onto the atoms at the ends of bonds, not at their beginnings.

    TensorNet of version 1 was trained so; version 2 changed it (matgl, pull requests 758, 759 and
    766). With its weights, rock salt would be 0.7 eV/atom too high, with a = 6.4 Å.
    """
    forward, message = embedding.forward, embedding.message

    def turned_message(*, x_i: Any, x_j: Any, **rest: Any) -> Any:
        return message(x_i=x_j, x_j=x_i, **rest)

    def turned_forward(z: Any, edge_index: Any, *rest: Any, **options: Any) -> Any:
        return forward(z, edge_index.flip(0), *rest, **options)

    embedding.message, embedding.forward = turned_message, turned_forward


def _field(model: Any, name: str) -> Any:
    """Return a field of a model, or of the network inside it."""
    found = getattr(model, name, None)
    return getattr(getattr(model, "model", None), name, None) if found is None else found

"""Provenance of a training: its files with their hashes and licences, and its settings."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.training.checkpoints import ARGUMENTS, CHECKPOINT, trainable
from crystalicl_jobflow.training.data.mixtures import Variation
from crystalicl_jobflow.utils.files import write_json
from crystalicl_jobflow.utils.versions import installed_versions

if TYPE_CHECKING:
    from crystalicl_jobflow.training.data.batches import InstructionBatches
    from crystalicl_jobflow.training.data.crystals import TrainingCrystal
    from crystalicl_jobflow.training.schedule import LoopSettings

DATA = "data.json"
"""The files that a training learned from."""

UNKNOWN_LICENCE = "not stated"

_MATERIALS_PROJECT = "Materials Project (A. Jain *et al.*, APL Materials 1, 011002 (2013))"
KNOWN_DATA: dict[str, tuple[str, str]] = {
    "mp_20": (f"{_MATERIALS_PROJECT}, MP-20 of CDVAE (T. Xie *et al.*, ICLR 2022)", "CC-BY 4.0"),
    "mpts_52": (f"{_MATERIALS_PROJECT}, MPTS-52 (S. G. Baird *et al.*)", "CC-BY 4.0"),
    "wbm": (
        "WBM (H.-C. Wang, S. Botti, M. A. L. Marques, npj Computational Materials 7, 12 (2021))",
        "CC-BY 4.0",
    ),
    "alexandria": (
        "Alexandria (J. Schmidt *et al.*, Advanced Materials 35, 2210788 (2023))",
        "CC-BY 4.0",
    ),
    "oqmd": (
        "OQMD (S. Kirklin *et al.*, npj Computational Materials 1, 15010 (2015))",
        "CC-BY 4.0",
    ),
    "jarvis": (
        "JARVIS-DFT (K. Choudhary *et al.*, npj Computational Materials 6, 173 (2020))",
        UNKNOWN_LICENCE,
    ),
    "mp_more": (_MATERIALS_PROJECT, "CC-BY 4.0"),
    "lemat_bulk": ("LeMat-Bulk (M. Siron *et al.*, 2025)", "CC-BY 4.0"),
    "perov_5": (
        "Perov-5 (I. E. Castelli *et al.*, Energy & Environmental Science 5, 5814 and 9034"
        " (2012)), in the split of CDVAE",
        UNKNOWN_LICENCE,
    ),
    "carbon_24": (
        "Carbon-24 (C. J. Pickard, AIRSS data for carbon at 10 GPa, Materials Cloud (2020)),"
        " in the split of CDVAE",
        "CC-BY 4.0",
    ),
}
"""Beginning of a file's name → (source, licence) of the public data sets."""

_PACKAGES = (
    "crystalicl-jobflow",
    "torch",
    "transformers",
    "peft",
    "bitsandbytes",
    "pymatgen",
    "moyopy",
)


@dataclass(frozen=True)
class DataFile:
    """A file or store that a training learned from.

    Parameters
    ----------
    name
        Of the file, without its folder; or of the store.
    sha256
        Of the file's content, hexadecimal; of a store, that of the ids and texts of the
        crystals taken from it, one line each, sorted.
    size
        In bytes.
    source
        Where the data come from; empty where that is not known.
    licence
        Of the data.
    guarded
        Whether it was not learned from: its crystals were taken out of the other files.
    taken_out
        Crystals of this file that were taken out because a guarded file holds them.
    """

    name: str
    sha256: str
    size: int
    source: str = ""
    licence: str = UNKNOWN_LICENCE
    guarded: bool = False
    taken_out: int = 0


def describe_data(
    data: Any,
    crystals: Sequence[TrainingCrystal] = (),
    *,
    licences: Mapping[str, str] | None = None,
) -> DataFile:
    """Hash a source of training data, and look up its origin and licence.

    Parameters
    ----------
    data
        A file, or any other source that crystals came from.
    crystals
        The crystals from it; needed if it is not a file.
    licences
        By name, with or without endings: the licence, where it is not one of the public data
        sets of `KNOWN_DATA` or differs from theirs.
    """
    digest, size = hashlib.sha256(), 0
    if isinstance(data, str | Path) and Path(data).is_file():
        name = Path(data).name
        with Path(data).open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
                size += len(block)
    else:
        # leave out user name and password of an address
        name = str(data).rstrip("/").rsplit("/", 1)[-1].rsplit("@", 1)[-1]
        documents = (item.demonstration for item in crystals)
        for line in sorted(f"{item.demonstration_id}\t{item.text!r}\n" for item in documents):
            digest.update(line.encode())
            size += len(line.encode())
    source, licence = next(
        (known for start, known in KNOWN_DATA.items() if name.startswith(start)),
        ("", UNKNOWN_LICENCE),
    )
    for key in (name, name.split(".")[0]):
        licence = (licences or {}).get(key, licence)
    return DataFile(name, digest.hexdigest(), size, source, licence)


def record_data(folder: str | Path, files: Sequence[DataFile]) -> None:
    """Write the files of a training into its folder.

    Raises
    ------
    ValueError
        If the folder holds a training on other data.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    before = {item.sha256: item.name for item in read_data(folder)}
    if (folder / CHECKPOINT).is_file() and before:
        if before.keys() != {item.sha256 for item in files}:
            raise ValueError(
                f"{folder} holds a training on other data ({', '.join(before.values())}):"
                " name another folder"
            )
        return
    write_json(folder / DATA, [asdict(item) for item in files])


def read_data(folder: str | Path) -> list[DataFile]:
    """Return the files of a training; empty if none were recorded."""
    path = Path(folder) / DATA
    if not path.is_file():
        return []
    return [DataFile(**item) for item in json.loads(path.read_text(encoding="utf-8"))]


def package_versions() -> dict[str, str]:
    """Return the versions of the packages on which a training depends, where installed."""
    return {"python": platform.python_version(), **installed_versions(_PACKAGES)}


def record_arguments(
    folder: Path,
    settings: LoopSettings,
    batches: InstructionBatches,
    model: Any,
    *,
    validation_rows: int = 0,
) -> None:
    """Write settings, data, size and versions of a training into its folder.

    Parameters
    ----------
    folder
        The training's folder.
    settings
        Settings of the training.
    batches
        What is learned.
    model
        The model that learns.
    validation_rows
        Instructions whose loss is measured.
    """
    import torch

    source = batches.instructions
    mixture = getattr(source, "mixture", None)
    device = next(model.parameters()).device
    content = {
        "settings": asdict(settings),
        "text_format": source.text_format,
        "mixture": asdict(mixture) if is_dataclass(mixture) else None,  # type: ignore[arg-type]
        "instruction_seed": source.seed,
        "instructions": len(source.order(0)),
        "crystals": len(getattr(source, "crystals", ())) or None,
        "weights": getattr(source, "weights", {}),
        **asdict(getattr(source, "variation", Variation())),
        "validation_instructions": validation_rows,
        "trained_parameters": sum(p.numel() for p in trainable(model).values()),
        "parameters": sum(p.numel() for p in model.parameters()),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
        "versions": package_versions(),
    }
    write_json(folder / ARGUMENTS, content)

"""From files of crystals to trained models: what the command line runs."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from crystalicl_jobflow.training.base import BaseSize, train_base
from crystalicl_jobflow.training.crystals import (
    SkippedRow,
    TrainingCrystal,
    read_training_crystals,
    without_formulas,
)
from crystalicl_jobflow.training.instructions import (
    BASE_MIXTURE,
    HYBRID_MIXTURE,
    Instruction,
    InstructionSet,
    Mixture,
)
from crystalicl_jobflow.training.loop import LoopSettings, TrainingResult
from crystalicl_jobflow.training.lora import PAPER_LOOP, LoraSettings, train_lora

MAX_ORBITS = 12
"""Most Wyckoff orbits of a crystal that the embedded model learns."""

VALIDATION_MIXTURE = Mixture(kinds={"zero-shot": 1.0}, conditions={"group": 1.0})
"""How validation crystals are asked for: by formula and space group, without examples."""


@dataclass(frozen=True)
class Split:
    """Crystals to learn from, and crystals held out.

    Parameters
    ----------
    training
        To learn from; shares no reduced formula with the validation.
    validation
        Held out, from the first file only.
    skipped
        Rows that could not be read.
    """

    training: list[TrainingCrystal]
    validation: list[TrainingCrystal]
    skipped: list[SkippedRow]


def load_split(
    paths: Sequence[str | Path],
    *,
    cache: str | Path | None = None,
    workers: int = 1,
    limit: int | None = None,
    max_orbits: int = MAX_ORBITS,
    validation_share: float = 0.05,
    seed: int = 0,
) -> Split:
    """Read crystals and hold some formulas out.

    Parameters
    ----------
    paths
        CSV files; validation comes from the first.
    cache, workers, limit
        As in `read_training_crystals`.
    max_orbits
        Crystals with more Wyckoff orbits are left out.
    validation_share
        Share of the first file's reduced formulas that is held out, of all files.
    seed
        Chooses the formulas.

    Raises
    ------
    ValueError
        If a file cannot be read, or nothing is left to learn from.
    """
    paths = [Path(path) for path in paths]
    first, skipped = read_training_crystals(paths[:1], cache=cache, workers=workers, limit=limit)
    others, lost = read_training_crystals(paths[1:], cache=cache, workers=workers, limit=limit)
    first = [crystal for crystal in first if crystal.num_orbits <= max_orbits]
    others = [crystal for crystal in others if crystal.num_orbits <= max_orbits]
    held_out = choose_formulas(
        (crystal.demonstration.formula for crystal in first), validation_share, seed=seed
    )
    training = without_formulas(first + others, held_out)
    if not training:
        raise ValueError("no crystal is left to learn from")
    return Split(
        training,
        [crystal for crystal in first if crystal.demonstration.formula in held_out],
        skipped + lost,
    )


def choose_formulas(formulas: Iterable[str], share: float, *, seed: int = 0) -> set[str]:
    """Choose reduced formulas to hold out of training.

    Raises
    ------
    ValueError
        If the share is not within [0, 1).
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share of validation must be within [0, 1), got {share:g}")
    distinct = sorted(set(formulas))
    return set(random.Random(seed).sample(distinct, round(share * len(distinct))))


def validation_instructions(
    crystals: Sequence[TrainingCrystal], *, text_format: str, limit: int = 256
) -> list[Instruction]:
    """Ask for held-out crystals by formula and group, zero-shot."""
    asked = InstructionSet(
        crystals[:limit], text_format=text_format, mixture=VALIDATION_MIXTURE, seed=0
    )
    return list(asked.epoch(0))


def base_recipe(
    split: Split,
    folder: str | Path,
    *,
    text_format: str = "sgs",
    weights: Mapping[str, float] | None = None,
    mixture: Mixture = BASE_MIXTURE,
    augment: float = 0.0,
    settings: LoopSettings | None = None,
    size: BaseSize | None = None,
    start: str | Path | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a base model on a split.

    Parameters
    ----------
    split
        Of `load_split`.
    folder
        Where the training lives; the model ends in ``folder / 'model'``.
    text_format
        'sgs' or 'sgsw'.
    weights
        By file name without ending: share of its crystals in each epoch.
    augment
        As in `InstructionSet`.
    mixture, settings, size, start, progress
        As in `train_base`.
    """
    settings = settings or LoopSettings()
    instructions = InstructionSet(
        split.training,
        text_format=text_format,
        mixture=mixture,
        seed=settings.seed,
        weights=weights,
        augment=augment,
    )
    return train_base(
        instructions,
        folder,
        settings=settings,
        size=size,
        validation=validation_instructions(split.validation, text_format=text_format),
        start=start,
        progress=progress,
    )


def lora_recipe(
    split: Split,
    base_model: str | Path,
    folder: str | Path,
    *,
    text_format: str = "sgs",
    weights: Mapping[str, float] | None = None,
    mixture: Mixture = HYBRID_MIXTURE,
    settings: LoopSettings = PAPER_LOOP,
    lora: LoraSettings | None = None,
    base_name: str | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Tune an adapter on a split's hybrid instruction set.

    Parameters
    ----------
    split
        Of `load_split`.
    base_model
        Name on the Hugging Face hub, or folder.
    folder
        Where the training lives; the adapter ends in ``folder / 'adapter'``.
    text_format
        'sgs' or 'sgsw'.
    weights, mixture
        As in `InstructionSet`.
    settings, lora, base_name, progress
        As in `train_lora`.
    """
    instructions = InstructionSet(
        split.training,
        text_format=text_format,
        mixture=mixture,
        seed=settings.seed,
        weights=weights,
    )
    return train_lora(
        base_model,
        instructions,
        folder,
        lora=lora,
        settings=settings,
        validation=validation_instructions(split.validation, text_format=text_format),
        base_name=base_name,
        progress=progress,
    )

"""Train models from files of crystals; used by the command line."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from crystalicl_jobflow.stores import StoreSpec
from crystalicl_jobflow.training.base_model import BaseSize, train_base
from crystalicl_jobflow.training.data.batches import InstructionSource
from crystalicl_jobflow.training.data.crystals import SkippedRow, TrainingCrystal, without_formulas
from crystalicl_jobflow.training.data.instructions import (
    HYBRID_MIXTURE,
    Instruction,
    InstructionSet,
    Mixture,
)
from crystalicl_jobflow.training.data.mixtures import Variation, choose_formulas
from crystalicl_jobflow.training.loop import LoopSettings, TrainingResult
from crystalicl_jobflow.training.lora import PAPER_LOOP, LoraSettings, train_lora
from crystalicl_jobflow.training.model_card import write_training_card
from crystalicl_jobflow.training.provenance import DataFile, describe_data, record_data

if TYPE_CHECKING:
    from crystalicl_jobflow.training.data.sources import ReadingOptions

MAX_ORBITS = 12
"""Maximum number of Wyckoff orbits of crystals that the embedded model learns."""

VALIDATION_MIXTURE = Mixture(kinds={"zero-shot": 1.0}, conditions={"group": 1.0})
"""Mixture of the validation: by formula and space group, without examples."""


@dataclass(frozen=True)
class Split:
    """Crystals for training, and crystals held out.

    Parameters
    ----------
    training
        Crystals for training; these share no reduced formula with the validation.
    validation
        Held out, from the first file only.
    skipped
        Rows that could not be read.
    data
        Where they come from, and the files that were kept out.
    """

    training: list[TrainingCrystal]
    validation: list[TrainingCrystal]
    skipped: list[SkippedRow]
    data: tuple[DataFile, ...] = ()


@dataclass(frozen=True)
class Lesson:
    """Training and validation instructions of a model.

    Parameters
    ----------
    instructions
        An `InstructionSet`, drawn anew for each epoch, or an `InstructionFile`.
    validation
        Instructions whose loss is measured.
    data
        Where the instructions come from, for the card.
    """

    instructions: InstructionSource
    validation: list[Instruction]
    data: tuple[DataFile, ...] = ()


def load_split(
    data: Sequence[StoreSpec],
    *,
    validation_share: float = 0.05,
    seed: int = 0,
    licences: Mapping[str, str] | None = None,
    exclude: Sequence[str | Path] = (),
    **reading: Unpack[ReadingOptions],
) -> Split:
    """Read crystals and hold out some formulas.

    Parameters
    ----------
    data
        CSV files with a column ``cif``, pools, CIF files and folders, as in
        `read_training_data`; validation comes from the first.
    validation_share
        Share of the first source's reduced formulas that is held out, of all sources.
    seed
        Seed of the choice of formulas.
    licences
        By name of a file or store: its licence, as in `describe_data`.
    exclude
        CSV files to test on: crystals with the reduced formula and the space group of one
        of their rows are taken out (see `exclusion`), and their number stands with each file.
    **reading
        As in `read_training_data`; crystals with more than `MAX_ORBITS` Wyckoff orbits are left
        out unless ``max_orbits`` is given.

    Raises
    ------
    ValueError
        If a file cannot be read, or nothing is left to learn from.
    """
    from crystalicl_jobflow.training.data.exclusion import read_compounds, without_compounds
    from crystalicl_jobflow.training.data.sources import read_training_data

    options: ReadingOptions = {"max_orbits": MAX_ORBITS, **reading}
    found = [read_training_data([item], **options) for item in data]
    excluded = read_compounds(
        exclude, cache=options.get("cache"), workers=options.get("workers", 1)
    )
    allowed = [without_compounds(part.crystals, excluded) for part in found]
    held_out = choose_formulas(
        (crystal.demonstration.formula for crystal in allowed[0]),
        validation_share,
        seed=seed,
    )
    training = without_formulas([item for part in allowed for item in part], held_out)
    if not training:
        raise ValueError("no crystal is left to learn from")
    return Split(
        training,
        [item for item in allowed[0] if item.demonstration.formula in held_out],
        [row for part in found for row in part.skipped],
        (
            *(
                replace(
                    describe_data(item, part.crystals, licences=licences),
                    taken_out=len(part.crystals) - len(kept),
                )
                for item, part, kept in zip(data, found, allowed, strict=True)
            ),
            *(replace(describe_data(path, licences=licences), guarded=True) for path in exclude),
        ),
    )


def validation_instructions(
    crystals: Sequence[TrainingCrystal],
    *,
    text_format: str,
    template: str = "crystalicl",
    limit: int = 256,
) -> list[Instruction]:
    """Build zero-shot instructions for held-out crystals, by formula and group.

    Parameters
    ----------
    crystals
        Held-out crystals.
    text_format, template
        As in `InstructionSet`.
    limit
        Maximum number of instructions.
    """
    asked = InstructionSet(
        crystals[:limit],
        text_format=text_format,
        template=template,
        mixture=VALIDATION_MIXTURE,
        seed=0,
    )
    return list(asked.epoch(0))


def crystal_lesson(
    split: Split,
    *,
    text_format: str = "sgs",
    mixture: Mixture = HYBRID_MIXTURE,
    weights: Mapping[str, float] | None = None,
    variation: Variation | None = None,
    seed: int = 0,
    template: str = "crystalicl",
    require_fingerprints: bool = False,
) -> Lesson:
    """Make a lesson from crystals: instructions are drawn anew for every epoch.

    Parameters
    ----------
    split
        Of `load_split`.
    text_format, mixture, weights, variation, seed, template
        As in `InstructionSet`; weights by file name without ending.
    require_fingerprints
        Whether to raise an error for strategies that need fingerprints where there are none.
    """
    instructions = InstructionSet(
        split.training,
        text_format=text_format,
        mixture=mixture,
        seed=seed,
        weights=weights,
        variation=variation,
        template=template,
    )
    if require_fingerprints:
        instructions.require_fingerprints()
    validation = validation_instructions(
        split.validation, text_format=text_format, template=template
    )
    return Lesson(instructions, validation, split.data)


def file_lesson(
    path: str | Path,
    *,
    validation_share: float = 0.05,
    seed: int = 0,
    licences: Mapping[str, str] | None = None,
    data: Sequence[DataFile] = (),
    limit: int = 256,
) -> Lesson:
    """Make a lesson from an instruction file.

    Parameters
    ----------
    path
        JSONL file with the columns ``prompt`` and ``completion``, as
        `crystalicl_jobflow.training.data.instruction_files.export_instructions` writes it.
    validation_share
        Share of the formulas whose instructions are held out.
    seed
        Seed of the order of the instructions; the held-out formulas are always the same.
    licences
        As in `load_split`.
    data
        Where the instructions' crystals come from, for the card.
    limit
        Maximum number of instructions whose loss is measured.

    Raises
    ------
    ValueError
        If the file cannot be read, or nothing is left to learn from.
    """
    from crystalicl_jobflow.training.data.instruction_files import InstructionFile

    training, validation = InstructionFile(path, seed=seed).split(validation_share)
    chosen = random.Random(0).sample(validation, min(limit, len(validation)))
    return Lesson(training, chosen, (*data, describe_data(path, licences=licences)))


def base_recipe(
    lesson: Lesson,
    folder: str | Path,
    *,
    settings: LoopSettings | None = None,
    size: BaseSize | None = None,
    start: str | Path | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Train a base model on a lesson, and write its card.

    Parameters
    ----------
    lesson
        What it learns from.
    folder
        Folder of the training; the model is saved in ``folder / 'model'``.
    settings, size, start, progress
        As in `train_base`.
    """
    record_data(folder, lesson.data)
    result = train_base(
        lesson.instructions,
        folder,
        settings=settings,
        size=size,
        validation=lesson.validation,
        start=start,
        progress=progress,
    )
    write_training_card(folder)
    return result


def lora_recipe(
    lesson: Lesson,
    base_model: str | Path,
    folder: str | Path,
    *,
    settings: LoopSettings = PAPER_LOOP,
    lora: LoraSettings | None = None,
    base_name: str | None = None,
    progress: Callable[[dict[str, float]], None] | None = None,
) -> TrainingResult:
    """Tune an adapter on a lesson, and write its card.

    Parameters
    ----------
    lesson
        What it learns from.
    base_model
        Name on the Hugging Face hub, or folder.
    folder
        Folder of the training; the adapter is saved in ``folder / 'adapter'``.
    settings, lora, base_name, progress
        As in `train_lora`.
    """
    record_data(folder, lesson.data)
    result = train_lora(
        base_model,
        lesson.instructions,
        folder,
        lora=lora,
        settings=settings,
        validation=lesson.validation,
        base_name=base_name,
        progress=progress,
    )
    write_training_card(folder)
    return result

"""A training that is killed: `python killed.py FOLDER STEP` trains a tiny base model on
prototypes and kills itself without warning right after STEP; 0 lets it finish."""

from __future__ import annotations

import os
import signal
import sys
import warnings

from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

from crystalicl_jobflow.training import (
    BaseSize,
    InstructionSet,
    LoopSettings,
    train_base,
    training_crystal,
)


def crystals() -> list:
    found = []
    for number, prototype in enumerate(AFLOW_PROTOTYPE_LIBRARY[:32]):
        structure = prototype["snl"].structure
        if len(structure) <= 8 and structure.is_ordered:
            found.append(
                training_crystal(structure, name=str(number), source="prototypes", properties={})
            )
    return found


def main(folder: str, step: int) -> None:
    warnings.simplefilter("ignore")
    learned = crystals()
    held_out = InstructionSet(learned[:6])

    def kill(line: dict[str, float]) -> None:
        if step and line["step"] >= step and "loss" in line:
            os.kill(os.getpid(), signal.SIGKILL)

    train_base(
        InstructionSet(learned[6:]),
        folder,
        settings=LoopSettings(
            learning_rate=5e-3,
            epochs=5,
            warmup_steps=2,
            tokens_per_batch=200,
            accumulate=2,
            patience=50,
            validate_every=2,
            log_every=1,
            checkpoint_every=0.0,
            threads=1,
        ),
        size=BaseSize(hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64),
        validation=list(held_out.epoch(0)),
        progress=kill,
    )


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

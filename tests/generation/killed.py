"""A generation that is killed: `python killed.py MODEL FOLDER DRAWS HOW` asks the tiny model
for texts, 'free' or 'constrained', and kills itself without warning when that many draws are
written down."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from pathlib import Path

from crystalicl_jobflow.generation import load_generator
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.resuming import UnfinishedWork
from crystalicl_jobflow.schemas import Condition, Generation, Retrieval, SamplingParams

CONDITIONS = (Condition(formula="CaTiO3", space_group=221), Condition(formula="NaCl"))
SAMPLES = 6
SAMPLING = SamplingParams(seed=3, max_new_tokens=40, max_redraws=2, best_of=2)
DRAWS = len(CONDITIONS) * SAMPLES * SAMPLING.best_of


def write(
    model: Path,
    work: UnfinishedWork | None,
    *,
    batch_size: int = 5,
    constrain: bool = False,
) -> list[Generation]:
    generator = load_generator(
        str(model / "base"), str(model / "adapter"), device="cpu", batch_size=batch_size
    )
    return generate_for_retrievals(
        [Retrieval(condition=item, strategy="C", shots=0, seed=0) for item in CONDITIONS],
        generator,
        sampling=SAMPLING,
        num_samples=SAMPLES,
        constrain=constrain,
        unfinished=work,
    )


class Deadly(UnfinishedWork):
    """Kills the process when so many draws are written down."""

    draws_left = 0

    def record(self, *arguments) -> None:
        super().record(*arguments)
        self.draws_left -= 1
        if self.draws_left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def main(model: str, folder: str, draws: int, how: str) -> None:
    warnings.simplefilter("ignore")
    work = Deadly(folder)
    work.draws_left = draws
    write(Path(model), work, constrain=how == "constrained")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])

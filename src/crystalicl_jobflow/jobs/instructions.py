"""The job that makes an instruction set where the crystals can be reached."""

from __future__ import annotations

import logging
import tempfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from jobflow import Maker, job
from monty.json import jsanitize

from crystalicl_jobflow.jobs._inputs import log_progress
from crystalicl_jobflow.jobs.retrieve import lasting_store
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.training import DataRecord, InstructionRecord, InstructionsDoc

logger = logging.getLogger(__name__)

INSTRUCTIONS = "instructions.jsonl"
"""Name of the instruction file that a job writes for itself."""


@dataclass
class InstructionsMaker(Maker):
    """Make an instruction set where the crystals can be reached.

    What it returns needs no store: a GPU worker gets it by reference.

    Parameters
    ----------
    name
        Name of the job.
    text_format
        Text of the crystals: 'sgs', 'sgsw', 'xyz' or 'cif'.
    template
        Words of the prompts: 'crystalicl' or 'alpaca'.
    mixture
        Name of a mixture: 'base', 'hybrid', 'few-shot' or 'copy'.
    ablation
        One of the ablations of the paper's table 3, e.g. 'only-C'; None for none.
    epochs
        Draws of one instruction per crystal; None for every kind of each crystal.
    augment
        Share of crystals in another symmetry-equivalent description.
    aligned
        Whether crystals asked for with demonstrations are written in the description of
        these.
    exclude
        CSV files to test on, whose compounds are kept out.
    max_orbits, limit
        Crystals with more Wyckoff orbits, or beyond so many of a source, are left out.
    seed
        Seed of all draws.
    licences
        By name of a file or store: its licence, for the card.
    cache, workers
        Folder that keeps the analysed crystals of CSV files; processes that analyse.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import InstructionsMaker, TrainMaker
    >>> instructions = InstructionsMaker().make("prototypes")
    >>> train = TrainMaker().make(instructions.output)
    >>> train.output.best_validation_loss  # doctest: +ELLIPSIS
    OutputReference(..., .best_validation_loss)
    """

    name: str = "instructions"
    text_format: str = "sgs"
    template: str = "crystalicl"
    mixture: str = "hybrid"
    ablation: str | None = None
    epochs: int | None = None
    augment: float = 0.0
    aligned: bool = False
    exclude: list[str] = field(default_factory=list)
    max_orbits: int | None = None
    limit: int | None = None
    seed: int = 0
    licences: dict[str, str] = field(default_factory=dict)
    cache: str | None = None
    workers: int = 1

    def make(self, data: Any) -> Any:
        """Make the instruction set.

        Parameters
        ----------
        data
            A source of crystals or a list of them: CSV files, pools in any form that
            :func:`crystalicl_jobflow.stores.open_store` takes, 'prototypes'. Relative paths
            become absolute here, for jobs run in folders of their own.

        Returns
        -------
        Job
            Its output is an `InstructionsDoc`.

        Raises
        ------
        ValueError
            If a source is a store in memory: the job runs on a copy of it.
        """
        sources = data if isinstance(data, list | tuple) else [data]
        return self._make([lasting_store(item) for item in sources])

    @job(output_schema=InstructionsDoc, data=DATA)
    def _make(self, data: list[Any]) -> InstructionsDoc:
        from crystalicl_jobflow.training.data.instruction_files import export_instructions
        from crystalicl_jobflow.training.data.instructions import InstructionSet
        from crystalicl_jobflow.training.data.mixtures import (
            MIXTURES,
            Variation,
            ablate,
            by_structure,
        )
        from crystalicl_jobflow.training.recipes import load_split

        mixture = MIXTURES[self.mixture]
        if self.ablation is not None:
            mixture = ablate(mixture, self.ablation)
        split = load_split(
            data,
            cache=self.cache,
            workers=self.workers,
            limit=self.limit,
            max_orbits=self.max_orbits,
            validation_share=0.0,
            licences=self.licences,
            exclude=self.exclude,
        )
        made = InstructionSet(
            split.training,
            text_format=self.text_format,
            template=self.template,
            mixture=mixture,
            seed=self.seed,
            variation=Variation(augment=self.augment, aligned=self.aligned),
        )
        if by_structure(self.ablation):
            made.require_fingerprints()
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / INSTRUCTIONS
            say = log_progress(logger, self.name)
            info = export_instructions(
                made,
                path,
                epochs=self.epochs,
                more={"ablation": self.ablation},
                progress=lambda done, total: say(done, total or done),
            )
            lines = path.read_text(encoding="utf-8").splitlines()
        return InstructionsDoc(
            instructions=[InstructionRecord.model_validate_json(line) for line in lines],
            num_instructions=len(lines),
            num_crystals=len(split.training),
            num_skipped=len(split.skipped),
            kinds=info["kinds"],
            info=jsanitize(info),
            data=[DataRecord(**asdict(item)) for item in split.data],
        )

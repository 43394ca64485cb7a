"""The Flow from crystals to a tuned model with measured figures on its card."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from jobflow import Flow, Job, Maker, Response, job

from crystalicl_jobflow.flows.generate import CrystalGenerationFlowMaker
from crystalicl_jobflow.jobs import InstructionsMaker, TrainMaker, write_card
from crystalicl_jobflow.schemas.training import TrainDoc


@dataclass
class TrainFlowMaker(Maker):
    """Make an instruction set, train on it, try the model, and write its card.

    Parameters
    ----------
    name
        Name of the Flow.
    instructions_maker
        Makes the instruction set where crystals can be reached; None hands the data to the
        training as they are.
    train_maker
        Trains.
    trial_makers
        Label → Flow that tries the trained model on the given conditions, for the card; its
        generation gets the new weights and must run where their folder can be reached.

    Examples
    --------
    >>> from crystalicl_jobflow.flows import TrainFlowMaker
    >>> flow = TrainFlowMaker().make("prototypes")
    >>> [job.name for job in flow.jobs]
    ['instructions', 'train', 'card']
    >>> flow = TrainFlowMaker().make("prototypes", {"formula": "CaTiO3", "space_group": 221})
    >>> [job.name for job in flow.jobs]
    ['instructions', 'train', 'try zero-shot', 'card']
    """

    name: str = "training"
    instructions_maker: InstructionsMaker | None = field(default_factory=InstructionsMaker)
    train_maker: TrainMaker = field(default_factory=TrainMaker)
    trial_makers: dict[str, CrystalGenerationFlowMaker] = field(
        default_factory=lambda: {"zero-shot": CrystalGenerationFlowMaker(retrieve_maker=None)}
    )

    def make(self, data: Any, conditions: Any = None, references: Any = None) -> Flow:
        """Build the Flow.

        Parameters
        ----------
        data
            Crystals, as `InstructionsMaker.make` takes them; without an
            ``instructions_maker``, as `TrainMaker.make` does.
        conditions
            What the trained model is asked for; None for no trial.
        references
            The true crystals for the trial, one per condition; None for none.

        Returns
        -------
        Flow
            Its output is the `CardDoc`.
        """
        jobs: list[Job | Flow] = []
        if self.instructions_maker is not None:
            instructions = self.instructions_maker.make(data)
            jobs.append(instructions)
            data = instructions.output
        train = self.train_maker.make(data)
        jobs.append(train)
        evaluations = {}
        for label, maker in self.trial_makers.items() if conditions is not None else ():
            trial = try_model(train.output, maker, conditions, references)
            trial.append_name(f" {label}")
            jobs.append(trial)
            evaluations[label] = trial.output
        card = write_card(train.output, evaluations)
        return Flow([*jobs, card], output=card.output, name=self.name)


@job(name="try")
def try_model(
    training: Any, maker: CrystalGenerationFlowMaker, conditions: Any, references: Any = None
) -> Response[Any]:
    """Generate with a model that was just trained, and evaluate what it writes.

    Parameters
    ----------
    training
        A `TrainDoc`.
    maker
        The Flow; its generation's model is replaced.
    conditions, references
        As in `CrystalGenerationFlowMaker.make`.
    """
    trained = TrainDoc.model_validate(training)
    weights: Mapping[str, Any] = (
        {"base_model": trained.base_model, "adapter": trained.model}
        if trained.method == "lora"
        else {"base_model": trained.model, "adapter": None}
    )
    generate = replace(maker.generate_maker, **weights)
    flow = replace(maker, generate_maker=generate).make(conditions, references)
    return Response(replace=flow)

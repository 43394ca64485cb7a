"""What a YAML file says that describes a Flow: which one, of what, and where it runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from crystalicl_jobflow.schemas.base import Document

ManagerName = Literal["local", "jobflow-remote", "fireworks"]
"""What runs a Flow."""

Section = dict[str, Any] | str | Literal[False] | None
"""Fields of a step's Maker; a Maker's name; or False, which leaves the step out."""


class WorkerChoice(Document):
    """Where the jobs of one step run; a name alone is the worker."""

    worker: str | None = Field(
        None, description="Worker of jobflow-remote, or category of FireWorks."
    )
    resources: dict[str, Any] | None = Field(
        None, description="What the queue is asked for, as the manager takes it."
    )
    exec_config: str | dict[str, Any] | None = Field(
        None, description="Execution configuration of jobflow-remote: its name, or its fields."
    )
    priority: int | None = Field(None, description="Greater goes first.")

    @model_validator(mode="before")
    @classmethod
    def _from_name(cls, value: Any) -> Any:
        return {"worker": value} if isinstance(value, str) else value


class WorkerChoices(Document):
    """Step → where its jobs run."""

    default: WorkerChoice | None = Field(
        None, description="All jobs that are not named below; jobflow-remote needs it."
    )
    retrieval: WorkerChoice | None = Field(None, description="What reads the pool.")
    generation: WorkerChoice | None = Field(None, description="The language model: a GPU.")
    training: WorkerChoice | None = Field(None, description="Training: a GPU.")
    forcefield: WorkerChoice | None = Field(None, description="Force fields of atomate2.")
    vasp: WorkerChoice | None = Field(None, description="VASP jobs of atomate2.")
    names: dict[str, WorkerChoice] = Field(
        default_factory=dict, description="Part of a job's name → where; above all steps."
    )

    def steps(self) -> dict[str, WorkerChoice]:
        """Return the steps that are named, by name."""
        return {
            name: choice
            for name in type(self).model_fields
            if isinstance(choice := getattr(self, name), WorkerChoice)
        }

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of :func:`crystalicl_jobflow.submission.workers.assign_workers`."""
        steps = self.steps()
        found: dict[str, Any] = {name: choice.worker for name, choice in steps.items()}
        every = {**steps, **self.names}
        found["names"] = {name: choice.worker for name, choice in self.names.items()}
        for option in ("resources", "exec_config", "priority"):
            found[option] = {
                name: value
                for name, choice in every.items()
                if (value := getattr(choice, option)) is not None
            }
        return found


class FlowFile(Document):
    """A Flow as a YAML file describes it, see ``docs/submit.md``.

    A step's section holds fields of its Maker; which steps there are depends on the Flow.
    """

    flow: str = Field(
        description="generate, discover, train or benchmark; or a Maker as package.module.Maker."
    )
    name: str | None = Field(None, description="Name of the Flow.")
    metadata: dict[str, Any] = Field(
        default_factory=dict,
        description="Goes to every job; 'crystalicl collect --query' finds it.",
    )

    conditions: list[Any] | dict[str, Any] | str | None = Field(
        None, description="What is asked for: one condition, several, or a file of them."
    )
    references: Any = Field(None, description="True crystals, one per condition.")
    known: Any = Field(None, description="Known crystals, for novelty and the convex hull.")
    data: Any = Field(None, description="What is trained on.")
    suite: dict[str, Any] | None = Field(None, description="What a benchmark measures.")
    inputs: dict[str, Any] = Field(
        default_factory=dict, description="Further arguments of the Maker's make()."
    )

    options: dict[str, Any] = Field(
        default_factory=dict, description="Fields of the Flow's own Maker, e.g. n_relax."
    )
    retrieve: Section = Field(None, description="Fields of RetrieveMaker: pool, shots, …")
    generate: Section = Field(None, description="Fields of GenerateMaker: num_samples, …")
    validate_: Section = Field(None, alias="validate", description="Fields of ValidateMaker.")
    select: Section = Field(None, description="Fields of the first SelectMaker.")
    relax: Section = Field(None, description="The relaxation's Maker and its fields.")
    select_dft: Section = Field(None, description="Fields of the second SelectMaker.")
    dft: Section = Field(None, description="The Maker for the best, and its fields.")
    evaluate: Section = Field(None, description="Fields of EvaluateMaker.")
    instructions: Section = Field(None, description="Fields of InstructionsMaker.")
    train: Section = Field(None, description="Fields of TrainMaker.")

    manager: ManagerName | None = Field(None, description="What runs the jobs.")
    project: str | None = Field(None, description="Project of jobflow-remote.")
    launchpad: str | None = Field(None, description="Launch pad file of FireWorks.")
    store: str | dict[str, Any] | None = Field(
        None, description="Job store of a local run: a file as in stores/, or its content."
    )
    workers: WorkerChoices = Field(
        default_factory=WorkerChoices, description="Which worker runs which step."
    )

    def sections(self) -> dict[str, Any]:
        """Return the steps' sections that are in the file, by their names there."""
        found = {}
        for attribute in STEP_SECTIONS:
            name = type(self).model_fields[attribute].alias or attribute
            if attribute in self.model_fields_set:
                found[name] = getattr(self, attribute)
        return found

    @model_validator(mode="before")
    @classmethod
    def _check_mapping(cls, value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise ValueError("a Flow is described by a mapping, e.g. 'flow: generate'")
        return value


STEP_SECTIONS = (
    "retrieve",
    "generate",
    "validate_",
    "select",
    "relax",
    "select_dft",
    "dft",
    "evaluate",
    "instructions",
    "train",
)
"""Attributes of :class:`FlowFile` that are sections of steps."""

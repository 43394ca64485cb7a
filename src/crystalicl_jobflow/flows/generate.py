"""The Flow from conditions to evaluated candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Job, Maker

from crystalicl_jobflow.jobs import EvaluateMaker, GenerateMaker, RetrieveMaker, ValidateMaker
from crystalicl_jobflow.jobs._inputs import Conditions
from crystalicl_jobflow.jobs._job import add_to_name, asked_words, mark_run


@dataclass
class CrystalGenerationFlowMaker(Maker):
    """Retrieve demonstrations, generate texts, validate and evaluate the crystals.

    Parameters
    ----------
    name
        Name of the Flow.
    retrieve_maker
        Chooses demonstrations; None asks zero-shot.
    generate_maker
        Writes the texts.
    validate_maker
        Reads and checks them; None ends the Flow at the texts.
    evaluate_maker
        Computes rates; None ends the Flow at the candidates.

    Examples
    --------
    >>> from jobflow import run_locally
    >>> from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
    >>> flow = CrystalGenerationFlowMaker().make({"formula": "CaTiO3", "space_group": 221})
    >>> for job in flow.jobs:
    ...     print(job.name)
    retrieve CaTiO3 221
    generate CaTiO3 221 ×1
    validate CaTiO3 221 ×1
    evaluate CaTiO3 221 ×1
    >>> flow.output.rates["joint"]  # doctest: +ELLIPSIS
    OutputReference(..., .rates, ['joint'])
    >>> responses = run_locally(flow, ensure_success=True)  # doctest: +SKIP

    Seeds, shots and samples are changed on the Makers, or on a Flow that is built:

    >>> flow.update_maker_kwargs({"num_samples": 8}, name_filter="generate")
    >>> flow.jobs[1].maker.num_samples
    8
    """

    name: str = "crystal generation"
    retrieve_maker: RetrieveMaker | None = field(default_factory=RetrieveMaker)
    generate_maker: GenerateMaker = field(default_factory=GenerateMaker)
    validate_maker: ValidateMaker | None = field(default_factory=ValidateMaker)
    evaluate_maker: EvaluateMaker | None = field(default_factory=EvaluateMaker)

    def __post_init__(self) -> None:
        for name in ("retrieve", "generate", "validate", "evaluate"):
            maker = getattr(self, f"{name}_maker")
            if not isinstance(maker, Maker) and (maker is not None or name == "generate"):
                words = type(maker).__name__
                raise ValueError(f"{name}_maker must be a {name.capitalize()}Maker, not {words}")

    def make(self, conditions: Conditions, references: Any = None) -> Flow:
        """Build the Flow.

        Parameters
        ----------
        conditions
            A condition or a list of them, or a reference to another job's output.
        references
            The true crystals for the evaluation, one per condition; None for none.

        Returns
        -------
        Flow
            Its output is that of the last stage.

        Raises
        ------
        ValueError
            If an evaluation is asked for without a validation.
        """
        jobs = self.jobs(conditions, references)
        flow = Flow(jobs, output=jobs[-1].output, name=self._title(conditions))
        return mark_run(flow, conditions)

    def _title(self, conditions: Any) -> str:
        """Return a name that tells in a queue what is asked for, such as "CaTiO3 221 ×8"."""
        if self.name != type(self).name:  # a name of the user's own stays
            return self.name
        words = self.words(conditions)
        return self.name if words is None else f"{self.name}: {words}"

    def words(self, conditions: Any) -> str | None:
        """Return what is asked for as names of jobs tell it; None where it is not known yet."""
        return asked_words(conditions, self.generate_maker.num_texts)

    def jobs(self, conditions: Conditions, references: Any = None) -> list[Job | Flow]:
        """Build the jobs alone, for a larger Flow; see :meth:`make`."""
        if self.evaluate_maker is not None and self.validate_maker is None:
            raise ValueError("evaluate_maker needs a validate_maker: it evaluates candidates")
        jobs: list[Job | Flow] = []
        words = self.words(conditions)
        asked = conditions
        if self.retrieve_maker is not None:
            retrieve = self.retrieve_maker.make(conditions)
            jobs.append(retrieve)
            asked = retrieve.output.retrievals
        generate = self.generate_maker.make(asked)
        add_to_name(generate, self.generate_maker, words)
        jobs.append(generate)
        if self.validate_maker is not None:
            validate = self.validate_maker.make(generate.output.generations)
            add_to_name(validate, self.validate_maker, words)
            jobs.append(validate)
            if self.evaluate_maker is not None:
                evaluate = self.evaluate_maker.make(validate.output.candidates, references)
                add_to_name(evaluate, self.evaluate_maker, words)
                jobs.append(evaluate)
        return jobs

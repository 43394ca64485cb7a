"""The Flow from conditions to evaluated candidates."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from jobflow import Flow, Job, Maker

from crystalicl_jobflow.jobs import EvaluateMaker, GenerateMaker, RetrieveMaker, ValidateMaker
from crystalicl_jobflow.schemas import Condition


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
    >>> [job.name for job in flow.jobs]
    ['retrieve', 'generate', 'validate', 'evaluate']
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

    def make(self, conditions: Any, references: Any = None) -> Flow:
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
        return Flow(jobs, output=jobs[-1].output, name=self._title(conditions))

    def _title(self, conditions: Any) -> str:
        """Return a name that tells in a queue what is asked for, such as "CaTiO3, group 221 ×8"."""
        if self.name != type(self).name:  # a name of the user's own stays
            return self.name
        asked = list(conditions) if isinstance(conditions, list | tuple) else [conditions]
        if not asked or not all(isinstance(item, Condition | str | dict) for item in asked):
            return self.name
        first = Condition.parse(asked[0]).label()
        more = f" and {len(asked) - 1} more" if len(asked) > 1 else ""
        return f"{self.name}: {first}{more} ×{self.generate_maker.num_samples}"

    def jobs(self, conditions: Any, references: Any = None) -> list[Job | Flow]:
        """Build the jobs alone, for a larger Flow; see :meth:`make`."""
        if self.evaluate_maker is not None and self.validate_maker is None:
            raise ValueError("evaluate_maker needs a validate_maker: it evaluates candidates")
        jobs: list[Job | Flow] = []
        asked = conditions
        if self.retrieve_maker is not None:
            retrieve = self.retrieve_maker.make(conditions)
            jobs.append(retrieve)
            asked = retrieve.output.retrievals
        generate = self.generate_maker.make(asked)
        jobs.append(generate)
        if self.validate_maker is not None:
            validate = self.validate_maker.make(generate.output.generations)
            jobs.append(validate)
            if self.evaluate_maker is not None:
                jobs.append(self.evaluate_maker.make(validate.output.candidates, references))
        return jobs

"""The job that turns texts into candidates: crystals, checks, reasons."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any

from jobflow import Maker

from crystalicl_jobflow.jobs._fields import check_fields
from crystalicl_jobflow.jobs._inputs import as_generations, as_pattern, log_progress
from crystalicl_jobflow.jobs._job import crystal_job
from crystalicl_jobflow.schemas.base import DATA
from crystalicl_jobflow.schemas.candidate import ValidateDoc
from crystalicl_jobflow.utils.numbers import whole_number

logger = logging.getLogger(__name__)


@dataclass
class ValidateMaker(Maker):
    """Read every text as a crystal and check it.

    Parameters
    ----------
    name
        Name of the job.
    xrd
        Measured powder pattern that the candidates are compared with: a file, read when the Maker
        is made, a ``PowderPattern`` or its document; None for none. See `Candidate.xrd`.
    wavelength
        Of the pattern: a radiation such as 'CuKa', or Å; None: what the file says, else Cu Kα.
    processes
        Processes that share the checks.

    Raises
    ------
    ValueError
        If there is no pattern in the file; one line.

    Examples
    --------
    >>> from crystalicl_jobflow.jobs import GenerateMaker, ValidateMaker
    >>> generate = GenerateMaker().make({"formula": "CaTiO3", "space_group": 221})
    >>> validate = ValidateMaker().make(generate.output.generations)
    >>> validate.output.num_valid  # doctest: +ELLIPSIS
    OutputReference(..., .num_valid)
    """

    name: str = "validate"
    processes: int = 1
    xrd: Any = None
    wavelength: str | float | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        self.processes = whole_number(self.processes, "processes")
        self.xrd = as_pattern(self.xrd, self.wavelength)  # the worker has no such file

    @crystal_job(output_schema=ValidateDoc, data=DATA)
    def make(self, generations: Any) -> ValidateDoc:
        """Check the texts.

        Parameters
        ----------
        generations
            A generation or a list of them.

        Returns
        -------
        ValidateDoc
            One candidate per text, valid or not, in order.
        """
        from crystalicl_jobflow.validation.validate import build_candidates

        candidates = build_candidates(
            as_generations(generations),
            processes=self.processes,
            progress=log_progress(logger, self.name),
        )
        if self.xrd is not None:
            from crystalicl_jobflow.selection.pattern_fits import add_pattern_fits

            candidates = add_pattern_fits(
                candidates,
                self.xrd,
                processes=self.processes,
                progress=log_progress(logger, f"{self.name}: pattern"),
            )
        return ValidateDoc.from_candidates(candidates)

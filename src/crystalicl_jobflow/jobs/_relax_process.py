"""Relaxations in a process of their own, which is ended where one of them takes too long."""

from __future__ import annotations

from concurrent.futures import BrokenExecutor, Executor
from contextlib import chdir
from pathlib import Path
from types import TracebackType

from jobflow import Maker, Response
from pymatgen.core import Structure

from crystalicl_jobflow.energies.energy_model import EnergyFailure
from crystalicl_jobflow.schemas.stored_candidate import CandidateRelaxation
from crystalicl_jobflow.utils.torch_runtime import torch_threads


def relax_structure(
    relax_maker: Maker, candidate_id: str, structure: Structure
) -> CandidateRelaxation:
    """Relax one crystal here; a relaxation that raises is recorded as failed.

    Parameters
    ----------
    relax_maker
        A Maker whose ``make`` is one job.
    candidate_id, structure
        The candidate and its crystal.

    Raises
    ------
    TypeError
        If ``make`` is no job.
    """
    from crystalicl_jobflow.energies.relaxation_outputs import read_relaxation
    from crystalicl_jobflow.energies.relaxations import judge_relaxation

    # the method behind the job decorator: it runs here, and loads its model once
    relax = getattr(relax_maker.make, "original", None)
    if relax is None:
        raise TypeError(f"{type(relax_maker).__name__}.make is no job; relax each crystal alone")
    try:
        result = relax(relax_maker, structure)
        output = result.output if isinstance(result, Response) else result
        read = read_relaxation(candidate_id, output, maker=type(relax_maker).__name__)
        return judge_relaxation(read, structure.volume / len(structure))
    except Exception as error:  # whatever a force field raises is this crystal's failure
        return failed_relaxation(candidate_id, error)


def failed_relaxation(
    candidate_id: str,
    error: Exception | str,
    *,
    failure: EnergyFailure = EnergyFailure.MODEL_FAILED,
    level: str = "forcefield",
    source_uuid: str | None = None,
) -> CandidateRelaxation:
    """Return the record of a relaxation without a result.

    Parameters
    ----------
    candidate_id
        The candidate.
    error
        What was raised, or a sentence.
    failure
        The reason's code.
    level
        forcefield or dft.
    source_uuid
        The job.
    """
    from crystalicl_jobflow.energies.energy_model import sentence
    from crystalicl_jobflow.utils.redaction import redact

    return CandidateRelaxation(
        candidate_id=candidate_id,
        converged=False,
        level=level,
        source_uuid=source_uuid,
        failure_reason=failure.value,
        failure_message=error if isinstance(error, str) else redact(sentence(error)),
    )


class RelaxProcess:
    """A process that relaxes one crystal after the other, each within a time limit.

    It keeps its force field between crystals. Where a relaxation takes too long, or ends the
    process (a crash in compiled code), that crystal has failed, and a new process takes the
    others.

    Parameters
    ----------
    relax_maker
        A Maker whose ``make`` is one job.
    max_seconds
        Wall time of one relaxation, s; that of the first includes loading the force field.
    num_threads
        Torch threads; None leaves torch's own choice.
    """

    def __init__(
        self, relax_maker: Maker, *, max_seconds: float, num_threads: int | None = None
    ) -> None:
        self.relax_maker = relax_maker
        self.max_seconds = max_seconds
        self.num_threads = num_threads
        self._executor: Executor | None = None

    def __enter__(self) -> RelaxProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def relax(self, candidate_id: str, structure: Structure) -> CandidateRelaxation:
        """Relax one crystal.

        Parameters
        ----------
        candidate_id, structure
            The candidate and its crystal.
        """
        future = self._started().submit(
            _work, self.relax_maker, candidate_id, structure, self.num_threads, Path.cwd()
        )
        try:
            return future.result(timeout=self.max_seconds)
        except TimeoutError:
            self._end()
            return failed_relaxation(
                candidate_id,
                f"The relaxation took longer than {self.max_seconds:g} s.",
                failure=EnergyFailure.TIMED_OUT,
            )
        except BrokenExecutor:
            self._end()
            return failed_relaxation(candidate_id, "The relaxation ended its process.")

    def _started(self) -> Executor:
        from joblib.externals.loky import ProcessPoolExecutor

        if self._executor is None:
            self._executor = ProcessPoolExecutor(max_workers=1)
            # importing the force field's package is not the first crystal's time
            self._executor.submit(_import_maker, self.relax_maker).result()
        return self._executor

    def _end(self) -> None:
        if self._executor is not None:
            self._executor.shutdown(wait=True, kill_workers=True)  # type: ignore[call-arg]  # loky
        self._executor = None


def _import_maker(_maker: Maker) -> None:
    """Do nothing: reading the argument imports what the Maker comes from."""


def _work(
    relax_maker: Maker,
    candidate_id: str,
    structure: Structure,
    num_threads: int | None,
    folder: Path,
) -> CandidateRelaxation:
    with chdir(folder), torch_threads(num_threads):
        return relax_structure(relax_maker, candidate_id, structure)

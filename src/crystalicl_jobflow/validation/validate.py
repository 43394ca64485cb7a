"""From a text that a model wrote to a candidate document with every check made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from crystalicl_jobflow.schemas import (
    Candidate,
    Checks,
    Completion,
    Condition,
    FailureReason,
    Generation,
)
from crystalicl_jobflow.thresholds import MIN_DISTANCE, MIN_VOLUME, SYMPREC
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.validation.composition import composition_valid
from crystalicl_jobflow.validation.distances import distance_report
from crystalicl_jobflow.validation.provenance import candidate_id, provenance
from crystalicl_jobflow.validation.reading import read_text
from crystalicl_jobflow.validation.success import describe_misses, joint_success, judge
from crystalicl_jobflow.validation.summary import CrystalSummary, crystal_summary


@dataclass(frozen=True)
class StructureReport:
    """All checks of one crystal.

    Parameters
    ----------
    summary
        What the crystal is.
    checks
        Which checks it passes.
    failure
        First reason why the crystal is unphysical, with a sentence, or None.
    """

    summary: CrystalSummary
    checks: Checks
    failure: tuple[FailureReason, str] | None

    @property
    def valid(self) -> bool:
        """Whether both structural rules and the composition rule are met."""
        return _all_valid(self.checks)


def validate_structure(
    structure: Structure,
    *,
    condition: Condition | None = None,
    declared_space_group: int | None = None,
    symprec: float = SYMPREC,
) -> StructureReport:
    """Check one crystal: distances, volume, composition, symmetry.

    Parameters
    ----------
    structure
        The crystal.
    condition
        What was asked for; the group asked for is the one to adhere to.
    declared_space_group
        Number that the text declares, to adhere to where none was asked for.
    symprec
        Symmetry tolerance in Å.

    Returns
    -------
    StructureReport
        A crystal that cannot be measured (no atoms, no volume) is an invalid one, not an
        error.
    """
    summary = crystal_summary(structure, symprec=symprec)
    asked = condition.space_groups if condition is not None else None
    expected = asked or ((declared_space_group,) if declared_space_group is not None else None)
    failures: list[tuple[FailureReason, str]] = []

    shortest: float | None = None
    radii_valid = False
    try:
        contacts = distance_report(structure)
    except ValueError as error:
        failures.append((FailureReason.BAD_VOLUME, f"{error}."))
    else:
        shortest = contacts.min_distance
        radii_valid = contacts.overlapping is None
        pair, distance, limit = contacts.closest, shortest, MIN_DISTANCE
        if contacts.overlapping is not None:
            pair = contacts.overlapping
            distance = contacts.overlap_distance or 0.0
            limit = contacts.overlap_limit or 0.0
        if not radii_valid or shortest < MIN_DISTANCE:
            first, second = (structure[index].species_string for index in pair)
            what = f"{first} and {second}" if pair[0] != pair[1] else f"{first} and its own image"
            failures.append(
                (
                    FailureReason.ATOMS_OVERLAP,
                    f"{what} are {distance:.2f} Å apart; at least {limit:.2f} Å are needed.",
                )
            )
    if summary.volume < MIN_VOLUME and not failures:
        failures.append(
            (
                FailureReason.BAD_VOLUME,
                f"The cell's volume of {summary.volume:.3g} Å³ is too small.",
            )
        )
    if summary.space_group is None:
        failures.append(
            (FailureReason.SYMMETRY_NOT_FOUND, f"spglib finds no space group at {symprec:g} Å.")
        )
    elif expected is not None and summary.space_group not in expected:
        whose = "asked for" if asked else "declared in the text"
        failures.append(
            (
                FailureReason.SYMMETRY_DIFFERS,
                f"The space group found is {summary.space_group} ({summary.space_group_symbol}),"
                f" {whose} was {' or '.join(map(str, expected))}.",
            )
        )
    neutral = composition_valid(structure.composition)
    if not neutral:
        failures.append(
            (
                FailureReason.COMPOSITION_INVALID,
                f"{summary.formula} has no charge-neutral choice of oxidation states.",
            )
        )
    checks = Checks(
        min_distance=shortest,
        volume=summary.volume,
        structure_valid=(
            shortest is not None and shortest >= MIN_DISTANCE and summary.volume >= MIN_VOLUME
        ),
        structure_valid_radii=radii_valid,
        composition_valid=neutral,
        symmetry_adherent=summary.space_group in expected if expected is not None else None,
    )
    return StructureReport(summary, checks, failures[0] if failures else None)


def validate_completion(
    completion: Completion,
    generation: Generation,
    *,
    properties: Mapping[str, float] | None = None,
    symprec: float = SYMPREC,
) -> Candidate:
    """Turn one text into a candidate: read it, check it, judge it.

    Never raises for what a model wrote: a text that is no crystal becomes a candidate with a
    reason.

    Parameters
    ----------
    completion
        The text.
    generation
        The condition, prompt and model it was written under.
    properties
        Predicted or computed property values by name, where there are any.
    symprec
        Symmetry tolerance in Å.

    Raises
    ------
    ValueError
        If the generation names a text format that does not exist.
    """
    candidate = Candidate(
        candidate_id=candidate_id(completion, generation),
        condition=generation.condition,
        text=completion.text,
        text_format=generation.text_format,
        properties=dict(properties or {}),
        success=judge(generation.condition, None),
        provenance=provenance(completion, generation, symprec=symprec),
    )
    candidate.joint_success = joint_success(candidate.success)
    if completion.error is not None:
        candidate.failure_reason = FailureReason.NOT_GENERATED
        candidate.failure_message = completion.error
        return candidate
    structure, declared, failure = read_text(
        completion.text, generation.text_format, finished=completion.finished
    )
    candidate.declared_space_group = declared
    if structure is None:
        assert failure is not None
        candidate.failure_reason, candidate.failure_message = failure
        return candidate

    report = validate_structure(
        structure,
        condition=generation.condition,
        declared_space_group=declared,
        symprec=symprec,
    )
    return _fill(candidate, structure, report)


def build_candidates(
    generations: Sequence[Generation],
    *,
    processes: int = 1,
    progress: Progress | None = None,
    symprec: float = SYMPREC,
) -> list[Candidate]:
    """Validate every completion of every generation, in order.

    Parameters
    ----------
    generations
        Texts by condition.
    processes
        Processes to share the work; 1 works in this one.
    progress
        Called with (candidates done, candidates in all) as the work goes on.
    symprec
        Symmetry tolerance in Å.

    Returns
    -------
    list of Candidate
        One per completion, none left out.
    """
    # a generation without its completions is small: it travels with each text
    bare = [generation.model_copy(update={"completions": []}) for generation in generations]
    tasks = [
        (completion, bare[index], symprec)
        for index, generation in enumerate(generations)
        for completion in generation.completions
    ]
    return map_list(_validate_task, tasks, processes=processes, progress=progress)


def _validate_task(task: tuple[Completion, Generation, float]) -> Candidate:
    completion, generation, symprec = task
    return validate_completion(completion, generation, symprec=symprec)


def _fill(candidate: Candidate, structure: Structure, report: StructureReport) -> Candidate:
    """Write a crystal's report into its candidate."""
    summary = report.summary
    candidate.parsed = True
    candidate.structure = structure
    candidate.formula = summary.formula
    candidate.anonymous_formula = summary.anonymous_formula
    candidate.chemsys = summary.chemsys
    candidate.elements = summary.elements
    candidate.num_sites = summary.num_sites
    candidate.density = summary.density
    candidate.space_group = summary.space_group
    candidate.space_group_symbol = summary.space_group_symbol
    candidate.checks = report.checks
    candidate.valid = report.valid
    candidate.success = judge(candidate.condition, summary, properties=candidate.properties)
    candidate.joint_success = joint_success(candidate.success)
    candidate.failure_reason = candidate.failure_message = None
    if report.failure is not None:
        candidate.failure_reason, candidate.failure_message = report.failure
    elif candidate.joint_success is False:
        misses = describe_misses(
            candidate.condition, summary, candidate.success, properties=candidate.properties
        )
        candidate.failure_reason = FailureReason.CONDITION_NOT_MET
        candidate.failure_message = f"{misses[:1].upper()}{misses[1:]}."
    return candidate


def _all_valid(checks: Checks) -> bool:
    return bool(
        checks.structure_valid and checks.structure_valid_radii and checks.composition_valid
    )

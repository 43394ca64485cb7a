"""From a text that a model wrote to a candidate document with every check made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from crystalicl_jobflow.evaluation._parallel import Progress, run_chunks
from crystalicl_jobflow.evaluation.composition import composition_valid
from crystalicl_jobflow.evaluation.distances import distance_report
from crystalicl_jobflow.evaluation.success import describe_misses, joint_success, judge
from crystalicl_jobflow.evaluation.summary import CrystalSummary, crystal_summary
from crystalicl_jobflow.evaluation.thresholds import (
    MIN_DISTANCE,
    MIN_VOLUME,
    SYMPREC,
    check_tolerances,
)
from crystalicl_jobflow.schemas import (
    Candidate,
    Checks,
    Completion,
    Condition,
    FailureReason,
    Generation,
    Provenance,
)


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
        provenance=_provenance(completion, generation, symprec),
    )
    candidate.joint_success = joint_success(candidate.success)
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


def rejudge(candidate: Candidate, *, properties: Mapping[str, float] | None = None) -> Candidate:
    """Return the candidate with success judged anew, as when properties have become known.

    Parameters
    ----------
    candidate
        A validated candidate.
    properties
        Values to add or replace, by name.
    """
    changed = candidate.model_copy(deep=True)
    changed.properties.update(properties or {})
    if changed.structure is None:
        return changed
    report = validate_structure(
        changed.structure,
        condition=changed.condition,
        declared_space_group=changed.declared_space_group,
        symprec=float(changed.provenance.tolerances.get("symprec", SYMPREC)),
    )
    return _fill(changed, changed.structure, report)


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
    return run_chunks(_validate_task, tasks, processes=processes, progress=progress)


def _validate_task(task: tuple[Completion, Generation, float]) -> Candidate:
    completion, generation, symprec = task
    return validate_completion(completion, generation, symprec=symprec)


def read_text(
    text: str, text_format: str, *, finished: bool = True
) -> tuple[Structure | None, int | None, tuple[FailureReason, str] | None]:
    """Read a model's text.

    Parameters
    ----------
    text
        What the model wrote.
    text_format
        Name of the format, e.g. ``sgs``.
    finished
        Whether the model ended the text by itself. An unreadable text that it did not end
        was cut off, whatever the reader stumbled over.

    Returns
    -------
    structure, declared_space_group, failure
        No structure exactly when there is a failure. The declared group is None for
        formats that declare none.
    """
    from crystalicl_jobflow.text import TextError, get_text

    codec = get_text(text_format)
    declared: int | None = None
    try:
        if hasattr(codec, "parse"):  # texts that declare a group: known even if building fails
            crystal = codec.parse(text)
            declared = crystal.space_group_number
            structure = codec.build(crystal)
        else:
            structure = codec.decode(text)
    except TextError as error:
        reason, message = error.reason, str(error)
        if not finished and reason is not FailureReason.EMPTY:
            return None, declared, (FailureReason.TRUNCATED, f"The text was cut off ({message}).")
        return None, declared, (reason, message)
    except Exception as error:
        # A reader that fails in an unforeseen way must not take the whole batch with it.
        message = f"the text cannot be read: {type(error).__name__}: {error}".splitlines()[0]
        return None, declared, (FailureReason.AMBIGUOUS, message)
    return structure, declared, None


def candidate_id(completion: Completion, generation: Generation) -> str:
    """Return the key of a draw: the same draw gives the same id, on any machine.

    Hash of condition, prompt, text, format, sampling (the seed above all), request and
    sample index, and model; where the model ran does not count.

    Returns
    -------
    str
        24 hexadecimal digits of a SHA-256 hash.
    """
    key = {
        "condition": generation.condition.model_dump(mode="json"),
        "prompt": generation.prompt,
        "text": completion.text,
        "text_format": generation.text_format,
        "sampling": generation.sampling.model_dump(mode="json"),
        "request_index": completion.request_index,
        "sample_index": completion.sample_index,
        "model": generation.model.model_dump(mode="json", exclude={"device"}),
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]


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


def _provenance(completion: Completion, generation: Generation, symprec: float) -> Provenance:
    return Provenance(
        prompt=generation.prompt,
        demonstration_ids=list(generation.demonstration_ids),
        strategy=generation.strategy,
        relaxed=list(generation.relaxed),
        request_index=completion.request_index,
        sample_index=completion.sample_index,
        attempts=completion.attempts,
        rejected=dict(completion.rejected),
        constraint=completion.constraint,
        finished=completion.finished,
        num_tokens=completion.num_tokens,
        sampling=generation.sampling,
        model=generation.model,
        versions={**generation.versions, **check_versions()},
        tolerances=check_tolerances(symprec),
    )


def check_versions() -> dict[str, str]:
    """Return the versions of the packages that the checks rest on."""
    return dict(_VERSIONS)


def _package_versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in ("crystalicl-jobflow", "pymatgen", "spglib", "smact"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


_VERSIONS = _package_versions()

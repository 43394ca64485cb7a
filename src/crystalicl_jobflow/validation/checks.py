"""The checks of one crystal, a function each: why it fails, or None."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from pymatgen.core import Structure

from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.given import as_structure
from crystalicl_jobflow.schemas import Checks, Condition, FailureReason
from crystalicl_jobflow.thresholds import MIN_DISTANCE, MIN_VOLUME, SYMPREC
from crystalicl_jobflow.validation.composition import composition_valid
from crystalicl_jobflow.validation.distances import DistanceReport, distance_report
from crystalicl_jobflow.validation.summary import CrystalSummary, crystal_summary


class Failure(NamedTuple):
    """Why a text or a crystal fails a check: a code and a sentence."""

    reason: FailureReason
    message: str


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
        First check that it fails, or None.
    """

    summary: CrystalSummary
    checks: Checks
    failure: Failure | None

    def __repr__(self) -> str:
        found = self.summary
        group = f"{found.space_group_symbol} ({found.space_group})" if found.space_group else "?"
        says = "valid" if self.failure is None else self.failure.message
        return f"StructureReport({found.formula}, {group}, {found.num_sites} sites: {says})"

    @property
    def valid(self) -> bool:
        """Whether both structural rules and the composition rule are met."""
        found = self.checks
        return bool(
            found.structure_valid and found.structure_valid_radii and found.composition_valid
        )


def validate_structure(
    structure: Any,
    *,
    condition: Condition | None = None,
    declared_space_group: int | None = None,
    symprec: float = SYMPREC,
) -> StructureReport:
    """Check one crystal: distances, volume, symmetry, composition.

    Parameters
    ----------
    structure
        The crystal: a `Structure` or ASE's `Atoms`.
    condition
        The condition it was written for; its space groups are the ones to adhere to.
    declared_space_group
        Number that the text declares, to adhere to where the condition has none.
    symprec
        Symmetry tolerance in Å.

    Returns
    -------
    StructureReport
        A crystal that cannot be measured (no atoms, no volume) is invalid, not an error.
    """
    structure = as_structure(structure)
    letters = condition is not None and condition.wyckoff is not None
    summary = crystal_summary(structure, symprec=symprec, letters=letters)
    wanted = condition.space_groups if condition is not None else None
    declared = None if declared_space_group is None else (declared_space_group,)
    expected = wanted or declared
    contacts: DistanceReport | None = None
    failure: Failure | None = None
    try:
        contacts = distance_report(structure)
    except ValueError as error:
        failure = Failure(FailureReason.BAD_VOLUME, f"{error}.")
    else:
        failure = overlap_failure(structure, contacts)
    neutral = composition_valid(crystal_composition(structure))
    failure = (
        failure
        or volume_failure(summary)
        or symmetry_failure(summary, expected, stated=not wanted, symprec=symprec)
        or composition_failure(summary, neutral)
    )
    shortest = None if contacts is None else contacts.min_distance
    checks = Checks(
        min_distance=shortest,
        volume=summary.volume,
        structure_valid=(
            shortest is not None and shortest >= MIN_DISTANCE and summary.volume >= MIN_VOLUME
        ),
        structure_valid_radii=contacts is not None and contacts.overlapping is None,
        composition_valid=neutral,
        symmetry_adherent=summary.space_group in expected if expected is not None else None,
    )
    return StructureReport(summary, checks, failure)


def overlap_failure(structure: Structure, contacts: DistanceReport) -> Failure | None:
    """Return the pair that is too close, by the radii rule first, then by `MIN_DISTANCE`."""
    if contacts.overlapping is not None:
        pair = contacts.overlapping
        distance, limit = contacts.overlap_distance or 0.0, contacts.overlap_limit or 0.0
    elif contacts.min_distance < MIN_DISTANCE:
        pair, distance, limit = contacts.closest, contacts.min_distance, MIN_DISTANCE
    else:
        return None
    first, second = (structure[index].species_string for index in pair)
    what = f"{first} and {second}" if pair[0] != pair[1] else f"{first} and its own image"
    return Failure(
        FailureReason.ATOMS_OVERLAP,
        f"{what} are {distance:.2f} Å apart; at least {limit:.2f} Å are needed.",
    )


def volume_failure(summary: CrystalSummary) -> Failure | None:
    """Compare the cell's volume with `MIN_VOLUME`."""
    if summary.volume >= MIN_VOLUME:
        return None
    return Failure(
        FailureReason.BAD_VOLUME, f"The cell's volume of {summary.volume:.3g} Å³ is too small."
    )


def symmetry_failure(
    summary: CrystalSummary,
    expected: tuple[int, ...] | None,
    *,
    stated: bool = False,
    symprec: float = SYMPREC,
) -> Failure | None:
    """Compare the space group found with the expected ones.

    Parameters
    ----------
    summary
        What the crystal is.
    expected
        Numbers, one of which it should be; None if any will do.
    stated
        Whether it is the text that states the group, not the condition.
    symprec
        Tolerance in Å at which the group was looked for, for the message.
    """
    if summary.space_group is None:
        return Failure(
            FailureReason.SYMMETRY_NOT_FOUND, f"spglib finds no space group at {symprec:g} Å."
        )
    if expected is None or summary.space_group in expected:
        return None
    whose = "declared in the text" if stated else "asked for"
    return Failure(
        FailureReason.SYMMETRY_DIFFERS,
        f"The space group found is {summary.space_group} ({summary.space_group_symbol}),"
        f" {whose} was {' or '.join(map(str, expected))}.",
    )


def composition_failure(summary: CrystalSummary, neutral: bool) -> Failure | None:
    """Refuse a composition that no choice of oxidation states makes neutral."""
    if neutral:
        return None
    return Failure(
        FailureReason.COMPOSITION_INVALID,
        f"{summary.formula} has no charge-neutral choice of oxidation states.",
    )

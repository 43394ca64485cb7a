"""Realism as CrystalICL's table 7 has it: overlap, symmetry adherence, negative energies."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

from pymatgen.core import Structure

from crystalicl_jobflow.schemas import Rate
from crystalicl_jobflow.thresholds import NEGATIVE_FORMATION_ENERGY, SYMPREC
from crystalicl_jobflow.utils.parallel import map_list
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.validation.distances import distance_report
from crystalicl_jobflow.validation.summary import find_space_group

logger = logging.getLogger(__name__)

Groups = Sequence[int | tuple[int, ...] | None]
"""Space-group numbers by sample: the one declared, the condition's, or None for neither."""

REALISM_MEANINGS: dict[str, str] = {
    "overlap": "atoms closer than half their radii's sum / crystals (parsed samples)",
    "symmetry_adherence": "group found is the asked, else declared one / samples asked for a"
    " group or declaring one",
    "negative_formation_energy": "formation energy below 0 / samples",
}
"""What each rate of :func:`judge_realism` divides by what."""


@dataclass(frozen=True)
class Realism:
    """Rates of table 7, and each sample's part in them.

    Parameters
    ----------
    rates
        See :data:`REALISM_MEANINGS`.
    overlap
        By sample; None where there is no crystal.
    adherent
        By sample; None where neither condition nor text has a group.
    negative_energy
        By sample; None where energies were not given at all.
    """

    rates: dict[str, Rate]
    overlap: list[bool | None]
    adherent: list[bool | None]
    negative_energy: list[bool | None]


def judge_realism(
    structures: Sequence[Structure | None],
    *,
    space_groups: Groups | None = None,
    formation_energies: Sequence[float | None] | None = None,
    symprec: float = SYMPREC,
    processes: int = 1,
    progress: Progress | None = None,
) -> Realism:
    """Judge samples by overlap, symmetry and formation energy.

    Parameters
    ----------
    structures
        One per sample; None for a text that is not a crystal.
    space_groups
        The group to adhere to, by sample: the condition's, else the declared one, None
        for neither.
    formation_energies
        eV/atom by sample, None or NaN where there is none: not negative, then.
    symprec
        Symmetry tolerance in Å.
    processes
        Worker processes.
    progress
        Called with (crystals done, crystals).

    Raises
    ------
    ValueError
        If a sequence has not one entry per sample.

    Notes
    -----
    Source: CrystalICL, appendix H and table 7. A text that is not a crystal adheres to no group
    and has no negative energy; it does not enter the overlap rate, of which less is better,
    so that failing to write a crystal never improves a figure.
    """
    count = len(structures)
    for name, given in (("space groups", space_groups), ("energies", formation_energies)):
        if given is not None and len(given) != count:
            raise ValueError(f"{len(given)} {name} for {count} samples")
    places = [index for index, structure in enumerate(structures) if structure is not None]
    tasks = [(s, symprec, space_groups is not None) for s in structures if s is not None]
    answers = map_list(_judge, tasks, processes=processes, progress=progress, on_death=_died)
    overlap: list[bool | None] = [None] * count
    found: list[int | None] = [None] * count
    for place, (overlaps, group) in zip(places, answers, strict=True):
        overlap[place], found[place] = overlaps, group
    adherent: list[bool | None] = [
        None if expected is None else group in _as_tuple(expected)
        for expected, group in zip(space_groups or [None] * count, found, strict=True)
    ]
    negative: list[bool | None] = [None] * count
    if formation_energies is not None:
        negative = [
            structure is not None and is_negative(energy)
            for structure, energy in zip(structures, formation_energies, strict=True)
        ]
    return Realism(realism_rates(overlap, adherent, negative), overlap, adherent, negative)


def realism_rates(
    overlap: Sequence[bool | None],
    adherent: Sequence[bool | None],
    negative_energy: Sequence[bool | None],
) -> dict[str, Rate]:
    """Sum up flags that are known already, see :class:`Realism`; None enters nothing.

    Parameters
    ----------
    overlap, adherent, negative_energy
        By sample, see :class:`Realism`.
    """
    flags = {
        "overlap": overlap,
        "symmetry_adherence": adherent,
        "negative_formation_energy": negative_energy,
    }
    return {
        name: Rate.from_counts(
            sum(value is True for value in values), sum(value is not None for value in values)
        )
        for name, values in flags.items()
    }


def is_negative(energy: float | None) -> bool:
    """Tell whether a formation energy is below 0 eV/atom; no energy is not."""
    return (
        energy is not None and not math.isnan(energy) and float(energy) < NEGATIVE_FORMATION_ENERGY
    )


def _judge(task: tuple[Structure, float, bool]) -> tuple[bool, int | None]:
    structure, symprec, with_group = task
    try:
        overlaps = distance_report(structure).overlapping is not None
    except ValueError:  # no atoms, no volume: everything lies on everything
        overlaps = True
    if not with_group:
        return overlaps, None
    return overlaps, find_space_group(structure, symprec=symprec)[0]


def _died(task: tuple[Structure, float, bool]) -> tuple[bool, int | None]:
    logger.warning("%s: the process that judged a crystal ended; overlap", task[0].formula)
    return True, None


def _as_tuple(expected: int | tuple[int, ...]) -> tuple[int, ...]:
    return (expected,) if isinstance(expected, int) else tuple(expected)

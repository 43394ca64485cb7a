"""What the page opens with: what was asked, what came of it, and what is new about that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from crystalicl_jobflow.report.reference import Reference, reference_name
from crystalicl_jobflow.report.run import Run
from crystalicl_jobflow.report.wording import words
from crystalicl_jobflow.utils.messages import counted
from crystalicl_jobflow.utils.redaction import redact

MOST_ASKED = 4
"""Most conditions that the first sentence names."""

MOST_REASONS = 3
"""Most reasons of failure that are named where nothing is valid."""

Draws = Mapping[int, list[int]]
"""Place of each different valid crystal's best draw → places of all its draws."""


@dataclass(frozen=True)
class Opening:
    """Three sentences.

    Parameters
    ----------
    asked
        What was asked for.
    found
        How many different valid crystals came of how many draws.
    new
        What is new about them, and against what; or that nothing was compared.
    """

    asked: str
    found: str
    new: str


def opening(run: Run, crystals: Draws | None, reference: Reference | None = None) -> Opening:
    """Return the three sentences that the page opens with.

    Parameters
    ----------
    run
        The run.
    crystals
        Its different valid crystals; None where they were not compared with each other.
    reference
        What the page's distributions are beside.
    """
    return Opening(_asked(run), _found(run, crystals), _new(run, crystals, reference))


def _asked(run: Run) -> str:
    labels = dict.fromkeys(_question(run, place) for place in range(len(run.candidates)))
    named = list(labels)[:MOST_ASKED]
    more = len(labels) - len(named)
    text = "; ".join(named) + (f"; and {more} more" if more else "")
    data_set = run.document.get("dataset")
    if isinstance(data_set, str) and data_set:
        text += f", from the crystals of {data_set}"
    if run.pattern is not None:
        text += f", to explain the measured powder pattern {run.pattern.name}"
    return f"Asked for: {text}."


def _question(run: Run, place: int) -> str:
    candidate = run.candidates[place]
    edit = candidate.provenance.edit
    if edit is None:
        return candidate.condition.label()
    formula = edit.parent_formula
    parent = edit.parent_id + (f" ({formula})" if formula and formula != edit.parent_id else "")
    return f"{parent}, {edit.change or edit.kind}"


def _found(run: Run, crystals: Draws | None) -> str:
    draws = len(run.candidates)
    valid = sum(candidate.valid for candidate in run.candidates)
    of = "The one draw" if draws == 1 else f"The {draws:,} draws"
    if not valid:
        reasons = Counter(str(c.failure_reason) for c in run.candidates if c.failure_reason)
        found = ", ".join(
            f"{n} × {words(reason)}" for reason, n in reasons.most_common(MOST_REASONS)
        )
        return f"{of} gave no valid crystal" + (f": {found}." if found else ".")
    if crystals is None:
        unique = run.rates.get("unique")
        crystal = sum(candidate.structure is not None for candidate in run.candidates)
        if unique is not None and unique.of == draws and crystal == valid:
            return f"{of} gave {counted(unique.count, 'different valid crystal')}."
        return (
            f"{of} gave {counted(valid, 'valid crystal')}; how many of them are different was not"
            " counted."
        )
    number = len(crystals)
    met = [run.candidates[place].joint_success for place in crystals]
    asked = ""
    if None not in met:
        as_asked = sum(map(bool, met))
        asked = f", {_of_all(as_asked, number)} as asked for"
        if number == 1:
            asked = ", as asked for" if as_asked else ", but not as asked for"
    return f"{of} gave {counted(number, 'different valid crystal')}{asked}."


def _new(run: Run, crystals: Draws | None, reference: Reference | None) -> str:
    places = [place for place, item in enumerate(run.candidates) if item.valid]
    if crystals is not None:
        places = list(crystals)
    if not places:
        return "So there is nothing that could be new."
    clauses = [*_from_parents(run, places), _from_known(run, places, reference)]
    text = "; ".join(clauses)
    return f"{text[0].upper()}{text[1:]}."


def _from_parents(run: Run, places: list[int]) -> list[str]:
    """Say how many crystals of an edit differ from what they were made of."""
    edits = [run.candidates[place].provenance.edit for place in places]
    same = [edit.matches_parent for edit in edits if edit and edit.matches_parent is not None]
    if not same:
        return []
    if len(same) == 1:
        return [f"it {'is' if same[0] else 'differs from'} the crystal that it was made of"]
    differ = sum(not item for item in same)
    verb = "differs" if differ == 1 else "differ"
    return [f"{_of_all(differ, len(same))} {verb} from the crystals that they were made of"]


def _from_known(run: Run, places: list[int], reference: Reference | None) -> str:
    """Say how many are new, against what, or why that is not known."""
    verdicts = [run.value(place, "novel") for place in places]
    judged = [bool(verdict) for verdict in verdicts if verdict is not None]
    against = _with_count(redact(str(run.tolerances.get("novel_against", "the known crystals"))))
    if judged:
        left = len(verdicts) - len(judged)
        return _verdict(sum(judged), len(judged), against) + (
            f" ({left:,} not judged)" if left else ""
        )
    if reference is not None and not reference.whole:
        return (
            f"whether they are new is not known: of the {reference.num_total:,} crystals of"
            f" {reference.name} {reference.num_crystals:,} were read"
        )
    known_set = reference_name(run) or (reference.name if reference is not None else None)
    match = run.rates.get("match")
    if match is not None and match.of:
        draw = "draw matches" if match.count == 1 else "draws match"
        of = f", from {known_set}" if known_set else ""
        return (
            f"whether they are new was not asked; {match.count:,} of {match.of:,} {draw} the true"
            f" crystal of {'its' if match.count == 1 else 'their'} condition{of}"
        )
    if known_set is not None:
        return (
            f"whether they are new was not asked: with {known_set} only distributions were compared"
        )
    return (
        "they were compared with no known crystals: what is new about them is not known"
        if len(places) > 1
        else "it was compared with no known crystals: whether it is new is not known"
    )


def _verdict(new: int, number: int, against: str) -> str:
    """Say how many crystals are not among those of a reference."""
    if number == 1:
        return f"it is {'new: not ' if new else 'not new: it is '}among the crystals of {against}"
    if not new:
        return f"none is new: {_of_all(number, number)} are among the crystals of {against}"
    verb = "is" if new == 1 else "are"
    return f"{_of_all(new, number)} {verb} new: not among the crystals of {against}"


def _of_all(number: int, of: int) -> str:
    """Return ``all 3``, ``2 of the 3`` or ``none of the 3`` of two or more things."""
    if number == of:
        return "both" if of == 2 else f"all {of:,}"
    return f"{number:,} of the {of:,}" if number else f"none of the {of:,}"


def _with_count(against: str) -> str:
    """Return ``name, 12 crystals`` as ``name (12 crystals)``."""
    name, comma, count = against.rpartition(", ")
    if not comma or not count.endswith(" crystals"):
        return against
    return f"{name} ({'1 crystal' if count == '1 crystals' else count})"

"""From a crystal that one has to others, in one line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from crystalicl_jobflow.editing.edit import edit_crystals
from crystalicl_jobflow.notebook.crystals import Crystals
from crystalicl_jobflow.schemas import Candidate, Strategy
from crystalicl_jobflow.schemas.editing import EditRequest

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.generation.writing import Writing
    from crystalicl_jobflow.retrieval import DemonstrationIndex


class WritingOptions(TypedDict, total=False):
    """How the texts are written, as in `generate`."""

    samples: int
    model: TextGenerator | str | None
    pool: DemonstrationIndex | str | None
    strategy: Strategy
    shots: int
    seed: int
    writing: Writing | None


def edit(
    crystal: Any,
    *,
    substitute: Mapping[str, Sequence[str] | str] | str | None = None,
    mask: Sequence[str | int] | str | int | None = None,
    mutate: bool = False,
    complete: bool = False,
    formula: str | None = None,
    elements: Sequence[str] | str | None = None,
    redraw: Sequence[str] | None = None,
    **options: Unpack[WritingOptions],
) -> Crystals:
    """Edit crystals: exactly one of ``substitute``, ``mask``, ``mutate``, ``complete``.

    Parameters
    ----------
    crystal
        A structure, ASE atoms, a generated crystal, a candidate, a file, a folder, CSV or store,
        or a list of them. With ``complete`` the beginning of an SGS text, or its file.
    substitute
        ``{"Ti": ["Zr", "Hf"]}`` or ``"Ti=Zr,Hf"``; ``"Ti=any"`` takes ions of the same charge,
        ``"any"`` tries this for every element.
    mask
        Orbits that the model fills: elements (``"Cl"``), numbers from 1, or elements with
        their Wyckoff letter (``"O 4c"``).
    mutate
        Keep group and orbits, draw cell and coordinates again; with a formula, its elements
        take their places.
    complete
        Keep the beginning of a text, or given lines of it, and write the rest.
    formula, elements
        What the filled or completed crystal is to be made of.
    redraw
        ``["cell"]``, ``["coordinates"]`` or both: what the model writes besides.
    **options
        ``samples`` (8), ``model``, ``pool``, ``strategy``, ``shots``, ``seed`` and ``writing``,
        as in `generate`.

    Returns
    -------
    Crystals
        The different crystals: of substitutions the most probable under the model first, of
        other edits one after the other. ``crystals[0].candidate.provenance.edit`` holds the
        parent's id, what was kept and whether the crystal is its parent again.

    Raises
    ------
    EditError, ConditionError, PatternError
        If the crystal cannot be edited so; one line.

    Examples
    --------
    >>> from crystalicl_jobflow import edit
    >>> edit("CaTiO3.cif", substitute="Ti=Zr,Hf")  # doctest: +SKIP
    >>> edit("NaCl.cif", mask="Cl", elements=["F", "Br"])  # doctest: +SKIP
    """
    request = EditRequest.build(
        substitute=substitute,
        mask=mask,
        mutate=mutate,
        complete=complete,
        formula=formula,
        elements=elements,
        redraw=None if redraw is None else tuple([redraw] if isinstance(redraw, str) else redraw),
    )
    return different(edit_crystals(crystal, request, **options), request)


def different(candidates: Sequence[Candidate], request: EditRequest) -> Crystals:
    """Return the different crystals among those of edits.

    Parameters
    ----------
    candidates
        Of one request, valid or not.
    request
        What was to be changed: substitutions are ranked by their probability under the model,
        the others stay one edit after the other.
    """
    crystals = Crystals.from_candidates(candidates)
    if request.kind != "substitute":
        return crystals
    unknown = float("-inf")
    ranked = sorted(
        crystals,
        key=lambda item: (not item.valid, -(unknown if item.log_prob is None else item.log_prob)),
    )
    return Crystals(ranked, crystals.candidates)

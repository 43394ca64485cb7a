"""Prompts for retrieved demonstrations, written as training writes them."""

from __future__ import annotations

from collections.abc import Sequence

from crystalicl_jobflow.prompts import crystal_prompt, demonstration_sentences
from crystalicl_jobflow.schemas import Demonstration, Retrieval
from crystalicl_jobflow.text import SGS, SGSCrystal, TextError
from crystalicl_jobflow.text.alignment import align_all, align_to_any, with_positions
from crystalicl_jobflow.text.formats import crystal_text


def retrieval_prompt(retrieval: Retrieval, text_format: str, template: str) -> str:
    """Return the prompt; what its crystals have in common stands in the same lines.

    Parameters
    ----------
    retrieval
        Condition and demonstrations. The pool's SGS texts are rewritten where another format
        is asked.
    text_format, template
        As in `crystal_prompt`.
    """
    if not retrieval.demonstrations:
        return crystal_prompt(retrieval.condition, text_format=text_format, template=template)
    pairs = [
        (demonstration_sentences(demonstration, retrieval.condition, template=template), text)
        for demonstration, text in zip(
            retrieval.demonstrations, _shown(retrieval.demonstrations, text_format), strict=True
        )
    ]
    return crystal_prompt(retrieval.condition, pairs, text_format=text_format, template=template)


def _shown(demonstrations: Sequence[Demonstration], text_format: str) -> list[str]:
    """Return the texts of demonstrations as training writes them.

    In SGS each is written in the description of the first one, where it has its structure:
    what is to be copied then stands line by line.
    """
    if text_format != "sgs":
        # another cell or other digits would be news to the model
        return [
            crystal_text(
                SGS.analyze(item.structure or SGS.decode(item.text), item.symprec), text_format
            )
            for item in demonstrations
        ]
    shown = [_crystal(item) for item in demonstrations]
    known = [crystal for crystal in shown if crystal is not None]
    aligned = iter(zip(known, align_all(known, nearest=False), strict=True))
    texts = []
    for item, crystal in zip(demonstrations, shown, strict=True):
        before, after = (None, None) if crystal is None else next(aligned)
        texts.append(item.text if after is None or after is before else SGS.format(after))
    return texts


def as_shown(crystals: Sequence[SGSCrystal], demonstrations: Sequence[Demonstration]) -> list[str]:
    """Write crystals in the description of the crystals that a prompt shows, in SGS.

    So a trained model writes its answers: only then is the text of a crystal as probable as
    the crystal.

    Parameters
    ----------
    crystals
        As they were read or put together, with or without Wyckoff letters.
    demonstrations
        Those of the prompt.

    Returns
    -------
    list of str
        A crystal whose structure no demonstration has keeps its own description.
    """
    shown = [crystal for item in demonstrations if (crystal := _crystal(item)) is not None]
    shown = align_all(shown, nearest=False)
    texts = []
    for crystal in crystals:
        placed = with_positions(crystal)
        texts.append(SGS.format(crystal if placed is None else align_to_any(placed, shown)))
    return texts


def _crystal(demonstration: Demonstration) -> SGSCrystal | None:
    try:
        return with_positions(SGS.parse(demonstration.text))
    except TextError:
        return None

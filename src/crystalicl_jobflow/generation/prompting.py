"""Prompts for retrieved demonstrations, written as training writes them."""

from __future__ import annotations

from collections.abc import Sequence

from crystalicl_jobflow.prompts import crystal_prompt, demonstration_sentences
from crystalicl_jobflow.schemas import Demonstration, Retrieval
from crystalicl_jobflow.text import SGS, SGSCrystal, TextError
from crystalicl_jobflow.text.alignment import align_all, with_positions
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
    crystals: list[SGSCrystal] = []
    places: list[int] = []
    for place, item in enumerate(demonstrations):
        try:
            crystal = with_positions(SGS.parse(item.text))
        except TextError:
            continue
        if crystal is not None:
            crystals.append(crystal)
            places.append(place)
    texts = [item.text for item in demonstrations]
    aligned = align_all(crystals, nearest=False)
    for place, before, after in zip(places, crystals, aligned, strict=True):
        if after is not before:
            texts[place] = SGS.format(after)
    return texts

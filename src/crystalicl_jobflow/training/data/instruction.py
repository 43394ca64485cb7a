"""One instruction: a prompt and its response."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Instruction:
    """A prompt and the response that a model is to give.

    Parameters
    ----------
    prompt
        Up to and with ``### Response:``.
    response
        The text after it, starting with a line end or a blank.
    kind
        'zero-shot', 'few-shot C' (with the strategy; 'few-shot C for CF' where there are no
        fingerprints for the intended strategy) or 'property'.
    crystal_id
        The target crystal.
    demonstration_ids
        The crystals shown as examples.
    examples
        Positions of the shown crystals' texts in the prompt, as (start, end).
    """

    prompt: str
    response: str
    kind: str
    crystal_id: str
    demonstration_ids: tuple[str, ...] = ()
    examples: tuple[tuple[int, int], ...] = ()

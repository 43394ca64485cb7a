"""CrysText's prompts: the Alpaca form (Taori et al., 2023) around a material description.

CrysText asks for a CIF by composition and space group, or by the energy above the convex hull,
without demonstrations. This is the wording used with its published weights. Parts that CrysText
does not cover (other texts, demonstrations, property prediction) are worded in the same style.
"""

from __future__ import annotations

from collections.abc import Sequence

from crystalicl_jobflow.schemas import PropertySpec

_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further"
    " context. Write a response that appropriately completes the request."
)
_WITHOUT_INPUT = (
    "Below is an instruction that describes a task. Write a response that appropriately"
    " completes the request."
)
_CONTENTS = {
    "cif": "CIF",
    "sgs": "the space group, lattice and sites",
    "sgsw": "the space group, lattice and Wyckoff sites",
    "xyz": "the lattice and all atoms",
}


def alpaca_prompt(instruction: str, context: str) -> str:
    """Return an Alpaca prompt, up to the line that its response begins.

    Parameters
    ----------
    instruction
        The task.
    context
        The input; empty for the form without one.
    """
    parts = [_WITH_INPUT if context else _WITHOUT_INPUT, f"### Instruction:\n{instruction}"]
    if context:
        parts.append(f"### Input:\n{context}")
    return "\n\n".join([*parts, "### Response:\n"])


def alpaca_crystal_prompt(
    asked: str,
    shown: Sequence[tuple[str, str]],
    *,
    text_format: str,
    by_stability: bool,
) -> str:
    """Return the prompt that asks for one crystal.

    Parameters
    ----------
    asked
        Sentences of the condition.
    shown
        Demonstrations as (sentences, crystal text).
    text_format
        'sgs', 'sgsw', 'xyz' or 'cif'.
    by_stability
        Whether the condition includes the energy above the hull.
    """
    contents = _CONTENTS[text_format]
    if by_stability:
        task = f"Generate {contents} for a stable material based on the given description."
    elif asked or shown:
        task = f"Generate {contents} for the given material description"
    else:
        task = f"Generate {contents} for a material"
    blocks = [
        f"Example {number}: {sentences}".rstrip() + f"\n{text}"
        for number, (sentences, text) in enumerate(shown, start=1)
    ]
    return alpaca_prompt(task, "\n\n".join([*blocks, asked] if asked else blocks))


def alpaca_property_prompt(spec: PropertySpec, text: str) -> str:
    """Return the prompt that asks for a property of a given crystal."""
    unit = f" in {spec.unit}" if spec.unit else ""
    return alpaca_prompt(f"Predict the {spec.phrase}{unit} of the given material.", text)

"""The prompts by template: CrystalICL's (appendix G), byte for byte, and CrysText's Alpaca form."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crystalicl_jobflow.prompts.alpaca import alpaca_crystal_prompt, alpaca_property_prompt
from crystalicl_jobflow.prompts.sentences import (
    check_template,
    condition_sentences,
    demonstration_sentences,
)
from crystalicl_jobflow.schemas import PROPERTIES, Condition, Demonstration, find_property

MAX_SHOTS = 5
"""Maximum number of demonstrations in one prompt."""

RESPONSE = "### Response:"

_COUNTS = ("zero", "one", "two", "three", "four", "five")
_ORDINALS = ("First", "Second", "Third", "Fourth", "Fifth")

# What a response holds, by text format: (zero-shot wording, few-shot wording). The SGS pair is
# the paper's (it says "and then" in one and "along with" in the other); XYZ follows CrystalLLM,
# which differs by the space group only.
_SGS = (
    "the space group symbol, a description of the lengths and angles of the lattice vectors and"
    " then the element type and coordinates for each atom within the lattice",
    "the space group symbol, a description of the lengths and angles of the lattice vectors,"
    " along with the element type and coordinates for each atom within the lattice",
)
TASKS: dict[str, tuple[str, str]] = {
    "sgs": _SGS,
    "sgsw": _SGS,
    "xyz": tuple(wording.replace("the space group symbol, ", "") for wording in _SGS),  # type: ignore[dict-item]
    "cif": ("the crystallographic information file (CIF)",) * 2,
}


def prefix_lines(text: str) -> str:
    """Return the text with ``###`` before every line."""
    return "\n".join(f"### {line}" for line in text.splitlines())


def shown_text(text: str, *, template: str = "crystalicl") -> str:
    """Return a crystal text as a prompt shows it, from the line end before it on."""
    check_template(template)
    return "\n" + (text if template == "alpaca" else prefix_lines(text))


def response_text(text: str, *, template: str = "crystalicl") -> str:
    """Return a crystal text as a model is to write it after the prompt.

    After ``### Response:`` it begins with a line end; an Alpaca prompt ends with that.
    """
    check_template(template)
    return text if template == "alpaca" else "\n" + prefix_lines(text)


def property_response(value: str, *, template: str = "crystalicl") -> str:
    """Return a property's value as a model is to write it after the prompt."""
    check_template(template)
    return value if template == "alpaca" else f" {value}"


def _instruction(parts: Iterable[str]) -> str:
    return " ".join(part for part in parts if part)


def crystal_prompt(
    condition: Condition,
    demonstrations: Sequence[Demonstration | tuple[str, str]] = (),
    *,
    text_format: str = "sgs",
    template: str = "crystalicl",
) -> str:
    r"""Return the prompt that asks for one crystal.

    Parameters
    ----------
    condition
        The requested condition; an empty one gives the unconditional prompt.
    demonstrations
        Known crystals to show, at most five: documents of the pool, or pairs of
        (condition sentences, crystal text). None gives the zero-shot prompt.
    text_format
        Name of the crystal text: 'sgs', 'sgsw', 'xyz' or 'cif'. Documents of the pool hold
        SGS texts; for another format pass pairs.
    template
        'crystalicl', the paper's; or 'alpaca', CrysText's.

    Returns
    -------
    str
        The prompt, ending with ``### Response:``, in Alpaca's form with a line end behind it.

    Raises
    ------
    ValueError
        If format or template are unknown or there are more than five demonstrations.

    Examples
    --------
    >>> print(crystal_prompt(Condition(formula="CaTiO3", space_group=221)))
    ... # doctest: +ELLIPSIS
    ### Instruction: Below is a description of a bulk material. The chemical formula is CaTiO3...
    ### Response:
    """
    if text_format not in TASKS:
        raise ValueError(f"text format {text_format!r} is not one of {', '.join(TASKS)}")
    if len(demonstrations) > MAX_SHOTS:
        raise ValueError(f"at most {MAX_SHOTS} demonstrations fit, got {len(demonstrations)}")
    asked = condition_sentences(condition, template=template)
    shown = [_pair(item, condition, template) for item in demonstrations]
    if template == "alpaca":
        return alpaca_crystal_prompt(
            asked,
            shown,
            text_format=text_format,
            by_stability="energy_above_hull" in condition.properties,
        )
    zero_shot, few_shot = TASKS[text_format]
    if not shown:
        instruction = _instruction(
            ("### Instruction: Below is a description of a bulk material.", asked)
        )
        return f"{instruction} Generate {zero_shot}:\n{RESPONSE}"

    count = _COUNTS[len(shown)]
    plural = "" if len(shown) == 1 else "s"
    lines = [f"Below is {count} description of bulk materials."]
    for ordinal, (described, text) in zip(_ORDINALS, shown, strict=False):
        lines.append(f"### {ordinal} Example:")
        if described:
            lines.append(f"### {described}")
        lines.append(prefix_lines(text))
    task = f"Based on the {count} example{plural} provided, generate {few_shot}:"
    lines += [f"### {_instruction((asked, task))}", RESPONSE]
    return "\n".join(lines)


def _pair(
    item: Demonstration | tuple[str, str], condition: Condition, template: str
) -> tuple[str, str]:
    if isinstance(item, Demonstration):
        return demonstration_sentences(item, condition, template=template), item.text
    return item


def property_prompt(property_name: str, text: str, *, template: str = "crystalicl") -> str:
    """Return the prompt that asks for a property of a given crystal.

    Parameters
    ----------
    property_name
        Name or alias of a registered property.
    text
        The crystal's text, without ``###``.
    template
        'crystalicl' or 'alpaca'.

    Returns
    -------
    str
        The prompt; the response is `property_response`.

    Raises
    ------
    ValueError
        If property or template are unknown.
    """
    check_template(template)
    spec = find_property(property_name)
    if spec is None:
        raise ValueError(
            f"property {property_name!r} is not known; there are {', '.join(PROPERTIES)}"
        )
    if template == "alpaca":
        return alpaca_property_prompt(spec, text)
    return "\n".join(
        [
            "### Instruction: Below is a partial description of a bulk material where the"
            f' {spec.phrase} has been replaced with the string "[MASK]":',
            f"### The {spec.phrase} is [MASK].",
            prefix_lines(text),
            f"### Generate the {spec.phrase} that could replace [MASK] in the bulk material:",
            RESPONSE,
        ]
    )

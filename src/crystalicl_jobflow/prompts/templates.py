"""Templates of CrystalICL (appendix G) and the sentences that fill them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crystalicl_jobflow.schemas import (
    PROPERTIES,
    Condition,
    Demonstration,
    PropertySpec,
    Range,
    find_property,
)

MAX_SHOTS = 5
"""Most demonstrations in one prompt."""

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

# The order of the sentences is the paper's example's; what the paper does not ask for follows.
_ORDER = ("formula", "e_above_hull", "space_group", "formation_energy_per_atom", "band_gap")


def prefix_lines(text: str) -> str:
    """Return the text with ``### `` before every line."""
    return "\n".join(f"### {line}" for line in text.splitlines())


def response_text(text: str) -> str:
    """Return a crystal text as a model is to write it after ``### Response:``."""
    return "\n" + prefix_lines(text)


def _property_sentence(spec: PropertySpec, asked: float | Range) -> str:
    value = asked.target if isinstance(asked, Range) else asked
    return f"The {spec.phrase} is {spec.format(value)}."


def _sentences(values: dict[str, str]) -> str:
    """Join sentences by name in the paper's order, others after them by name."""
    names = [name for name in _ORDER if name in values]
    names += [name for name in values if name not in _ORDER]
    return " ".join(values[name] for name in names)


def condition_sentences(condition: Condition) -> str:
    """Return the sentences that say what is asked for; empty for an empty condition.

    A range is named by its middle, or by its bound where it is half-open.
    """
    values: dict[str, str] = {}
    if condition.formula is not None:
        values["formula"] = f"The chemical formula is {condition.formula}."
    groups = condition.space_groups
    if groups is not None:
        numbers = str(groups[0]) if len(groups) == 1 else f"one of {', '.join(map(str, groups))}"
        values["space_group"] = f"The spacegroup number is {numbers}."
    if condition.anonymous_formula is not None and condition.formula is None:
        values["anonymous_formula"] = f"The anonymous formula is {condition.anonymous_formula}."
    if condition.chemsys is not None and condition.formula is None:
        values["chemsys"] = f"The chemical system is {condition.chemsys}."
    if condition.elements is not None and condition.formula is None and condition.chemsys is None:
        values["elements"] = f"The elements include {', '.join(condition.elements)}."
    if condition.num_sites is not None:
        sites = condition.num_sites
        count = round(sites.target) if isinstance(sites, Range) else sites
        values["num_sites"] = f"The number of sites is {count}."
    for name, asked in condition.properties.items():
        values[name] = _property_sentence(PROPERTIES[name], asked)
    return _sentences(values)


def demonstration_sentences(demonstration: Demonstration, condition: Condition) -> str:
    """Describe a known crystal by the same kinds of sentences that the condition asks.

    Parameters
    ----------
    demonstration
        The known crystal; a property it has no value for is left out.
    condition
        What is asked for: decides which sentences appear.

    Returns
    -------
    str
        The sentences, e.g. ``The chemical formula is BaBeO2F. The spacegroup number is 123.``
    """
    described = Condition(
        formula=demonstration.formula if condition.formula is not None else None,
        anonymous_formula=(
            demonstration.anonymous_formula if condition.anonymous_formula is not None else None
        ),
        chemsys=demonstration.chemsys if condition.chemsys is not None else None,
        elements=demonstration.elements if condition.elements is not None else None,
        space_group=demonstration.space_group if condition.space_group is not None else None,
        num_sites=demonstration.num_sites if condition.num_sites is not None else None,
        properties={
            name: demonstration.properties[name]
            for name in condition.properties
            if name in demonstration.properties
        },
    )
    return condition_sentences(described)


def _instruction(parts: Iterable[str]) -> str:
    return " ".join(part for part in parts if part)


def crystal_prompt(
    condition: Condition,
    demonstrations: Sequence[Demonstration | tuple[str, str]] = (),
    *,
    text_format: str = "sgs",
) -> str:
    r"""Return the prompt that asks for one crystal.

    Parameters
    ----------
    condition
        What is asked for; an empty condition gives the unconditional prompt.
    demonstrations
        Known crystals to show, at most five: documents of the pool, or pairs of
        (condition sentences, crystal text). None gives the zero-shot prompt.
    text_format
        Name of the crystal text: 'sgs', 'sgsw', 'xyz' or 'cif'. Documents of the pool hold
        SGS texts; for another format pass pairs.

    Returns
    -------
    str
        The prompt, ending with ``### Response:``.

    Raises
    ------
    ValueError
        If the format is unknown or there are more than five demonstrations.

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
    zero_shot, few_shot = TASKS[text_format]
    asked = condition_sentences(condition)
    if not demonstrations:
        instruction = _instruction(
            ("### Instruction: Below is a description of a bulk material.", asked)
        )
        return f"{instruction} Generate {zero_shot}:\n{RESPONSE}"

    count = _COUNTS[len(demonstrations)]
    plural = "" if len(demonstrations) == 1 else "s"
    lines = [f"Below is {count} description of bulk materials."]
    for ordinal, demonstration in zip(_ORDINALS, demonstrations, strict=False):
        if isinstance(demonstration, Demonstration):
            described = demonstration_sentences(demonstration, condition)
            text = demonstration.text
        else:
            described, text = demonstration
        lines.append(f"### {ordinal} Example:")
        if described:
            lines.append(f"### {described}")
        lines.append(prefix_lines(text))
    task = f"Based on the {count} example{plural} provided, generate {few_shot}:"
    lines += [f"### {_instruction((asked, task))}", RESPONSE]
    return "\n".join(lines)


def property_prompt(property_name: str, text: str) -> str:
    """Return the prompt that asks for a property of a given crystal.

    Parameters
    ----------
    property_name
        Name or alias of a registered property.
    text
        The crystal's text, without ``### ``.

    Returns
    -------
    str
        The prompt; the response is the number, after one space.

    Raises
    ------
    ValueError
        If the property is unknown.
    """
    spec = find_property(property_name)
    if spec is None:
        raise ValueError(f"property {property_name!r} is not known")
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

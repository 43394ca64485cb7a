"""The sentences for conditions and for known crystals, by template."""

from __future__ import annotations

from crystalicl_jobflow.schemas import PROPERTIES, Condition, Demonstration, Range

TEMPLATES = ("crystalicl", "alpaca")
"""Names of the prompt templates: the CrystalICL paper's, and CrysText's Alpaca form."""

# Sentences in the order of the paper's example, then those that the paper does not have.
_ORDER = ("formula", "energy_above_hull", "space_group", "formation_energy_per_atom", "band_gap")

_WORDING: dict[str, dict[str, str]] = {
    "crystalicl": {
        "formula": "The chemical formula is {}.",
        "space_group": "The spacegroup number is {}.",
        "anonymous_formula": "The anonymous formula is {}.",
        "chemsys": "The chemical system is {}.",
        "elements": "The elements include {}.",
        "num_sites": "The number of sites is {}.",
    },
    # the first two and the energy above hull are CrysText's, the others follow their style
    "alpaca": {
        "formula": "Material composition is {}.",
        "space_group": "It has a space group number {}.",
        "energy_above_hull": "Energy above hull = {} eV/atom.",
        "anonymous_formula": "Anonymous formula is {}.",
        "chemsys": "Chemical system is {}.",
        "elements": "It contains {}.",
        "num_sites": "It has {} sites.",
    },
}


def check_template(template: str) -> None:
    """Raise ValueError, in one line, if there is no template of this name."""
    if template not in TEMPLATES:
        raise ValueError(f"template {template!r} is not one of {', '.join(TEMPLATES)}")


def asked_values(condition: Condition) -> dict[str, str]:
    """Return the parts of a condition that a prompt states: name → value as text, in order.

    A range is named by its middle, or by its bound where it is half-open. Of the ways to name the
    elements only the most specific one is stated.
    """
    values: dict[str, str] = {}
    if condition.formula is not None:
        values["formula"] = condition.formula
    groups = condition.space_groups
    if groups is not None:
        values["space_group"] = (
            str(groups[0]) if len(groups) == 1 else f"one of {', '.join(map(str, groups))}"
        )
    if condition.anonymous_formula is not None and condition.formula is None:
        values["anonymous_formula"] = condition.anonymous_formula
    if condition.chemsys is not None and condition.formula is None:
        values["chemsys"] = condition.chemsys
    if condition.elements is not None and condition.formula is None and condition.chemsys is None:
        values["elements"] = ", ".join(condition.elements)
    if condition.num_sites is not None:
        sites = condition.num_sites
        values["num_sites"] = str(round(sites.target) if isinstance(sites, Range) else sites)
    for name, asked in condition.properties.items():
        value = asked.target if isinstance(asked, Range) else asked
        values[name] = PROPERTIES[name].format(value)
    names = [name for name in _ORDER if name in values]
    names += [name for name in values if name not in _ORDER]
    return {name: values[name] for name in names}


def condition_sentences(condition: Condition, *, template: str = "crystalicl") -> str:
    """Return the sentences that state a condition; empty for an empty condition.

    A range is named by its middle, or by its bound where it is half-open.

    Parameters
    ----------
    condition
        The requested condition.
    template
        'crystalicl' or 'alpaca'.

    Raises
    ------
    ValueError
        If the template is unknown.
    """
    check_template(template)
    return " ".join(
        _sentence(name, value, template) for name, value in asked_values(condition).items()
    )


def _sentence(name: str, value: str, template: str) -> str:
    wording = _WORDING[template].get(name)
    if wording is not None:
        return wording.format(value)
    spec = PROPERTIES[name]
    if template == "alpaca":
        unit = f" {spec.unit}" if spec.unit else ""
        return f"{spec.phrase[0].upper()}{spec.phrase[1:]} = {value}{unit}."
    return f"The {spec.phrase} is {value}."


def demonstration_sentences(
    demonstration: Demonstration, condition: Condition, *, template: str = "crystalicl"
) -> str:
    """Describe a known crystal with the same kinds of sentences as the condition.

    Parameters
    ----------
    demonstration
        The known crystal; a property it has no value for is left out.
    condition
        The condition; decides which sentences appear.
    template
        'crystalicl' or 'alpaca'.

    Returns
    -------
    str
        The sentences, e.g. ``The chemical formula is BaBeO2F. The spacegroup number is 123.``

    Raises
    ------
    ValueError
        If the template is unknown.
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
    return condition_sentences(described, template=template)

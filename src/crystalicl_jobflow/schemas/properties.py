"""The properties that a crystal may be asked for by value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator

ValueT = TypeVar("ValueT")


@dataclass(frozen=True)
class PropertySpec:
    """One scalar property: its name, its words in a prompt and its unit.

    Parameters
    ----------
    name
        Field name in documents, as pymatgen and the Materials Project write it.
    phrase
        Words in a condition sentence: "The <phrase> is <value>."
    unit
        Unit of the value; an empty string for none.
    minimum
        Smallest physical value; smaller ones are refused in a condition.
    aliases
        Other names under which sources hold the property.
    decimals
        Decimals kept in a prompt (four, as the CrystalICL paper's examples have).
    """

    name: str
    phrase: str
    unit: str
    minimum: float | None = None
    aliases: tuple[str, ...] = field(default=())
    decimals: int = 4

    def format(self, value: float) -> str:
        """Return the value as a prompt shows it: rounded, without trailing zeros."""
        return repr(round(float(value), self.decimals) + 0.0)


PROPERTIES: dict[str, PropertySpec] = {}
"""Known properties by name, in no particular order."""


def register_property(spec: PropertySpec) -> PropertySpec:
    """Make a property known to conditions, prompts, the pool and the command line.

    Raises
    ------
    ValueError
        If the name or an alias belongs to another property.
    """
    for name in (spec.name, *spec.aliases):
        known = find_property(name)
        if known is not None and known.name != spec.name:
            raise ValueError(f"property name {name!r} is taken by {known.name!r}")
    PROPERTIES[spec.name] = spec
    return spec


def find_property(name: str) -> PropertySpec | None:
    """Return the property with this name or alias, or None."""
    if name in PROPERTIES:
        return PROPERTIES[name]
    return next((spec for spec in PROPERTIES.values() if name in spec.aliases), None)


def by_property_names(values: Any) -> Any:
    """Return values with properties under their own names; all other names stay.

    Documents of earlier versions have ``e_above_hull``. A value under the property's own name
    wins over one under an alias.

    Parameters
    ----------
    values
        Names to anything; what is no mapping comes back as it is.
    """
    if not isinstance(values, Mapping):
        return values
    found: dict[str, Any] = {}
    for name, value in values.items():
        spec = find_property(name)
        if spec is None or spec.name == name or spec.name not in values:
            found[name if spec is None else spec.name] = value
    return found


ByProperty = Annotated[dict[str, ValueT], BeforeValidator(by_property_names)]
"""Values by name, properties under their own names: see :func:`by_property_names`."""

ENERGY_ABOVE_HULL = register_property(
    PropertySpec(
        name="energy_above_hull",
        phrase="energy above the convex hull",
        unit="eV/atom",
        aliases=("e_above_hull",),
    )
)
FORMATION_ENERGY = register_property(
    PropertySpec(
        name="formation_energy_per_atom",
        phrase="formation energy per atom",
        unit="eV/atom",
        aliases=("formation_energy", "heat_all"),
    )
)
BAND_GAP = register_property(
    PropertySpec(
        name="band_gap",
        phrase="band gap",
        unit="eV",
        minimum=0.0,
        aliases=("bandgap", "dir_gap"),
    )
)

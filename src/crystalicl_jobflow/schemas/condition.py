"""What is asked for: one document from Python, JSON or command-line flags."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pymatgen.core import Composition, Element, Structure

from crystalicl_jobflow.crystal.formula import letters_as_elements, whole_composition
from crystalicl_jobflow.crystal.given import as_structure, is_crystal
from crystalicl_jobflow.crystal.symmetry import group_number
from crystalicl_jobflow.crystal.wyckoff_letters import atoms_of, letters_text
from crystalicl_jobflow.schemas.condition_values import (
    element_symbols,
    fields_of_json,
    read_composition,
    space_group_number,
    wyckoff_letters,
)
from crystalicl_jobflow.schemas.properties import PROPERTIES, find_property
from crystalicl_jobflow.schemas.ranges import Range, range_text, read_range
from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.messages import first_line, validation_line


class ConditionError(CrystalICLError, ValueError):
    """An impossible condition; the message is one line."""


class Condition(BaseModel):
    """What a generated crystal is asked to be.

    Every field is optional; an empty condition asks for any crystal. Unknown elements,
    space groups that do not exist, reversed ranges and contradictions are refused with
    one line each.

    Parameters
    ----------
    formula
        Chemical formula; its reduced form is what is asked for ("Ca2Ti2O6" asks CaTiO3).
    anonymous_formula
        Formula with the elements replaced by letters, e.g. "ABC3".
    chemsys
        The exact chemical system, e.g. "Ca-O-Ti".
    elements
        Elements that must be present; others may be.
    space_group
        Number (1 to 230) or Hermann–Mauguin symbol, or several of them.
    num_sites
        Number of atoms in the primitive cell, a value or a range.
    wyckoff
        Letters of the orbits of each element, e.g. ``{"Ca": ("a",), "Ti": ("b",), "O": ("c",)}`` or
        ``"Ca:a Ti:b O:c"``, in the texts' setting of the one space group asked for (the lowest
        Hall number: origin choice 1, hexagonal axes, unique axis b). They are kept as the
        equivalent origin has them whose letters come first, and give the formula.
    properties
        Property name to a value or a range, in the unit of the property
        (see :data:`crystalicl_jobflow.schemas.PROPERTIES`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    formula: str | None = Field(None, description="Chemical formula, reduced.")
    anonymous_formula: str | None = Field(None, description="Anonymised formula, e.g. ABC3.")
    chemsys: str | None = Field(None, description="Exact chemical system, e.g. Ca-O-Ti.")
    elements: tuple[str, ...] | None = Field(None, description="Elements that must be present.")
    space_group: int | tuple[int, ...] | None = Field(
        None, description="Space-group number, or several."
    )
    num_sites: int | Range | None = Field(None, description="Atoms in the primitive cell.")
    wyckoff: dict[str, tuple[str, ...]] | None = Field(
        None, description="Element to the Wyckoff letters of its orbits, in the space group."
    )
    properties: dict[str, float | Range] = Field(
        default_factory=dict, description="Property name to value or range."
    )

    @field_validator("formula", mode="before")
    @classmethod
    def _check_formula(cls, value: Any) -> Any:
        if value is None:
            return None
        composition = value if isinstance(value, Composition) else read_composition(str(value))
        if not composition.elements:
            raise ValueError("formula is empty")
        for species in composition.elements:
            if not Element.is_valid_symbol(species.symbol):
                raise ValueError(f"formula {value}: {species.symbol} is not an element")
        if any(abs(amount - round(amount)) > 1e-8 for amount in composition.values()):
            raise ValueError(f"formula {value}: amounts must be whole numbers")
        return composition.reduced_formula

    @field_validator("anonymous_formula", mode="before")
    @classmethod
    def _check_anonymous(cls, value: Any) -> Any:
        if value is None:
            return None
        try:
            composition = Composition(letters_as_elements(str(value)))
        except (ValueError, KeyError):
            raise ValueError(f"anonymous formula {value!r} is not of the form ABC3") from None
        if not composition.elements:
            raise ValueError("anonymous formula is empty")
        return whole_composition(composition).anonymized_formula

    @field_validator("chemsys", mode="before")
    @classmethod
    def _check_chemsys(cls, value: Any) -> Any:
        if value is None:
            return None
        symbols = value.split("-") if isinstance(value, str) else value
        return "-".join(sorted(element_symbols(symbols, "chemical system")))

    @field_validator("elements", mode="before")
    @classmethod
    def _check_elements(cls, value: Any) -> Any:
        if value is None:
            return None
        symbols = value.replace(",", "-").split("-") if isinstance(value, str) else value
        return tuple(sorted(element_symbols(symbols, "elements")))

    @field_validator("space_group", mode="before")
    @classmethod
    def _check_space_group(cls, value: Any) -> Any:
        if value is None:
            return None
        if isinstance(value, list | tuple | set | frozenset):
            numbers = tuple(sorted({space_group_number(item) for item in value}))
            if not numbers:
                raise ValueError("space group: an empty list asks for nothing")
            return numbers[0] if len(numbers) == 1 else numbers
        return space_group_number(value)

    @field_validator("num_sites", mode="before")
    @classmethod
    def _check_num_sites(cls, value: Any) -> Any:
        value = read_range(value)
        if isinstance(value, float):
            if not value.is_integer():
                raise ValueError(f"number of sites must be a whole number, got {value}")
            value = int(value)
        low = value.min if isinstance(value, Range) else value
        if isinstance(low, int | float) and low < 1:
            raise ValueError(f"number of sites must be at least 1, got {low:g}")
        return value

    @field_validator("wyckoff", mode="before")
    @classmethod
    def _check_wyckoff(cls, value: Any, info: ValidationInfo) -> Any:
        asked = info.data
        if value is None or not {"formula", "space_group", "num_sites"} <= asked.keys():
            return None  # where one of these is at fault, that is said
        return wyckoff_letters(value, asked["space_group"], asked["formula"], asked["num_sites"])

    @field_validator("properties", mode="before")
    @classmethod
    def _check_properties(cls, value: Any) -> Any:
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            raise ValueError("properties must be a mapping of names to values or ranges")
        checked: dict[str, Any] = {}
        for name, given in value.items():
            spec = find_property(name)
            if spec is None:
                known = ", ".join(sorted(PROPERTIES))
                raise ValueError(f"property {name!r} is not known; known are {known}")
            if spec.name in checked:
                raise ValueError(f"property {spec.name!r} is given twice")
            limits = read_range(given)
            bounds = [limits.min, limits.max] if isinstance(limits, Range) else [limits]
            for bound in bounds:
                if bound is None:
                    continue
                if not math.isfinite(float(bound)):
                    raise ValueError(f"property {name}: {bound} is not finite")
                if spec.minimum is not None and float(bound) < spec.minimum:
                    raise ValueError(f"property {name} cannot be below {spec.minimum:g}")
            checked[spec.name] = limits
        return dict(sorted(checked.items()))

    @model_validator(mode="after")
    def _check_consistent(self) -> Condition:
        if self.wyckoff is not None and self.formula is None:
            atoms = atoms_of(self.wyckoff, self.space_groups[0]) if self.space_groups else {}
            object.__setattr__(self, "formula", Composition(atoms).reduced_formula)
        present: set[str] | None = None
        if self.formula is not None:
            composition = Composition(self.formula)
            present = {element.symbol for element in composition.elements}
            if (
                self.anonymous_formula is not None
                and composition.anonymized_formula != self.anonymous_formula
            ):
                raise ValueError(
                    f"formula {self.formula} is {composition.anonymized_formula},"
                    f" not {self.anonymous_formula}"
                )
        if self.chemsys is not None:
            chemsys = set(self.chemsys.split("-"))
            if present is not None and present != chemsys:
                raise ValueError(f"formula {self.formula} is not in the system {self.chemsys}")
            present = chemsys
            if self.anonymous_formula is not None and len(
                Composition(letters_as_elements(self.anonymous_formula)).elements
            ) != len(chemsys):
                raise ValueError(
                    f"anonymous formula {self.anonymous_formula} does not have the"
                    f" {len(chemsys)} elements of {self.chemsys}"
                )
        if self.elements is not None and present is not None:
            missing = sorted(set(self.elements) - present)
            if missing:
                where = self.formula or self.chemsys
                raise ValueError(f"element {', '.join(missing)} is not in {where}")
        return self

    @property
    def space_groups(self) -> tuple[int, ...] | None:
        """The space-group numbers asked for, or None where any will do."""
        if self.space_group is None or isinstance(self.space_group, tuple):
            return self.space_group
        return (self.space_group,)

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is asked for."""
        return self == Condition()

    @property
    def composition(self) -> Composition | None:
        """The reduced composition asked for, or None."""
        return None if self.formula is None else Composition(self.formula)

    @property
    def anonymized(self) -> str | None:
        """The anonymised formula asked for, by itself or through the formula."""
        if self.formula is not None:
            return Composition(self.formula).anonymized_formula
        return self.anonymous_formula

    def label(self) -> str:
        """Return a short line that names what is asked for."""
        parts: list[str] = []
        if self.formula:
            parts.append(self.formula)
        if self.anonymous_formula and not self.formula:
            parts.append(self.anonymous_formula)
        if self.chemsys and not self.formula:
            parts.append(self.chemsys)
        if self.elements:
            parts.append("with " + ",".join(self.elements))
        if self.space_groups:
            parts.append("group " + ",".join(map(str, self.space_groups)))
        if self.num_sites is not None:
            parts.append(f"sites {range_text(self.num_sites)}")
        if self.wyckoff is not None:
            parts.append(f"Wyckoff letters {letters_text(self.wyckoff)}")
        parts += [f"{name} {range_text(value)}" for name, value in self.properties.items()]
        return ", ".join(parts) or "any crystal"

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # what is not asked for says nothing
        for name, value in super().__repr_args__():
            if value is not None and value != {}:
                yield name, value

    @classmethod
    def build(cls, **fields: Any) -> Condition:
        """Build a condition, turning pydantic's report into one line.

        Raises
        ------
        ConditionError
            If the condition is impossible; the message is one line.
        """
        try:
            return cls(**{name: value for name, value in fields.items() if value is not None})
        except ValueError as error:
            raise ConditionError(validation_line(error)) from None

    @classmethod
    def parse(cls, value: Condition | Mapping[str, Any] | Structure | str) -> Condition:
        """Read a condition from whatever says one.

        Parameters
        ----------
        value
            A condition; a mapping of its fields; their JSON text; a formula such as ``CaTiO3``; or
            a crystal, which asks for its formula and space group (`from_structure`).

        Raises
        ------
        ConditionError
            If it is none of these, or impossible; the message is one line.
        """
        if isinstance(value, Condition):
            return value
        if is_crystal(value):
            return cls.from_structure(value)
        try:
            if isinstance(value, str):
                if value.strip()[:1] in ("{", "[", '"'):
                    return cls.model_validate(fields_of_json(value))
                if not value.strip():
                    raise ValueError("an empty text asks for nothing; any crystal is {}")
                return cls(formula=value.strip())
            if not isinstance(value, Mapping):
                raise ValueError(
                    "a condition is a formula, a mapping of fields, their JSON or a Condition,"
                    f" not {type(value).__name__}"
                )
            fields = {key: item for key, item in value.items() if not key.startswith("@")}
            return cls.model_validate(fields)
        except ValueError as error:
            raise ConditionError(validation_line(error)) from None

    @classmethod
    def from_structure(cls, structure: Any, *, space_group: bool = True) -> Condition:
        """Ask for crystals with the formula and the space group of a known one.

        Parameters
        ----------
        structure
            A `Structure` or ASE's `Atoms`.
        space_group
            Whether to ask for its group, found at 0.1 Å; else for the formula alone.

        Raises
        ------
        ConditionError
            If it is no crystal, or no group is found where one is asked for.
        """
        try:
            crystal = as_structure(structure)
            formula = whole_composition(crystal.composition).reduced_formula
            group = group_number(crystal) if space_group else None
        except ValueError as error:
            raise ConditionError(first_line(error)) from None
        return cls.build(formula=formula, space_group=group)


def one_or_many(asked: Any) -> list[Any]:
    """Return what is asked for as a list: each item is something that `Condition.parse` reads.

    Parameters
    ----------
    asked
        One condition in any form, or several.
    """
    alone = isinstance(asked, Condition | Mapping | str) or is_crystal(asked)
    return [asked] if alone or not isinstance(asked, Iterable) else list(asked)

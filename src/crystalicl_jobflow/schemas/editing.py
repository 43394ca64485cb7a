"""Editing: what is to be changed of a crystal, and what one candidate was made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pymatgen.core import Element

from crystalicl_jobflow.schemas.base import Document
from crystalicl_jobflow.schemas.condition import ConditionError
from crystalicl_jobflow.utils.messages import validation_line

EditKind = Literal["substitute", "infill", "mutate", "complete"]

Redrawn = Literal["cell", "coordinates"]

ANY = "any"
"""In place of elements: whatever keeps the charge."""


class Edit(Document):
    """What one text was made of: its parent, what was kept of it, and how it turned out."""

    kind: EditKind
    parent_id: str = Field(description="Name or id of the crystal that was edited.")
    parent_formula: str | None = Field(None, description="None where the parent is a text.")
    pattern: str = Field(
        description="The parent's text with '?' for what the model was to write, see"
        " `text.pattern`."
    )
    change: str = Field("", description="What was asked for, in a few words.")
    atoms: int = Field(0, description="Atoms of the parent in the primitive cell.")
    substitution_probability: float | None = Field(
        None,
        description="Conditional probability of the new ions given the old ones (pymatgen, Hautier"
        " et al. 2011); None where an ion is not in its table or oxidation states are unknown.",
    )
    matches_parent: bool | None = Field(
        None,
        description="Whether the crystal matches its parent under the tolerances of novelty; None"
        " where there is no crystal to compare.",
    )
    rms_from_parent: float | None = Field(
        None, description="Displacement from the parent, over the cube root of volume per atom."
    )


class EditRequest(BaseModel):
    """What is to be changed of crystals: exactly one of the four kinds.

    Parameters
    ----------
    substitute
        Element to the elements that take its place, each in turn, or 'any' for ions of the same
        charge; 'any' alone tries this for every element. Several elements are all replaced.
    mask
        Orbits that the model is to fill: elements ('Cl'), numbers of orbits from 1, or
        elements with their Wyckoff letter ('O 4c').
    mutate
        Whether cell and coordinates are drawn again, with group and orbits kept.
    complete
        Whether the parents are beginnings of texts that are to be finished.
    formula
        Infill and complete: formula of the result, by default that of the parent. Mutate: the
        formula that takes the parent's place.
    elements
        Infill and complete: elements of the filled orbits, instead of a formula.
    redraw
        What the model writes anew besides: 'cell', 'coordinates'. None: both for mutations,
        neither for the others.
    number
        Substitutions by 'any', and assignments of a new formula's elements, at most.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    substitute: dict[str, tuple[str, ...]] | None = None
    mask: tuple[str, ...] | None = None
    mutate: bool = False
    complete: bool = False
    formula: str | None = None
    elements: tuple[str, ...] | None = None
    redraw: tuple[Redrawn, ...] | None = None
    number: int = Field(10, ge=1)

    @field_validator("substitute", mode="before")
    @classmethod
    def _read_substitute(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split()
        if isinstance(value, list | tuple):
            pairs = [str(item).partition("=") for item in value]
            names = [old.strip() for old, _, _ in pairs]
            if len(set(names)) < len(names):
                raise ValueError("an element is replaced twice")
            value = {
                old.strip(): new if mark else ANY
                for old, mark, new in pairs
                if mark or old.strip() != ANY
            } or {ANY: ANY}
            if any(not new for new in value.values()):
                raise ValueError("an element is replaced by nothing: write Ti=Zr,Hf")
        if value is None:
            return None
        if not isinstance(value, Mapping) or not all(
            isinstance(new, str | Sequence | Set) for new in value.values()
        ):
            raise ValueError(
                f"substitute is written as Ti=Zr,Hf or {{'Ti': ['Zr', 'Hf']}}, not {value!r}"
            )
        return {
            str(old): tuple(new.replace(" ", "").split(",")) if isinstance(new, str) else tuple(new)
            for old, new in dict(value).items()
        }

    @field_validator("mask", "elements", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            value = value.split(",")
        if isinstance(value, int):
            value = [value]
        return None if value is None else tuple(str(item).strip() for item in value)

    @model_validator(mode="after")
    def _check(self) -> EditRequest:
        if self.substitute is not None:
            for old, new in self.substitute.items():
                for name in (old, *new):
                    if name != ANY:
                        _check_element(name)
                if not new or (ANY in new and len(new) > 1) or (old == ANY and new != (ANY,)):
                    raise ValueError(f"{old} is replaced by elements, or by 'any' alone")
        for name in self.elements or ():
            _check_element(name)
        if self.mask is not None and not all(self.mask):
            raise ValueError("an empty mask names no site")
        kinds = [name for name in _KINDS if getattr(self, name)]
        if len(kinds) != 1:
            found = f"{' and '.join(kinds)} are given" if kinds else "none is given"
            raise ValueError(f"an edit is one of substitute, mask, mutate and complete: {found}")
        if self.formula is not None and self.elements is not None:
            raise ValueError("give a formula or elements, not both")
        if self.substitute and (self.formula or self.elements):
            raise ValueError("a substitution decides the formula itself")
        if self.mutate and self.elements:
            raise ValueError("a mutation takes a formula, not elements")
        if self.complete and self.redraw:
            raise ValueError("of a text that is completed nothing is drawn again")
        return self

    @property
    def kind(self) -> EditKind:
        """Which of the four kinds it is."""
        return next(kind for name, kind in _KINDS.items() if getattr(self, name))

    @property
    def redrawn(self) -> frozenset[str]:
        """What the model writes anew besides what the kind says."""
        default = ("cell", "coordinates") if self.mutate else ()
        return frozenset(default if self.redraw is None else self.redraw)

    @classmethod
    def build(cls, **fields: Any) -> EditRequest:
        """Build a request, with mistakes in one line.

        Raises
        ------
        ConditionError
            If it makes no sense.
        """
        try:
            return cls(**{name: value for name, value in fields.items() if value is not None})
        except ValueError as error:
            raise ConditionError(validation_line(error)) from None


_KINDS: dict[str, EditKind] = {
    "substitute": "substitute",
    "mask": "infill",
    "mutate": "mutate",
    "complete": "complete",
}


def _check_element(name: str) -> None:
    if not Element.is_valid_symbol(name) or name in ("D", "T"):
        raise ValueError(f"{name[:40]!r} is not an element")

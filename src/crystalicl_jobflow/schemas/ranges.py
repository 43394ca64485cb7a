"""Ranges of a quantity, read from any form that a user writes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from crystalicl_jobflow.utils.messages import validation_line


class Range(BaseModel):
    """A closed interval; an absent bound is open.

    Parameters
    ----------
    min, max
        Bounds, in the unit of the quantity. At least one is given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: float | None = None
    max: float | None = None

    @model_validator(mode="after")
    def _check(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("a range needs at least one bound")
        for bound in (self.min, self.max):
            if bound is not None and not math.isfinite(bound):
                raise ValueError(f"a range bound must be finite, got {bound}")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"range {self.min}:{self.max} is reversed")
        return self

    @property
    def target(self) -> float:
        """The value a prompt names: the middle, or the bound of a half-open range."""
        if self.min is None:
            assert self.max is not None
            return self.max
        if self.max is None:
            return self.min
        return 0.5 * (self.min + self.max)

    def contains(self, value: float) -> bool:
        """Return whether the value lies within the bounds."""
        return (self.min is None or value >= self.min) and (self.max is None or value <= self.max)

    def distance(self, value: float) -> float:
        """Return how far outside the bounds the value lies; 0 within."""
        if self.min is not None and value < self.min:
            return self.min - value
        if self.max is not None and value > self.max:
            return value - self.max
        return 0.0


def read_range(value: Any) -> Any:
    """Read ``"0:1.5"``, ``":0.1"``, ``"0.5:"`` and ``[low, high]`` as ranges.

    Returns
    -------
    Range or float or what was given
        A number where a text holds one; what is none of these is returned as it is, for
        pydantic to judge.

    Raises
    ------
    ValueError
        If a text is neither a number nor a range, or a range is impossible; one line.
    """
    if isinstance(value, str) and ":" in value:
        low, _, high = value.partition(":")
        try:
            bounds = [float(text) if text.strip() else None for text in (low, high)]
        except ValueError:
            raise ValueError(f"range {value!r} is not of the form low:high") from None
        return _range(*bounds)
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise ValueError(f"{value!r} is neither a number nor a range low:high") from None
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise ValueError(f"a range has two bounds, got {len(value)}")
        return _range(value[0], value[1])
    if isinstance(value, Mapping):
        unknown = sorted(set(value) - {"min", "max"})
        if unknown:
            raise ValueError(f"a range has 'min' and 'max', not {unknown[0]!r}")
        return _range(value.get("min"), value.get("max"))
    return value


def _range(low: Any, high: Any) -> Range:
    """Build a range here, so that pydantic's union reports one error, ours."""
    try:
        return Range(min=low, max=high)
    except ValueError as error:
        raise ValueError(validation_line(error)) from None


def range_text(value: float | Range) -> str:
    """Return a value or a range as a user writes it, e.g. ``0.5`` or ``:0.1``."""
    if isinstance(value, Range):
        low = "" if value.min is None else f"{value.min:g}"
        high = "" if value.max is None else f"{value.max:g}"
        return f"{low}:{high}"
    return f"{value:g}"

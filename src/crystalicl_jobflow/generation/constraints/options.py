"""Options of constraints, and the error for impossible requests."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field, model_validator

from crystalicl_jobflow.settings import SETTINGS
from crystalicl_jobflow.utils.errors import CrystalICLError

MIN_DISTANCE = 0.7
"""Default shortest distance in Å: above the 0.5 Å of the structural validity rule, to allow for
cells rounded to one decimal."""

RADII_FRACTION = 0.5
"""Default minimum distance as a fraction of the sum of two atomic radii: CrystalICL's
structural validity requires half the sum."""

MIN_VOLUME_PER_ATOM = 4.0
"""Default least cell volume per atom in Å³; diamond, with the highest number density, has 5.7."""

MIN_SPHERE_VOLUME_RATIO = 0.6
"""Default least cell volume over the volume of the atoms as spheres of their atomic radii, where
the formula is known. Chosen from 30,000 crystals in the MP-20, MPTS-52, Perov-5 and Carbon-24
files: the densest has 0.70, and 99 % have at least 0.89."""


class ConstraintOptions(BaseModel):
    """Limits under which constrained texts are written.

    Parameters
    ----------
    max_atoms
        Maximum number of atoms in the primitive cell.
    max_orbits
        Maximum number of orbits (element and coordinate lines); None for no limit.
    min_distance
        Minimum distance between two atoms in Å; None switches the distance rule off (exact
        duplicates are still not written).
    radii_fraction
        Minimum distance between two atoms as a fraction of the sum of their atomic radii; None for
        `min_distance` alone.
    min_volume_per_atom
        Least cell volume per atom in Å³; limits the number of atoms for the lattice as written.
        None for no bound.
    min_sphere_volume_ratio
        Least cell volume over the volume of the atoms as spheres of their atomic radii,
        where a formula is requested; None for no such bound.
    length_bounds
        Cell lengths in Å, least and most.
    angle_bounds
        Cell angles in degrees, least and most.
    line_prefix
        Prefix of every line of the text.
    text_prefix
        Prefix of the first line, if it is not a line end and the line prefix: empty where the
        prompt ends with a line end.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_atoms: int = Field(default_factory=lambda: SETTINGS.MAX_ATOMS, ge=1)
    max_orbits: int | None = Field(None, ge=1)
    min_distance: float | None = Field(MIN_DISTANCE, gt=0)
    radii_fraction: float | None = Field(RADII_FRACTION, gt=0, le=1)
    min_volume_per_atom: float | None = Field(MIN_VOLUME_PER_ATOM, gt=0)
    min_sphere_volume_ratio: float | None = Field(MIN_SPHERE_VOLUME_RATIO, gt=0, le=1)
    length_bounds: tuple[float, float] = (2.0, 150.0)
    angle_bounds: tuple[int, int] = (20, 160)
    line_prefix: str = "### "
    text_prefix: str | None = None

    @property
    def opening(self) -> str:
        """What the model writes before the first line's content."""
        return "\n" + self.line_prefix if self.text_prefix is None else self.text_prefix

    @model_validator(mode="after")
    def _check_bounds(self) -> ConstraintOptions:
        for name, (low, high), limit in (
            ("length_bounds", self.length_bounds, 1000),
            ("angle_bounds", self.angle_bounds, 179),
        ):
            if not 0 < low < high <= limit:
                raise ValueError(f"{name} {low:g} to {high:g} are no bounds within 0 and {limit}")
        low, high = self.angle_bounds
        if low > 90 or high < 120:
            raise ValueError("angle_bounds must hold 90 and 120 degrees, which symmetry asks for")
        return self


class ImpossibleConditionError(CrystalICLError, ValueError):
    """No crystal can meet the condition; the message is one line.

    Parameters
    ----------
    message
        What is impossible, in one line.
    suggestions
        The nearest requests that are possible, in words.
    """

    def __init__(self, message: str, suggestions: Sequence[str] = ()) -> None:
        self.suggestions = tuple(suggestions)
        nearest = f"; nearest possible: {'; '.join(self.suggestions)}" if self.suggestions else ""
        super().__init__(message + nearest)

"""A measured powder pattern, and how well a crystal explains it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from pydantic import Field, model_validator
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.schemas.base import Document
from crystalicl_jobflow.thresholds import (
    MAX_PATTERN_POINTS,
    MAX_WAVELENGTH,
    MIN_PATTERN_POINTS,
    MIN_WAVELENGTH,
)
from crystalicl_jobflow.utils.hashing import text_hash

RADIATIONS: dict[str, float] = {
    "CuKa": 1.54184, "CuKa1": 1.54056, "CuKa2": 1.54439, "CuKb1": 1.39222,
    "MoKa": 0.71073, "MoKa1": 0.70930, "MoKa2": 0.71359, "MoKb1": 0.63229,
    "CoKa": 1.79026, "CoKa1": 1.78896, "CoKa2": 1.79285, "CoKb1": 1.63079,
    "FeKa": 1.93735, "FeKa1": 1.93604, "FeKa2": 1.93998, "FeKb1": 1.75661,
    "CrKa": 2.29100, "CrKa1": 2.28970, "CrKa2": 2.29361, "CrKb1": 2.08487,
    "AgKa": 0.560885, "AgKa1": 0.559421, "AgKa2": 0.563813, "AgKb1": 0.497082,
}  # fmt: skip
"""Radiation → wavelength in Å, as ``pymatgen.analysis.diffraction.xrd.WAVELENGTHS``, whose import
takes a second. Kα is the mean of Kα1 and Kα2 that a laboratory does not tell apart."""

PATTERN_FILE = "pattern.json"
"""File of a run's folder with the measured pattern."""

DEFAULT_RADIATION = "CuKa"
"""What is taken where neither the user nor the file names a wavelength."""

WavelengthFrom = Literal["asked", "file", "default"]
"""Who named the wavelength: the user, the file, or nobody (Cu Kα)."""


class PowderPattern(Document):
    """A measured powder diffraction pattern: angles and intensities."""

    name: str = Field(description="Name of the file, without its folder.")
    sha256: str = Field("", description="Hash of the file's bytes, or of the numbers.")
    wavelength: float = Field(description="Å")
    radiation: str | None = Field(None, description="Its name, e.g. CuKa; None for a number.")
    wavelength_from: WavelengthFrom = "asked"
    two_theta: list[float] = Field(description="Degrees, ascending.")
    intensity: list[float] = Field(description="Counts or any other unit.")
    remarks: list[str] = Field(
        default_factory=list, description="What was left out or put together, one line each."
    )

    @model_validator(mode="after")
    def _check(self) -> PowderPattern:
        if not MIN_WAVELENGTH <= self.wavelength <= MAX_WAVELENGTH:
            raise ValueError(
                f"{self.name}: a wavelength of {self.wavelength:g} Å is not between"
                f" {MIN_WAVELENGTH:g} and {MAX_WAVELENGTH:g} Å"
            )
        count = len(self.two_theta)
        if count != len(self.intensity):
            raise ValueError(f"{self.name}: {count} angles, but {len(self.intensity)} intensities")
        if not MIN_PATTERN_POINTS <= count <= MAX_PATTERN_POINTS:
            raise ValueError(
                f"{self.name} has {count} point{'s' if count != 1 else ''}; a pattern has"
                f" {MIN_PATTERN_POINTS} to {MAX_PATTERN_POINTS:,}"
            )
        angles, heights = np.asarray(self.two_theta), np.asarray(self.intensity)
        if not (np.isfinite(angles).all() and np.isfinite(heights).all()):
            raise ValueError(f"{self.name}: an angle or an intensity is not a finite number")
        if not (np.diff(angles) > 0).all():
            raise ValueError(f"{self.name}: the angles do not ascend")
        if angles[0] <= 0 or angles[-1] >= 180:
            raise ValueError(
                f"{self.name}: 2θ from {angles[0]:g} to {angles[-1]:g}; it is between 0 and 180"
                " degrees"
            )
        if heights.max() <= 0 or heights.max() == heights.min():
            raise ValueError(f"{self.name} has no peaks: all intensities are zero, or the same")
        return self

    @classmethod
    def build(
        cls,
        two_theta: Sequence[float] | Any,
        intensity: Sequence[float] | Any,
        *,
        name: str = "pattern",
        wavelength: str | float | None = None,
        **fields: Any,
    ) -> PowderPattern:
        """Return a pattern from points in any order.

        Parameters
        ----------
        two_theta
            Degrees, shape (n,).
        intensity
            Shape (n,).
        name
            Name of the pattern.
        wavelength
            Name of a radiation, or Å; None for Cu Kα.
        **fields
            ``sha256``, ``remarks``, ``wavelength_from``.

        Returns
        -------
        PowderPattern
            Points that are no finite numbers, and one at 0 degrees, are left out; equal angles
            become one point with the mean intensity, and of more than 20,000 points neighbours are
            put together.

        Raises
        ------
        ValueError
            If this is no pattern; one line.
        """
        remarks = list(fields.pop("remarks", ()))
        angles, heights = (np.asarray(x, dtype=float).ravel() for x in (two_theta, intensity))
        if len(angles) != len(heights):
            raise ValueError(f"{name}: {len(angles)} angles, but {len(heights)} intensities")
        good = np.isfinite(angles) & np.isfinite(heights)
        if not good.all():
            lost = int((~good).sum())
            remarks.append(f"{lost} of {len(good)} points are no finite numbers and left out")
            angles, heights = angles[good], heights[good]
        if (angles == 0).any() and (angles >= 0).all():  # the beam itself
            remarks.append("the point at 0 degrees is left out")
            angles, heights = angles[angles > 0], heights[angles > 0]
        places, inverse, counts = np.unique(angles, return_inverse=True, return_counts=True)
        if len(places) < len(angles):
            remarks.append(
                f"the mean is taken where an angle repeats ({len(angles) - len(places)} times)"
            )
        means = np.bincount(inverse, weights=heights) / np.maximum(counts, 1)
        if len(places) > MAX_PATTERN_POINTS:
            each = math.ceil(len(places) / MAX_PATTERN_POINTS)
            starts = np.arange(0, len(places), each)
            sizes = np.diff(np.append(starts, len(places)))
            places = np.add.reduceat(places, starts) / sizes
            means = np.add.reduceat(means, starts) / sizes
            remarks.append(f"{each} neighbouring points are one, of {int(sizes.sum())}")
        radiation, length = read_wavelength(wavelength)
        digest = fields.pop("sha256", None) or text_hash(f"{places.tolist()} {means.tolist()}")
        given = {
            "name": name,
            "sha256": digest,
            "wavelength": length,
            "radiation": radiation,
            "wavelength_from": "default" if wavelength is None else "asked",
            "two_theta": places.tolist(),
            "intensity": means.tolist(),
            "remarks": remarks,
        }
        return cls.model_validate({**given, **fields})

    @property
    def label(self) -> str:
        """The pattern in a few words."""
        kind = self.radiation or "wavelength"
        note = {"file": ", as the file says", "default": ", as nothing else is said"}
        return (
            f"{self.name}, {len(self.two_theta):,} points, 2θ {self.two_theta[0]:g} to"
            f" {self.two_theta[-1]:g}°, {kind} {self.wavelength:g} Å"
            f"{note.get(self.wavelength_from, '')}"
        )


def read_wavelength(value: str | float | None) -> tuple[str | None, float]:
    """Return the name of a radiation, None for a bare number, and its wavelength in Å.

    Parameters
    ----------
    value
        A name (``CuKa``, ``Cu Kα1``, ``Mo``: its Kα), or Å; None for Cu Kα.

    Raises
    ------
    ValueError
        If it is neither; one line.
    """
    if value is None:
        return DEFAULT_RADIATION, RADIATIONS[DEFAULT_RADIATION]
    text = str(value).strip()
    plain = text.lower().replace("α", "a").replace("β", "b").replace("alpha", "a")
    plain = plain.replace("beta", "b").translate(dict.fromkeys(map(ord, " -_")))
    names = {name.lower(): name for name in RADIATIONS}
    for found in (plain, f"{plain}ka", f"{plain}1"):
        if found in names:
            return names[found], RADIATIONS[names[found]]
    try:
        length = float(text.removesuffix("Å").removesuffix("A"))
    except ValueError:
        length = math.nan
    if not MIN_WAVELENGTH <= length <= MAX_WAVELENGTH:
        raise ValueError(
            f"wavelength {text[:40]!r} is neither a radiation ({', '.join(RADIATIONS)}) nor"
            f" {MIN_WAVELENGTH:g} to {MAX_WAVELENGTH:g} Å"
        )
    return None, length


class PatternFit(Document):
    """How well a crystal explains a measured pattern, as it was written and with its cell refined.

    The crystal of the candidate stays what the text says; the refined cell is here.
    """

    pattern: str = Field(description="Name of the pattern.")
    pattern_sha256: str = Field("", description="Hash of its file, or of its numbers.")
    wavelength: float = Field(description="Å")
    radiation: str | None = Field(None, description="Name of the radiation.")
    two_theta: tuple[float, float] | None = Field(None, description="Range compared, degrees.")
    similarity: float | None = Field(
        None, description="Of the refined crystal, 0 to 1; None where it could not be computed."
    )
    similarity_as_written: float | None = Field(
        None, description="Of the crystal as the text has it."
    )
    volume_ratio: float | None = Field(
        None, description="Volume of the refined cell over that of the text."
    )
    largest_strain: float | None = Field(
        None, description="Largest change of a length by the refinement, a share."
    )
    num_parameters: int = Field(
        0, description="Parameters of the cell that the group leaves free; all were refined."
    )
    lattice: list[list[float]] | None = Field(
        None, description="Vectors of the refined cell as rows, Å; coordinates are the text's."
    )
    method: str = Field("", description="Measure of similarity and program, in words.")
    failure_message: str | None = Field(None, description="Why there is no similarity.")

    def refined(self, structure: Structure) -> Structure | None:
        """Return a crystal with the refined cell; None where nothing was refined.

        Parameters
        ----------
        structure
            The candidate's crystal.
        """
        if self.lattice is None:
            return None
        return Structure(
            Lattice(self.lattice),
            structure.species_and_occu,
            structure.frac_coords,
            site_properties=structure.site_properties,
        )

"""The asymmetric unit that an SGS text states."""

from __future__ import annotations

from dataclasses import dataclass

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.wyckoff_letters import in_order


@dataclass(frozen=True)
class SGSSite:
    """One Wyckoff orbit.

    Attributes
    ----------
    species
        ``Mg``, or ``Cu0.75 Au0.25``.
    frac_coords
        One representative, in [0, 1).
    multiplicity
        Points of the orbit in the conventional cell, where known.
    wyckoff_letter
        Where known.
    """

    species: str
    frac_coords: tuple[float, float, float]
    multiplicity: int | None = None
    wyckoff_letter: str | None = None


@dataclass(frozen=True)
class SGSCrystal:
    """Contents of an SGS text: group, conventional cell (Å, degrees), one site per orbit."""

    space_group_number: int
    lengths: tuple[float, float, float]
    angles: tuple[float, float, float]
    sites: tuple[SGSSite, ...]

    @property
    def space_group_symbol(self) -> str:
        """Short Hermann-Mauguin symbol."""
        return wyckoff.symbol(self.space_group_number)

    @property
    def wyckoff(self) -> dict[str, tuple[str, ...]] | None:
        """The letters of each species' orbits, in order; None where some are not known."""
        letters: dict[str, list[str]] = {}
        for site in self.sites:
            if site.wyckoff_letter is None:
                return None
            letters.setdefault(site.species, []).append(site.wyckoff_letter)
        return {name: in_order(orbits) for name, orbits in letters.items()}

"""Every tolerance of the checks, in one place, each with its source.

Candidates and evaluations carry these values under ``tolerances``: a rate means nothing
without them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

SYMPREC: Final = 0.1
"""Symmetry tolerance in Å. CrystalICL and the Materials Project use 0.1."""

ANGLE_TOLERANCE: Final = 5.0
"""Angle tolerance in degrees: the default of pymatgen's ``SpacegroupAnalyzer``."""

MIN_DISTANCE: Final = 0.5
"""Shortest allowed distance in Å, inclusive. Source: CDVAE (Xie et al., ICLR 2022)."""

MIN_VOLUME: Final = 0.1
"""Smallest allowed cell volume in Å³, inclusive. Source: CDVAE, ``structure_validity``."""

MIN_VOLUME_PER_ATOM: Final = 1.5
"""Smallest volume per atom in Å³ that an energy model is given; a choice of this package.

The densest crystals of the Materials Project have 4 to 5 Å³ per atom. A potential's neighbour
lists grow with the density, and its answer means nothing so far from its training data.
"""

OCCUPANCY_TOLERANCE: Final = 1.05
"""Occupancies at one place may add up to this, and are scaled to 1: rounded thirds add up to 1.001.

Through every door, files and texts alike; a choice of this package. pymatgen's ``CifParser``
has such an ``occupancy_tolerance`` too.
"""

RADII_FRACTION: Final = 0.5
"""Share of the sum of two atomic radii below which two atoms overlap.

Source: CrystalICL, appendix on metrics: "overlap is defined as the distance between two
atoms being less than half the sum of their radii".
"""

RADII_SET: Final = "pymatgen atomic_radius, else atomic_radius_calculated, else van_der_waals"
"""Which radii: the empirical ones of Slater (1964) as ``Element.atomic_radius`` has them.

He, Ne, Kr, Xe and Rn have none and take the calculated radius (Clementi et al. 1967); At, Fr
and the elements from Cm to No have neither and take *half* the van der Waals radius: that
one is a contact distance of unbonded atoms, about twice an atomic radius. Heavier elements
have no radius of any kind and overlap nothing but themselves (by :data:`MIN_DISTANCE`).
"""

OXIDATION_STATES_SET: Final = "smact14"
"""SMACT's oxidation states: the list that SMACT 2 used, and with it CDVAE and its successors.

SMACT 4 defaults to ``icsd24`` instead, which gives other answers (LaNi5H6 is valid there).
"""

MAX_OXIDATION_COMBINATIONS: Final = 10_000_000
"""Above so many combinations of oxidation states a composition is invalid. Source: CDVAE."""

MATCH_STOL: Final = 0.5
MATCH_LTOL: Final = 0.3
MATCH_ANGLE_TOL: Final = 10.0
"""``StructureMatcher`` tolerances of structure prediction. Source: CDVAE, DiffCSP, CrystaLLM."""

UNIQUE_STOL: Final = 0.3
UNIQUE_LTOL: Final = 0.2
UNIQUE_ANGLE_TOL: Final = 5.0
"""``StructureMatcher`` tolerances of uniqueness: pymatgen's defaults, as FlowMM and others use."""

MATCH_TIMEOUT: Final = 60.0
"""Seconds of CPU time after which two crystals count as different, with a warning; a choice of this
package: large cells of one element otherwise take minutes each."""

MAX_POLYMORPH_PAIRS: Final = 20_000
"""Comparisons above which the polymorphs of a formula are not counted, with a warning; a choice of
this package: a data set of one formula, such as Carbon-24, otherwise takes hours."""

COVERAGE_CUTOFFS: Final[dict[str, tuple[float, float]]] = {
    "mp_20": (0.4, 10.0),
    "carbon_24": (0.2, 4.0),
    "perov_5": (0.2, 4.0),
}
"""Data set → cut-offs of coverage, inclusive: structural (CrystalNN) and composition (Magpie,
standardised). Source: CDVAE's ``COV_Cutoffs``. MPTS-52 has none of its own there."""

FINGERPRINT_TIMEOUT: Final = 60.0
"""Seconds of CPU time after which a crystal goes without a structural fingerprint; a choice of this
package."""

FINGERPRINT_MIN_VOLUME: Final = 0.5
"""Volume per atom in Å³ below which a crystal has no structural fingerprint.

A choice of this package: hydrogen at 500 GPa has more than 1 Å³, and the neighbours of a heap
of atoms are so many that one site takes longer than :data:`FINGERPRINT_TIMEOUT`."""

STABLE_E_ABOVE_HULL: Final = 0.0
"""Energy above the hull in eV/atom at or below which a crystal is stable."""

METASTABLE_E_ABOVE_HULL: Final = 0.1
"""The same for metastable crystals, inclusive. Source: CDVAE's successors and MatterGen, after
Sun et al., Sci. Adv. 2, e1600225 (2016)."""

HULL_ROUNDING: Final = 1e-8
"""What a phase on the hull may lie above it by rounding, eV/atom: pymatgen's
``PhaseDiagram.numerical_tol``."""

NEGATIVE_FORMATION_ENERGY: Final = 0.0
"""Formation energy in eV/atom below which a crystal is feasible. Source: CrystalICL, table 7."""

BOND_TOLERANCE: Final = 0.32
"""Share of the expected length by which a bond may be off, exclusive.

Source: CrystaLLM's ``bond_length_reasonableness_score``; its paper says 30 %.
"""

HYDROGEN_BOND_FACTOR: Final = 2.5
"""Bonds of hydrogen stay below so many times the expected length. Source: CrystaLLM."""

IONIC_ELECTRONEGATIVITY: Final = 1.7
"""Difference of Pauling electronegativities from which a bond is ionic. Source: CrystaLLM."""

BOND_LENGTH_SCORE: Final = 1.0
"""Share of reasonable bonds that a reasonable crystal has at least. Source: CrystaLLM."""

REWARD_PARTS: Final[dict[str, float]] = {"parse": 0.5, "valid": 0.5, "formula": 0.5}
"""What CrysText-RL rewards of a sample by itself. Source: CrysText-RL."""

REWARD_MATCH: Final[dict[str, tuple[float, float, float, float]]] = {
    "match_loose": (0.9, 0.7, 20.0, 0.25),
    "match_medium": (0.7, 0.5, 15.0, 0.25),
    "match_tight": (0.5, 0.3, 10.0, 1.0),
}
"""Matches that CrysText-RL rewards: stol, ltol, angle_tol in degrees, and what each adds."""

REWARD_PENALTY: Final = -1.0
"""Reward of a text that cannot be read as a crystal.

CrysText-RL has a penalty and does not state its size; this one is a choice of this package,
as large as a third of the highest reward.
"""

BAND_GAP_TOLERANCE: Final = 0.5
"""Largest difference in eV at which a band gap meets the condition's. Source: CrystalICL."""

E_ABOVE_HULL_TOLERANCE: Final = 0.1
"""How far a crystal's energy above the hull may exceed the condition's, in eV/atom.

Lower is always met: a more stable crystal does not fail. 0.1 eV/atom is the usual limit of
metastability (Sun et al., Sci. Adv. 2016; CDVAE's and MatterGen's successors).
"""

RELATIVE_TOLERANCE: Final = 0.1
"""Relative difference at which any other property is met; no source, a choice of this package."""

_ROUNDING: Final = 1e-9  # 2.2 - 1.7 is above 0.5 in binary; limits are meant in decimals


def _same_sign(value: float, target: float) -> bool:
    return (value < 0) == (target < 0)


def _near_gap(value: float, target: float) -> bool:
    return abs(value - target) <= BAND_GAP_TOLERANCE + _ROUNDING


def _stable_enough(value: float, target: float) -> bool:
    return value <= target + E_ABOVE_HULL_TOLERANCE + _ROUNDING


PROPERTY_RULES: dict[str, Callable[[float, float], bool]] = {
    "formation_energy_per_atom": _same_sign,
    "band_gap": _near_gap,
    "energy_above_hull": _stable_enough,
}
"""Property name → ``rule(value, target)``: whether the value meets the condition's.

Ranges need no rule: they are met by containment. Properties without a rule are met within
:data:`RELATIVE_TOLERANCE`. Formation energy: same sign (CrystalICL).
"""


def meets_value(name: str, value: float, target: float) -> bool:
    """Return whether a property's value meets the single value of a condition.

    Parameters
    ----------
    name
        Property name, see :data:`crystalicl_jobflow.schemas.PROPERTIES`.
    value, target
        Predicted value and the condition's, in the property's unit.
    """
    rule = PROPERTY_RULES.get(name)
    if rule is not None:
        return rule(value, target)
    return abs(value - target) <= RELATIVE_TOLERANCE * abs(target) + _ROUNDING


def check_tolerances(symprec: float = SYMPREC) -> dict[str, float | str]:
    """Return the tolerances of the checks of one candidate, as its provenance states them."""
    return {
        "symprec": symprec,
        "angle_tolerance": ANGLE_TOLERANCE,
        "min_distance": MIN_DISTANCE,
        "min_volume": MIN_VOLUME,
        "radii_fraction": RADII_FRACTION,
        "radii_set": RADII_SET,
        "oxidation_states_set": OXIDATION_STATES_SET,
        "composition_rule": "CDVAE smact_validity: Pauling test, all-metal alloys pass",
        "band_gap": BAND_GAP_TOLERANCE,
        "energy_above_hull": E_ABOVE_HULL_TOLERANCE,
        "formation_energy_per_atom": "same sign",
        "other_properties_relative": RELATIVE_TOLERANCE,
    }


def evaluation_tolerances() -> dict[str, float | str]:
    """Return the tolerances of comparisons between crystals."""
    return {
        "match_stol": MATCH_STOL,
        "match_ltol": MATCH_LTOL,
        "match_angle_tol": MATCH_ANGLE_TOL,
        "match_reduction": "with or without primitive reduction",
        "unique_stol": UNIQUE_STOL,
        "unique_ltol": UNIQUE_LTOL,
        "unique_angle_tol": UNIQUE_ANGLE_TOL,
    }


MIN_LENGTH: Final = 0.5
"""Shortest cell length in Å that is read: atoms nearer than :data:`MIN_DISTANCE` overlap, and an
atom's own images are as far away as the cell is long. A neighbour search in a shorter cell would
need memory without limit."""

MAX_LENGTH: Final = 1000.0
"""Longest cell length in Å that is read; no crystal of the data sets comes near."""

MIN_ANGLE_SPREAD: Final = 1e-4
"""Least 1 - Σcos² + 2Πcos of three cell angles, the squared volume of the cell with unit lengths.
Three angles of 1.2 degrees have about as much."""

MAX_COORDINATE: Final = 10.0
"""Largest fractional coordinate, with either sign, that is read. Unwrapped atoms of a relaxation
are a few cells away; further off digits are lost."""

MAX_NUMBER_CHARACTERS: Final = 30
"""Longest number that is read; a double has 17 digits, a sign, a point and an exponent."""

MAX_SITES: Final = 2000
"""Most atoms in a cell that is read. The largest crystals of the data sets have hundreds."""

MAX_OPERATIONS: Final = 1000
"""Most symmetry operations that a CIF may list; a conventional cell has at most 192."""

MAX_IMAGES: Final = 10 * MAX_SITES
"""Most listed sites of a CIF text times its symmetry operations. Sites on special positions have
fewer images than there are operations; ten times fewer on average is rare."""

SLENDER_CELL: Final = 10.0
"""Longest over shortest vector of a reduced cell above which spglib judges angles by the distance
tolerance, not by :data:`ANGLE_TOLERANCE`: 5 degrees are 5 Å at the end of a vector of 57 Å, which
takes seconds and finds groups that are not there (191 for 12 in a cell of 57 × 4 × 4 Å)."""

MAX_TEXT_SIZE: Final = 1_000_000
"""Longest text of a crystal, in characters. 2,000 atoms take about a tenth of it."""

SAME_CELL_DISTANCE: Final = 0.005
"""Largest difference in Å, of cell lengths and of atoms, between a relaxed cell and that of a
static calculation that gives it its energy. Phonons move atoms by 0.01 Å (atomate2's default),
elastic constants strain cells by 0.5 % and more (0.02 Å of 4 Å)."""

SAME_CELL_ANGLE: Final = 0.05
"""Largest difference of cell angles, in degrees, for the same. A shear of 0.5 % is 0.29 degrees."""

MIN_PATTERN_POINTS: Final = 5
"""Fewest points of a powder pattern, also of a list of peaks: fewer decide nothing."""

MAX_PATTERN_POINTS: Final = 20_000
"""Most points of a pattern that are kept; of more, neighbours are put together. 180 degrees in
steps of 0.01 have 18,000."""

MIN_WAVELENGTH: Final = 0.1
MAX_WAVELENGTH: Final = 5.0
"""Wavelengths in Å of powder diffraction, from synchrotrons to Cr and slow neutrons."""

PATTERN_SCALING: Final = 0.05
"""Lengths of a crystal are first scaled by up to this share, all alike, to a measured pattern: 15 %
of the volume. A choice of this package."""

PATTERN_STRAIN: Final = 0.08
"""Largest change of any length, as a share, by the refinement of a cell to a measured pattern, the
scaling included."""

PATTERN_SEARCH_WIDTH: Final = 0.03
"""FWHM in Å⁻¹ of the smoothing of patterns while a cell is sought: 2.7 degrees for Cu Kα."""

PATTERN_WIDTH: Final = 0.016
"""FWHM in Å⁻¹ of the smoothing of the similarity of patterns that is told: 1.4 degrees for Cu Kα.
Both widths were chosen on 80 rows of other_test.csv.gz."""

"""Why a generated text did not become the crystal that was asked for."""

from __future__ import annotations

from enum import StrEnum


class FailureReason(StrEnum):
    """Reason codes, in the order in which they are looked for.

    The first group says that a text is not one crystal (``not_generated``: a model server
    gave none at all; ``internal``: reading or checking it failed in a way that was not
    foreseen), the second that a crystal was read but is not physical, the third
    that it is not the one asked for. A candidate carries the first that applies, with a
    sentence beside it.
    """

    NOT_GENERATED = "not_generated"
    EMPTY = "empty"
    TRUNCATED = "truncated"
    AMBIGUOUS = "ambiguous"
    BAD_SPACE_GROUP = "bad_space_group"
    BAD_LATTICE = "bad_lattice"
    BAD_ELEMENT = "bad_element"
    BAD_COORDINATES = "bad_coordinates"
    NO_SITES = "no_sites"
    BAD_CIF = "bad_cif"
    TOO_MANY_ATOMS = "too_many_atoms"
    NOT_ENCODABLE = "not_encodable"
    INTERNAL = "internal"

    ATOMS_OVERLAP = "atoms_overlap"
    BAD_VOLUME = "bad_volume"
    SYMMETRY_NOT_FOUND = "symmetry_not_found"
    SYMMETRY_DIFFERS = "symmetry_differs"
    COMPOSITION_INVALID = "composition_invalid"

    CONDITION_NOT_MET = "condition_not_met"

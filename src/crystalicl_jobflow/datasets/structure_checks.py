"""Structures that come as such, or as dictionaries: checked, with plain site properties."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from pymatgen.core import DummySpecies, Structure

from crystalicl_jobflow.crystal.bounds import lattice_fault, num_sites_fault
from crystalicl_jobflow.crystal.structure_documents import (
    is_unicode,
    moment_along_axes,
    structure_from_dict,
)
from crystalicl_jobflow.datasets.cif_reader import ReadCrystal
from crystalicl_jobflow.thresholds import OCCUPANCY_TOLERANCE

_EXACT = 1e-8  # pymatgen's Composition.amount_tolerance

MAX_CARTESIAN = 1_000_000.0
"""Å; atoms further from the origin than this are a mistake, not images of those in the cell."""


def structure_of_mapping(document: Mapping[str, Any]) -> ReadCrystal:
    """Build the structure that a dictionary describes (``Structure.as_dict()``).

    Parameters
    ----------
    document
        Not changed. Occupancies of a site that add up to `OCCUPANCY_TOLERANCE` at most are
        scaled to 1; site properties that are no plain numbers are left out, with a remark.

    Raises
    ------
    ValueError
        Where it is no structure, or an impossible one; one line.
    """
    sites = document.get("sites")
    if not isinstance(sites, list | tuple):
        return check_structure(structure_from_dict(document))
    fault = num_sites_fault(len(sites))
    if fault is not None:
        raise ValueError(fault)
    lost: Counter[str] = Counter()
    plain = [_plain_site(site, lost) for site in sites]
    # slabs, StructureNL and other kinds of structure say their crystal in the same two fields
    fields = {"lattice": document.get("lattice"), "sites": plain, "charge": document.get("charge")}
    read = check_structure(structure_from_dict(fields))
    return ReadCrystal(read.structure, (*_lost(lost), *read.remarks))


def check_structure(structure: Structure) -> ReadCrystal:
    """Check a structure, and make its site properties plain.

    Returns
    -------
    ReadCrystal
        With the structure itself where nothing had to be changed.

    Raises
    ------
    ValueError
        Where it has no sites or too many, a species that is no element, an occupancy that is
        not above 0 and up to 1, or numbers that make no cell; one line.
    """
    if not len(structure):
        raise ValueError("the structure has no sites")
    fault = num_sites_fault(len(structure)) or lattice_fault(structure.lattice.matrix)
    if fault is not None:
        raise ValueError(fault)
    for place, site in enumerate(structure):
        for species, share in site.species.items():
            if isinstance(species, DummySpecies):
                raise ValueError(f"the species {species.symbol} of site {place} is no element")
            if not 0 < share <= 1 + _EXACT:
                raise ValueError(
                    f"occupancy {share:g} of site {place}: it must lie above 0 and up to 1"
                )
        if not site.species:
            raise ValueError(f"site {place} has no species")
    coords = structure.cart_coords
    if not np.isfinite(coords).all() or np.abs(coords).max() > MAX_CARTESIAN:
        raise ValueError("a coordinate of the structure is out of bounds")
    return _with_plain_properties(structure)


def _with_plain_properties(structure: Structure) -> ReadCrystal:
    properties = structure.site_properties
    if all(
        _NAME.fullmatch(name) and all(map(_is_plain, values)) for name, values in properties.items()
    ):
        return ReadCrystal(structure)
    lost: Counter[str] = Counter()
    changed = structure.copy()
    for name, values in properties.items():
        plain = [_plain(value) if _NAME.fullmatch(name) else _NOT_PLAIN for value in values]
        changed.remove_site_property(name)
        bad = sum(value is _NOT_PLAIN for value in plain)
        if bad:
            lost[name] = bad
        else:
            changed.add_site_property(name, plain)
    return ReadCrystal(changed, _lost(lost))


def _lost(lost: Mapping[str, int]) -> tuple[str, ...]:
    return tuple(
        f"site property {name[:40]!r} of {number} sites is no plain number and is left out"
        for name, number in lost.items()
    )


def _plain_site(site: Any, lost: Counter[str]) -> Any:
    """Return a site's dictionary with plain properties, and with at most 1 at its place."""
    if not isinstance(site, Mapping):
        return site
    changed = dict(site)
    properties = site.get("properties")
    if isinstance(properties, Mapping):
        plain = {
            str(name): _plain(value) if _NAME.fullmatch(str(name)) else _NOT_PLAIN
            for name, value in properties.items()
        }
        lost.update(name for name, value in plain.items() if value is _NOT_PLAIN)
        changed["properties"] = {
            name: None if value is _NOT_PLAIN else value
            for name, value in plain.items()
            if _NAME.fullmatch(name)
        }
    species = site.get("species")
    if isinstance(species, Sequence) and all(isinstance(item, Mapping) for item in species):
        shares = [item.get("occu", 1) for item in species]
        if all(isinstance(share, int | float) for share in shares):
            for share in shares:
                if not 0 < share <= OCCUPANCY_TOLERANCE:
                    raise ValueError(f"occupancy {share:g}: it must lie above 0 and up to 1")
            total = sum(shares)
            if 1 + _EXACT < total <= OCCUPANCY_TOLERANCE:
                changed["species"] = [
                    {**item, "occu": share / total}
                    for item, share in zip(species, shares, strict=True)
                ]
    return changed


_NOT_PLAIN = object()
_NAME = re.compile(r"[A-Za-z_][\w +-]{0,99}")
"""A property's name: stores take no dots, nulls or dollar signs in names of fields."""
_MOST = 2**63 - 1  # of a whole number in a store


def _is_plain(value: Any) -> bool:
    if value is None or type(value) in (bool, float):
        return True
    if type(value) is int:
        return abs(value) <= _MOST
    if type(value) is str:
        return is_unicode(value)
    return type(value) is list and all(map(_is_plain, value))


def _plain(value: Any) -> Any:
    """Return a property as numbers, texts and lists of them, or `_NOT_PLAIN`."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    read = value.get if isinstance(value, Mapping) else partial(getattr, value)
    moment = read("moment", None)
    if moment is not None:  # pymatgen's Magmom, or its dictionary
        return _moment(_plain(moment), _plain(read("saxis", None)))
    if isinstance(value, Mapping) and value.get("@class") == "array":
        return _plain(value.get("data"))
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return _NOT_PLAIN if any(item is _NOT_PLAIN for item in items) else items
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if _is_plain(value) else _NOT_PLAIN


def _moment(moment: Any, spin_axis: Any) -> Any:
    try:
        return moment_along_axes(moment, spin_axis)
    except ValueError:
        return _NOT_PLAIN

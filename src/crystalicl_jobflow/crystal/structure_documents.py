"""Structures from the dictionaries that are kept in files and stores."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from pymatgen.core import Lattice, Structure
from pymatgen.electronic_structure.core import Magmom

_CLASSES = {
    "structure": frozenset({"Structure", "IStructure", "StructureNL", "Slab"}),
    "lattice": frozenset({"Lattice"}),
    "site": frozenset({"PeriodicSite"}),
    "species": frozenset({"Element", "Species", "Specie", "DummySpecies", "DummySpecie"}),
}
_LATTICE_FIELDS = ("matrix", "a", "b", "c", "alpha", "beta", "gamma", "pbc")
_SPECIES_FIELDS = ("element", "oxidation_state", "spin", "occu")
_NUMBERS_BELOW = {("pymatgen.electronic_structure.core", "Magmom"): "moment",
                  ("numpy", "array"): "data"}  # fmt: skip
_MAX_DEPTH = 8


def structure_as_dict(structure: Structure) -> dict[str, Any]:
    """Return the dictionary of a structure, as ``Structure.as_dict()`` does, several times faster.

    pymatgen describes the lattice anew for every site, and takes it out again.

    Parameters
    ----------
    structure
        Any structure.

    Returns
    -------
    dict
        Read by `structure_from_dict` and by pymatgen. Properties are those of the structure and
        its sites themselves, not copies.
    """
    frac_coords = structure.frac_coords
    coords = structure.lattice.get_cartesian_coords(frac_coords)
    return {
        "@module": type(structure).__module__,
        "@class": type(structure).__name__,
        "charge": structure.charge,
        "lattice": lattice_as_dict(structure.lattice),
        "properties": structure.properties,
        "sites": [
            {
                "species": [_species_as_dict(*item) for item in site.species.items()],
                "abc": abc,
                "properties": site.properties,
                "label": site.label,
                "xyz": xyz,
            }
            for site, abc, xyz in zip(structure, frac_coords.tolist(), coords.tolist(), strict=True)
        ],
    }


def lattice_as_dict(lattice: Lattice) -> dict[str, Any]:
    """Return the dictionary of a lattice within that of a structure."""
    fields = lattice.as_dict(verbosity=1)
    return {name: value for name, value in fields.items() if name[0] != "@"}


def _species_as_dict(species: Any, occupancy: float) -> dict[str, Any]:
    fields = {name: value for name, value in species.as_dict().items() if name[0] != "@"}
    return {**fields, "occu": occupancy}


def structure_from_dict(document: Mapping[str, Any]) -> Structure:
    """Build a structure from its dictionary without importing what the dictionary names.

    ``Structure.from_dict`` of pymatgen decodes the properties of sites with monty, which imports
    any module that they name and calls its classes. Here only the known fields are passed to it:
    lattice, sites, charge, properties. Magnetic moments and arrays among the properties become
    plain numbers.

    Parameters
    ----------
    document
        What ``Structure.as_dict()`` returns, e.g. from a JSON file or a store. It is not modified.

    Returns
    -------
    Structure
        The structure, lengths in Å.

    Raises
    ------
    ValueError
        If it is not such a dictionary, or names an object that is not part of a crystal; one line.

    Examples
    --------
    >>> from pymatgen.core import Lattice, Structure
    >>> polonium = Structure(Lattice.cubic(3.35), ["Po"], [[0, 0, 0]])
    >>> structure_from_dict(polonium.as_dict()) == polonium
    True
    """
    if not isinstance(document, Mapping):
        raise ValueError(f"a structure's dictionary is needed, not {type(document).__name__}")
    _check_class(document, "structure")
    lattice, sites = document.get("lattice"), document.get("sites")
    if not isinstance(lattice, Mapping) or not isinstance(sites, list | tuple):
        raise ValueError("a structure's dictionary needs 'lattice' and 'sites'")
    _check_class(lattice, "lattice")
    known = {
        "lattice": {name: lattice[name] for name in _LATTICE_FIELDS if name in lattice},
        "sites": [_site(site) for site in sites],
        "charge": document.get("charge"),
        "properties": _plain(document.get("properties") or {}),
    }
    try:
        return Structure.from_dict(known)
    except (KeyError, TypeError, AttributeError, IndexError) as error:
        raise ValueError(
            f"a structure's dictionary cannot be read: {type(error).__name__} {error}"
        ) from None


def _site(site: Any) -> dict[str, Any]:
    if not isinstance(site, Mapping):
        raise ValueError("a site of a structure's dictionary is not a mapping")
    _check_class(site, "site")
    species = site.get("species")
    if not isinstance(species, list | tuple) or not all(isinstance(x, Mapping) for x in species):
        raise ValueError("a site of a structure's dictionary has no list of species")
    for item in species:
        _check_class(item, "species")
    label = site.get("label")
    known: dict[str, Any] = {
        "species": [
            {name: item[name] for name in _SPECIES_FIELDS if name in item} for item in species
        ],
        "abc": site.get("abc"),
        "label": label if isinstance(label, str) and is_unicode(label) else None,
    }
    if site.get("properties") is not None:
        known["properties"] = _plain(site["properties"])
    return known


def _check_class(part: Mapping[str, Any], kind: str) -> None:
    """Raise an error for a part with another class name; parts without one are accepted."""
    module, name = part.get("@module"), part.get("@class")
    if "@callable" in part or (
        (module is not None or name is not None)
        and not (str(module).startswith("pymatgen.") and name in _CLASSES[kind])
    ):
        raise ValueError(f"{module}.{name or part.get('@callable')} is not a crystal's {kind}")


def is_unicode(text: str) -> bool:
    """Return whether a text can be stored: JSON may hold halves of surrogate pairs."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def _plain(value: Any, depth: int = 0) -> Any:
    """Return properties as numbers, texts, lists and mappings of these.

    Raises
    ------
    ValueError
        If an object of another kind is among them, or they are nested without end.
    """
    if depth > _MAX_DEPTH:
        raise ValueError("properties of a structure's dictionary are nested too deeply")
    if isinstance(value, Mapping):
        if not any(str(name).startswith("@") for name in value):
            return {str(name): _plain(item, depth + 1) for name, item in value.items()}
        named = (str(value.get("@module")), str(value.get("@class")))
        if named not in _NUMBERS_BELOW or "@callable" in value:
            raise ValueError(f"a property of a structure's dictionary is a {'.'.join(named)}")
        number = _plain(value.get(_NUMBERS_BELOW[named]), depth + 1)
        if named[1] == "Magmom":
            return moment_along_axes(number, _plain(value.get("saxis"), depth + 1))
        return number
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return value.tolist() if hasattr(value, "tolist") else value


def moment_along_axes(moment: Any, spin_axis: Any) -> Any:
    """Return a magnetic moment along the Cartesian axes of the cell.

    Parameters
    ----------
    moment
        A number or three of them, in μB, with regard to the spin axis (pymatgen's ``Magmom``).
    spin_axis
        Three numbers; None for z, of which the moment stays as it is.

    Raises
    ------
    ValueError
        If they are no such numbers.
    """
    try:
        axis = np.array([0, 0, 1] if spin_axis is None else spin_axis, dtype=float)
        if not np.abs(axis[:2]).max() and axis[2] > 0:
            return moment
        turned = Magmom(moment, saxis=axis).global_moment
    except (TypeError, ValueError, IndexError):
        turned = np.array([np.nan])
    if not np.isfinite(turned).all():
        raise ValueError("a magnetic moment is no number, or its spin axis no direction")
    return list(map(float, turned))

"""pymatgen's CIF parser, with the symmetry search bounded and done in whole arrays.

pymatgen compares every image of every listed site with all sites before, one by one, and builds
the operations of a named group anew each time: a second and more for a text of 500 characters.
Here the operations come from the package's tables where they know the symbol, and images are
compared in arrays; the crystal is the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import SymmOp
from pymatgen.io.cif import CifParser, str2float

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.bounds import num_sites_fault, number_fault, text_fault
from crystalicl_jobflow.crystal.group_settings import (
    DENOMINATOR,
    GroupSetting,
    setting_of_hall,
    settings_of_symbol,
)
from crystalicl_jobflow.schemas.reasons import FailureReason
from crystalicl_jobflow.text.errors import TextError
from crystalicl_jobflow.thresholds import (
    MAX_IMAGES,
    MAX_NUMBER_CHARACTERS,
    MAX_OPERATIONS,
    MAX_SITES,
)

_OPERATION_TAGS = ("_symmetry_equiv_pos_as_xyz", "_space_group_symop_operation_xyz")
_SYMBOL_TAGS = ("_symmetry_space_group_name_H-M", "_space_group_name_H-M_alt")
_HALL_TAGS = ("_space_group_name_Hall", "_symmetry_space_group_name_Hall")
_NUMBER_TAGS = ("_space_group_IT_number", "_symmetry_Int_Tables_number")
_COORDINATE_TAGS = tuple(f"_atom_site_fract_{axis}" for axis in "xyz")

#: Maximum number of characters of a symmetry operation, including its number in the list.
_MAX_OPERATION = 100
_LONG_NUMBER = re.compile(rf"\d[\d.]{{{MAX_NUMBER_CHARACTERS},}}")


class BoundedCifParser(CifParser):
    """Read one crystal as pymatgen does, in bounded time.

    Attributes
    ----------
    operations
        Of the crystal that was read, each once; empty before.
    """

    operations: Sequence[SymmOp] = ()
    _site_tolerance: float

    def get_symops(self, data: Any) -> list[SymmOp]:
        """Return the identity alone, see `operations`; equivalent sites get one coordinate.

        pymatgen compares sites by the operations that this returns. Listed operations are
        taken as they are, else those of the first symbol, Hall symbol or number with one
        meaning, else what pymatgen finds.

        Raises
        ------
        TextError
            Where sites and operations are too many.
        """
        operations = _listed(data) or _of_known_group(data) or super().get_symops(data)
        self.operations = _distinct(operations)
        _check_number(data, len(self.operations))
        self._merge_equivalent_sites(data)
        return [SymmOp.from_rotation_and_translation()]

    def get_magsymops(self, data: Any) -> Any:
        """Return the magnetic operations that pymatgen finds, if they are not too many."""
        self.operations = super().get_magsymops(data)
        _check_number(data, len(self.operations))
        return self.operations

    def _merge_equivalent_sites(self, data: Any) -> None:
        """Write the coordinates of an earlier site in place of those of its images."""
        columns = [data.data.get(tag) for tag in _COORDINATE_TAGS]
        if not all(isinstance(column, list) for column in columns):
            return
        rows = list(zip(*columns, strict=False))
        points: NDArray[np.float64] = np.empty((len(rows), 3))
        places: list[int] = []
        for place, row in enumerate(rows):
            try:
                point = np.array([str2float(text) for text in row])
            except ValueError:  # pymatgen will say what is wrong with it
                continue
            images = self._images(point)
            near = _coincide(images[:, None], points[None, : len(places)], self._site_tolerance)
            matches = np.flatnonzero(near.any(axis=1))
            if len(matches):
                first = places[int(np.flatnonzero(near[matches[0]])[0])]
                for column in columns:
                    column[place] = column[first]
            else:
                points[len(places)] = point
                places.append(place)

    def _images(self, point: NDArray[np.float64]) -> NDArray[np.float64]:
        rotations = np.array([operation.rotation_matrix for operation in self.operations])
        shifts = np.array([operation.translation_vector for operation in self.operations])
        images: NDArray[np.float64] = (rotations @ point + shifts) % 1.0
        return images

    def _unique_coords(
        self,
        coords: list[tuple[float, float, float]],
        magmoms: Any = None,
        lattice: Any = None,
        labels: dict[tuple[float, float, float], str] | None = None,
    ) -> tuple[list[Any], list[Any], list[str]]:
        """Return all images of the sites, each once, their moments and labels."""
        if magmoms:
            return super()._unique_coords(coords, magmoms, lattice, labels)
        found: NDArray[np.float64] = np.empty((MAX_SITES, 3))
        count = 0
        names: list[str] = []
        for coord in coords:
            images = self._images(np.array(coord))
            new = ~_coincide(images[:, None], found[None, :count], self._site_tolerance).any(axis=1)
            for image in _first_of_each(images[new], self._site_tolerance):
                if count == MAX_SITES:
                    raise _too_many(f"more than {MAX_SITES} atoms")
                found[count] = image
                count += 1
                names.append((labels or {}).get(coord, "no_label"))
        return list(found[:count]), [0.0] * count, names


def numbers_fault(cif: str) -> str | None:
    """Describe the number, symmetry operation or size of a CIF that is out of bounds.

    pymatgen's time is cubic in the digits of a symmetry operation, and it sets no limit.

    Parameters
    ----------
    cif
        A whole file or a data block.
    """
    fault = text_fault(cif)
    if fault is not None:
        return fault
    number = _LONG_NUMBER.search(cif)
    if number is not None:
        return number_fault(number[0])
    operations = _operation_lines(cif)
    if len(operations) > MAX_OPERATIONS:
        return f"{len(operations)} symmetry operations are more than {MAX_OPERATIONS}"
    longest = max(operations, key=len, default="")
    if len(longest) > _MAX_OPERATION:
        return f"the symmetry operation {longest[:40]!r}… has {len(longest)} characters"
    return None


def _operation_lines(cif: str) -> list[str]:
    """Return the lines of the loops that list symmetry operations."""
    found: list[str] = []
    reading = in_header = False
    for line in map(str.strip, cif.splitlines()):
        if line.startswith("loop_"):
            reading, in_header = False, True
        elif line.startswith("_"):
            if not in_header:
                reading = False
            reading |= line.startswith(_OPERATION_TAGS)
            if reading and not in_header:  # a single operation without a loop
                found.append(line.partition(" ")[2])
        elif line:
            in_header = False
            if reading:
                found.append(line)
    return found


def _listed(data: Any) -> list[SymmOp]:
    """Return the operations that a block lists; none where it lists none that can be read."""
    for tag in _OPERATION_TAGS:
        for name in (tag, tag + "_"):
            given = data.data.get(name)
            if given:
                try:
                    texts = [given] if isinstance(given, str) else given
                    return [SymmOp.from_xyz_str(text) for text in texts]
                except ValueError:
                    continue
    return []


def _of_known_group(data: Any) -> tuple[SymmOp, ...]:
    """Return the operations of the group that a block names, where the tables know it."""
    for tag in _SYMBOL_TAGS:
        symbol = data.data.get(tag)
        known = _of_symbol(symbol) if isinstance(symbol, str) and symbol.strip() else ()
        if known is None or known:
            return known or ()
    for tag in _HALL_TAGS:
        hall = data.data.get(tag)
        setting = setting_of_hall(hall) if isinstance(hall, str) else None
        if setting is not None:
            return _of_setting(setting)
    for tag in _NUMBER_TAGS:
        text = data.data.get(tag)
        if isinstance(text, str) and text.isdecimal() and 1 <= int(text) <= 230:
            return _of_number(int(text))
    return ()


@cache
def _of_number(number: int) -> tuple[SymmOp, ...]:
    operations = wyckoff.operations(number)
    return _as_operations(operations.rotations, operations.translations)


def _of_symbol(symbol: str) -> tuple[SymmOp, ...] | None:
    """Return a symbol's operations: none of an unknown one, None if it has several meanings."""
    try:
        return _of_number(wyckoff.number(symbol))
    except ValueError:  # another setting, or not a group
        settings = settings_of_symbol(symbol)
    if len(settings) > 1:
        return None
    return _of_setting(settings[0]) if settings else ()


def _of_setting(setting: GroupSetting) -> tuple[SymmOp, ...]:
    return _as_operations(setting.rotations, setting.translations / DENOMINATOR)


def _as_operations(rotations: NDArray[Any], translations: NDArray[Any]) -> tuple[SymmOp, ...]:
    return tuple(
        SymmOp.from_rotation_and_translation(rotation, translation)
        for rotation, translation in zip(rotations, translations, strict=True)
    )


def _distinct(operations: Sequence[SymmOp]) -> list[SymmOp]:
    """Return operations without those that differ from an earlier one by a lattice vector."""
    rows = np.array([operation.affine_matrix[:3].ravel() for operation in operations])
    rows[:, 3::4] %= 1.0
    _, first = np.unique(np.round(rows, 6), axis=0, return_index=True)
    return [operations[place] for place in sorted(first.tolist())]


def _check_number(data: Any, operations: int) -> None:
    labels = data.data.get("_atom_site_label")
    sites = len(labels) if isinstance(labels, list) else 1
    if sites * operations > MAX_IMAGES:
        raise _too_many(f"{sites} sites and {operations} symmetry operations")


def _too_many(what: str) -> TextError:
    fault = num_sites_fault(MAX_SITES + 1) or ""
    return TextError(FailureReason.TOO_MANY_ATOMS, f"{what}: {fault.partition(': ')[2]}")


def _coincide(
    first: NDArray[np.float64], second: NDArray[np.float64], tolerance: float
) -> NDArray[np.bool_]:
    """Compare points, shapes (…, 3), up to lattice vectors."""
    gaps = first - second
    gaps -= np.round(gaps)
    near: NDArray[np.bool_] = np.all(np.abs(gaps) < tolerance, axis=-1)
    return near


def _first_of_each(points: NDArray[np.float64], tolerance: float) -> Iterator[NDArray[np.float64]]:
    """Yield points, shape (n, 3), without those that coincide with one that was yielded."""
    left = np.ones(len(points), dtype=bool)
    for place, point in enumerate(points):
        if left[place]:
            yield point
            left &= ~_coincide(points, point, tolerance)

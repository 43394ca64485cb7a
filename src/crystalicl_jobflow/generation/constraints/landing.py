"""The Wyckoff position of every point with two-decimal coordinates."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources

import numpy as np
from numpy.typing import NDArray

NOWHERE = 255
"""Entry of a point that is not on a Wyckoff position after snapping."""


@dataclass(frozen=True, eq=False)
class Landing:
    """Wyckoff positions on which the points of one group lie.

    A set of positions is a bit mask: bit i stands for position i of
    `crystal.wyckoff.wyckoff_positions`.

    Attributes
    ----------
    rows
        Distinct rows along z: index of the position (255 for none), shape (rows, 100).
    row_ids
        Which row belongs to x and y in hundredths, shape (100, 100).
    row_masks
        Positions found in each row, shape (rows,), uint32.
    xy_masks
        Positions that can still be reached from x and y, shape (100, 100), uint32.
    x_masks
        Positions that can still be reached from x, shape (100,), uint32.
    """

    rows: NDArray[np.uint8]
    row_ids: NDArray[np.uint16]
    row_masks: NDArray[np.uint32]
    xy_masks: NDArray[np.uint32]
    x_masks: NDArray[np.uint32]

    def index(self, x: int, y: int, z: int) -> int:
        """Return the index of the position of a point in hundredths, 255 for none."""
        return int(self.rows[self.row_ids[x, y], z])

    def x_allowed(self, positions: int) -> NDArray[np.bool_]:
        """Return the x, in hundredths, from which one of the positions can be reached."""
        return np.asarray(self.x_masks & np.uint32(positions) != 0)

    def y_allowed(self, x: int, positions: int) -> NDArray[np.bool_]:
        """Return the y, in hundredths, from which one of the positions can be reached."""
        return np.asarray(self.xy_masks[x] & np.uint32(positions) != 0)

    def z_allowed(self, x: int, y: int, positions: int) -> NDArray[np.bool_]:
        """Return the z, in hundredths, with which the point lands on one of the positions."""
        return np.asarray(_members(positions)[self.rows[self.row_ids[x, y]]])

    def yz_allowed(self, x: int, positions: int) -> NDArray[np.bool_]:
        """Return the y and z with which the point lands on one of the positions."""
        return np.asarray(_members(positions)[self.rows[self.row_ids[x]]])


@cache
def _members(positions: int) -> NDArray[np.bool_]:
    """Return the bit mask as a table over indices, shape (256,)."""
    table = np.zeros(256, dtype=bool)
    for bit in range(positions.bit_length()):
        table[bit] = bool(positions >> bit & 1)
    return table


@cache
def _tables() -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.uint16]]:
    path = resources.files("crystalicl_jobflow.generation.constraints") / "data" / "landing.npz"
    with path.open("rb") as stream, np.load(stream) as tables:
        return tables["rows"], tables["ends"], tables["row_ids"]


@cache
def landing(number: int) -> Landing:
    """Return the table of a space group.

    Parameters
    ----------
    number
        Space-group number.
    """
    all_rows, ends, all_ids = _tables()
    rows = all_rows[ends[number - 1] : ends[number]]
    row_ids = all_ids[number - 1]
    bits = np.zeros(256, dtype=np.uint32)
    bits[:32] = np.uint32(1) << np.arange(32, dtype=np.uint32)
    row_masks = np.bitwise_or.reduce(bits[rows], axis=1)
    xy_masks = row_masks[row_ids]
    return Landing(rows, row_ids, row_masks, xy_masks, np.bitwise_or.reduce(xy_masks, axis=1))

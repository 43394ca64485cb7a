"""Write ``landing.npz``: on which Wyckoff position every two-decimal point lands.

Run as ``python -m crystalicl_jobflow.generation.constraints.data.build_tables``; needed
only when `text.spacegroups.snap`, its tolerance or the setting of the texts changes. A
test compares random entries with `snap` itself.

A text's coordinates are hundredths, so a group has 10⁶ points. Nearly all of them are recognised
by exact integer arithmetic as general positions (no operation moves them by less than the
tolerance); the rest is passed to `snap`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from crystalicl_jobflow.crystal import wyckoff

#: Points per axis: coordinates have two decimals.
N = 100
#: Common denominator of hundredths and of the operations' translations (twenty-fourths).
UNIT = 600
#: Entry of a point whose snapped place is on no Wyckoff position.
NOWHERE = 255
_CHUNK = 4096


def stirred_points(number: int) -> NDArray[np.bool_]:
    """Return which points some operation (not the identity) moves by less than the tolerance.

    Parameters
    ----------
    number
        Space-group number.

    Returns
    -------
    numpy.ndarray
        Shape (100, 100, 100), over x, y and z in hundredths.
    """
    group = wyckoff.operations(number)
    grid = np.arange(N, dtype=np.int64) * (UNIT // N)
    axes = (grid[:, None, None], grid[None, :, None], grid[None, None, :])
    tolerance = wyckoff.SNAP_TOLERANCE * UNIT
    found = np.zeros((N, N, N), dtype=bool)
    for rotation, translation in zip(group.rotations, group.translations, strict=True):
        moved = rotation - np.eye(3, dtype=np.int64)
        shift = np.rint(translation * UNIT).astype(np.int64)
        if not moved.any() and not (shift % UNIT).any():
            continue
        near = np.ones((1, 1, 1), dtype=bool)
        for row, constant in zip(moved, shift, strict=True):
            # broadcast over the axes that the row involves only
            terms = [k * axis for k, axis in zip(row, axes, strict=True) if k]
            gap = (sum(terms, start=np.full((1, 1, 1), constant)) + UNIT // 2) % UNIT - UNIT // 2
            near = near & (np.abs(gap) < tolerance)
            if not near.any():
                break
        else:
            found |= near
    return found


def landing_table(number: int) -> NDArray[np.uint8]:
    """Return the index of the Wyckoff position on which each point lands.

    Parameters
    ----------
    number
        Space-group number.

    Returns
    -------
    numpy.ndarray
        Indices into `text.spacegroups.wyckoff_positions`, or 255 for none, shape
        (100, 100, 100), over x, y and z in hundredths.
    """
    general = len(wyckoff.wyckoff_positions(number)) - 1
    table = np.full((N, N, N), general, dtype=np.uint8)
    points = np.argwhere(stirred_points(number))
    snapped = np.empty((len(points), 3))
    multiplicity = np.empty(len(points), dtype=np.int64)
    for start in range(0, len(points), _CHUNK):
        part = slice(start, start + _CHUNK)
        result = wyckoff.snap(points[part] / N, number)
        snapped[part] = result.frac_coords
        multiplicity[part] = result.multiplicity
    # many points land on the same place: classify each place once
    places = np.rint((snapped % 1.0) * 1e6).astype(np.int64) % 1_000_000
    key = ((places[:, 0] * 1_000_000 + places[:, 1]) * 1_000_000 + places[:, 2]) * 256
    _, first, inverse = np.unique(key + multiplicity, return_index=True, return_inverse=True)
    letters = np.empty(len(first), dtype=np.int64)
    for start in range(0, len(first), _CHUNK):
        part = slice(start, start + _CHUNK)
        chosen = first[part]
        letters[part] = wyckoff.wyckoff_index(snapped[chosen], number, multiplicity[chosen])
    letters[letters < 0] = NOWHERE
    table[tuple(points.T)] = letters[inverse].astype(np.uint8)
    return table


def main() -> None:
    """Build the tables of all groups and write them, as distinct rows along z."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("landing.npz"))
    arguments = parser.parse_args()
    rows, ends, row_ids = [], [0], []
    for number in range(1, 231):
        table = landing_table(number)
        distinct, index = np.unique(table.reshape(N * N, N), axis=0, return_inverse=True)
        rows.append(distinct)
        ends.append(ends[-1] + len(distinct))
        row_ids.append(index.reshape(N, N).astype(np.uint16))
        print(f"group {number}: {len(distinct)} distinct rows", flush=True)
    np.savez_compressed(
        arguments.out,
        rows=np.concatenate(rows),
        ends=np.array(ends, dtype=np.int64),
        row_ids=np.stack(row_ids),
    )
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()

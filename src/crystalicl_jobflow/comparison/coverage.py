"""Coverage: how much of a reference set is generated, and how much lies near it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystalicl_jobflow.comparison.fingerprint_sets import CrystalFingerprints
from crystalicl_jobflow.schemas import Rate
from crystalicl_jobflow.thresholds import COVERAGE_CUTOFFS

MAX_CHUNK_BYTES = 128 * 2**20
"""Largest block of distances in memory, in bytes; there are two of them and a few masks."""

_CONSTANT = 1e-12  # relative: the spread of equal numbers is rounding, not 0


@dataclass(frozen=True)
class StandardScaler:
    """Shift and scale by mean and standard deviation, as CDVAE's ``StandardScaler`` does.

    Parameters
    ----------
    means, stds
        Shape (features,).
    """

    means: NDArray[np.float64]
    stds: NDArray[np.float64]

    @classmethod
    def fit(cls, values: ArrayLike) -> StandardScaler:
        """Take means and population standard deviations, leaving out NaN.

        A feature without spread is not scaled (standard deviation 1), nor is one without any
        value (mean 0).

        Parameters
        ----------
        values
            Shape (n, features).
        """
        rows = np.asarray(values, dtype=np.float64)
        known = ~np.isnan(rows)
        count = np.maximum(known.sum(axis=0), 1)
        means = np.where(known, rows, 0.0).sum(axis=0) / count
        stds = np.sqrt(np.where(known, (rows - means) ** 2, 0.0).sum(axis=0) / count)
        stds = np.where(stds <= _CONSTANT * np.maximum(np.abs(means), 1.0), 1.0, stds)
        return cls(means, stds)

    def transform(self, values: ArrayLike) -> NDArray[np.float64]:
        """Return (values - means) / stds with 0 for NaN, shape (n, features)."""
        rows = (np.asarray(values, dtype=np.float64) - self.means) / self.stds
        return np.where(np.isnan(rows), 0.0, rows)


@dataclass(frozen=True)
class Coverage:
    """How two sets of crystals cover each other.

    Parameters
    ----------
    recall
        Reference crystals covered by a generated one / reference crystals.
    precision
        Generated crystals that cover a reference one / generated.
    recall_separate, precision_separate
        The same with each cut-off applied to the *nearest* crystal by that fingerprint alone,
        which may be two different crystals: what CDVAE's published code computes, and so
        most published figures. Never smaller than the above.
    mean_distances
        Means over the crystals with fingerprints of the distance to the nearest crystal of
        the other set: ``structure_recall``, ``structure_precision``, ``composition_recall``,
        ``composition_precision`` (CDVAE's amsd and amcd); None where a set is empty.
    covers
        Shape (generated,): for each generated crystal the structurally nearest reference
        crystal that it covers, -1 for none.
    covered_by
        Shape (reference,): likewise for each reference crystal.
    nearest
        Shape (generated,): the structurally nearest reference crystal, covered or not; -1
        without fingerprints.
    structure_distance, composition_distance
        Shape (generated,): distance to the nearest reference crystal by either fingerprint
        alone, NaN without fingerprints.
    structure_cutoff, composition_cutoff
        The cut-offs, inclusive.
    """

    recall: Rate
    precision: Rate
    recall_separate: Rate
    precision_separate: Rate
    mean_distances: dict[str, float | None]
    covers: NDArray[np.int64]
    covered_by: NDArray[np.int64]
    nearest: NDArray[np.int64]
    structure_distance: NDArray[np.float64]
    composition_distance: NDArray[np.float64]
    structure_cutoff: float
    composition_cutoff: float


def coverage_cutoffs(dataset: str) -> tuple[float, float]:
    """Return the structural and the composition cut-off of a dataset.

    Parameters
    ----------
    dataset
        ``mp_20``, ``carbon_24`` or ``perov_5``; ``MP-20`` will do.

    Raises
    ------
    ValueError
        If there are none for it.
    """
    try:
        return COVERAGE_CUTOFFS[dataset.lower().replace("-", "_")]
    except KeyError:
        known = ", ".join(COVERAGE_CUTOFFS)
        raise ValueError(f"no coverage cut-offs for dataset {dataset!r}; known: {known}") from None


def compare_coverage(
    generated: CrystalFingerprints,
    reference: CrystalFingerprints,
    *,
    dataset: str = "mp_20",
    cutoffs: tuple[float, float] | None = None,
    max_chunk_bytes: int = MAX_CHUNK_BYTES,
) -> Coverage:
    """Compare two sets of crystals by their fingerprints.

    A generated crystal covers a reference one when the Euclidean distances of both their
    fingerprints are within the cut-offs, the composition's after standardisation on the
    reference set. Distances are computed in blocks, so that no array grows with the product
    of the sets.

    Parameters
    ----------
    generated, reference
        Fingerprints of all crystals, see
        `crystal_fingerprints`. Those without fingerprints cover nothing and are covered by
        nothing, and stay in the denominators.
    dataset
        Whose cut-offs to take, see
        :data:`~crystalicl_jobflow.thresholds.COVERAGE_CUTOFFS`.
    cutoffs
        Structural and composition cut-off, instead of a dataset's.
    max_chunk_bytes
        Size of a block of distances.

    Raises
    ------
    ValueError
        If there are no cut-offs for the dataset.

    Notes
    -----
    Source: CDVAE (Xie et al., ICLR 2022), COV-R and COV-P; Ganea et al. (2021).
    """
    structure_cutoff, composition_cutoff = cutoffs or coverage_cutoffs(dataset)
    rows, columns = np.flatnonzero(generated.ok), np.flatnonzero(reference.ok)
    scaler = StandardScaler.fit(_with_composition(reference))
    found = _nearest(
        generated.structure[rows],
        reference.structure[columns],
        scaler.transform(generated.composition[rows]),
        scaler.transform(reference.composition[columns]),
        cutoffs=(structure_cutoff, composition_cutoff),
        max_chunk_bytes=max_chunk_bytes,
    )
    covers = _spread(len(generated), rows, columns, found.pair_of_row)
    covered_by = _spread(len(reference), columns, rows, found.pair_of_column)
    separate = [
        int(np.sum((s <= structure_cutoff) & (c <= composition_cutoff)))
        for s, c in (
            (found.structure_column, found.composition_column),
            (found.structure_row, found.composition_row),
        )
    ]
    structure_distance = np.full(len(generated), np.nan)
    composition_distance = np.full(len(generated), np.nan)
    if len(columns):
        structure_distance[rows] = found.structure_row
        composition_distance[rows] = found.composition_row
    return Coverage(
        recall=Rate.from_counts(int(np.sum(covered_by >= 0)), len(reference)),
        precision=Rate.from_counts(int(np.sum(covers >= 0)), len(generated)),
        recall_separate=Rate.from_counts(separate[0], len(reference)),
        precision_separate=Rate.from_counts(separate[1], len(generated)),
        mean_distances={
            "structure_recall": _mean(found.structure_column),
            "structure_precision": _mean(found.structure_row),
            "composition_recall": _mean(found.composition_column),
            "composition_precision": _mean(found.composition_row),
        },
        covers=covers,
        covered_by=covered_by,
        nearest=_spread(len(generated), rows, columns, found.nearest_of_row),
        structure_distance=structure_distance,
        composition_distance=composition_distance,
        structure_cutoff=structure_cutoff,
        composition_cutoff=composition_cutoff,
    )


@dataclass
class _Nearest:
    """Nearest distances by row and by column, and the nearest pair within both cut-offs."""

    structure_row: NDArray[np.float64]
    composition_row: NDArray[np.float64]
    nearest_of_row: NDArray[np.int64]
    pair_of_row: NDArray[np.int64]
    structure_column: NDArray[np.float64]
    composition_column: NDArray[np.float64]
    pair_of_column: NDArray[np.int64]


def _nearest(
    structure_rows: NDArray[np.float64],  # (rows, 61)
    structure_columns: NDArray[np.float64],  # (columns, 61)
    composition_rows: NDArray[np.float64],  # (rows, 132)
    composition_columns: NDArray[np.float64],  # (columns, 132)
    *,
    cutoffs: tuple[float, float],
    max_chunk_bytes: int,
) -> _Nearest:
    from scipy.spatial.distance import cdist

    rows, columns = len(structure_rows), len(structure_columns)
    found = _Nearest(
        np.full(rows, np.inf),
        np.full(rows, np.inf),
        np.full(rows, -1, dtype=np.int64),
        np.full(rows, -1, dtype=np.int64),
        np.full(columns, np.inf),
        np.full(columns, np.inf),
        np.full(columns, -1, dtype=np.int64),
    )
    if rows == 0 or columns == 0:
        return found
    best_of_column = np.full(columns, np.inf)
    size = max(1, max_chunk_bytes // (8 * columns))
    for start in range(0, rows, size):
        part = slice(start, start + size)
        by_structure = cdist(structure_rows[part], structure_columns)  # (size, columns)
        by_composition = cdist(composition_rows[part], composition_columns)
        nearest = by_structure.argmin(axis=1)
        found.nearest_of_row[part] = nearest
        found.structure_row[part] = by_structure[np.arange(len(nearest)), nearest]
        found.composition_row[part] = by_composition.min(axis=1)
        np.minimum(found.structure_column, by_structure.min(axis=0), out=found.structure_column)
        np.minimum(
            found.composition_column, by_composition.min(axis=0), out=found.composition_column
        )
        outside = (by_structure > cutoffs[0]) | (by_composition > cutoffs[1])
        by_structure[outside] = np.inf  # what is left is the distance of the pairs that count
        pair = by_structure.argmin(axis=1)
        hit = np.isfinite(by_structure[np.arange(len(pair)), pair])
        found.pair_of_row[part] = np.where(hit, pair, -1)
        pair = by_structure.argmin(axis=0)
        best = by_structure[pair, np.arange(columns)]
        better = best < best_of_column
        found.pair_of_column[better] = start + pair[better]
        best_of_column = np.minimum(best_of_column, best)
    return found


def _spread(
    length: int, rows: NDArray[np.int64], names: NDArray[np.int64], pairs: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return pairs of the crystals with fingerprints as indices into the whole sets."""
    whole = np.full(length, -1, dtype=np.int64)
    hit = pairs >= 0
    whole[rows[hit]] = names[pairs[hit]]
    return whole


def _with_composition(prints: CrystalFingerprints) -> NDArray[np.float64]:
    return prints.composition[~np.isnan(prints.composition).all(axis=1)]


def _mean(distances: NDArray[np.float64]) -> float | None:
    finite = distances[np.isfinite(distances)]
    return float(finite.mean()) if len(finite) else None

"""Coverage against hand-worked cases, a loop over all pairs, and what must always hold."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Structure
from scipy.spatial.distance import cdist

from crystalicl_jobflow.comparison.coverage import (
    StandardScaler,
    compare_coverage,
    coverage_cutoffs,
)
from crystalicl_jobflow.comparison.fingerprint_sets import (
    CrystalFingerprints,
    composition_fingerprint,
    crystal_fingerprints,
)
from crystalicl_jobflow.schemas import Rate


def prints(
    structure: list[float] | np.ndarray,
    composition: list[float] | np.ndarray | None = None,
    *,
    failed: tuple[int, ...] = (),
) -> CrystalFingerprints:
    """Return fingerprints of one number each, some of them failed."""
    given = np.zeros(len(structure)) if composition is None else composition
    first, second = (np.array(values, dtype=float) for values in (structure, given))
    if first.ndim == 1:
        first = first[:, None]
    if second.ndim == 1:
        second = second[:, None]
    first[list(failed)] = np.nan
    errors = tuple("failed" if i in failed else None for i in range(len(first)))
    return CrystalFingerprints(first, second, errors)


@st.composite
def pairs_of_sets(draw: st.DrawFn) -> tuple[CrystalFingerprints, CrystalFingerprints]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))

    def one() -> CrystalFingerprints:
        count = draw(st.integers(1, 12))
        failed = tuple(i for i in range(count) if draw(st.integers(0, 5)) == 0)
        return prints(rng.random((count, 3)), rng.random((count, 4)), failed=failed)

    return one(), one()


# --- by hand


def test_recall_and_precision_by_hand() -> None:
    reference = prints([0.0, 1.0, 2.0, 3.0])
    generated = prints([0.3, 0.2, 1.5, 9.0])
    found = compare_coverage(generated, reference, cutoffs=(0.5, 1.0))
    # 0.3 and 0.2 cover 0; 1.5 covers 1 and 2 (inclusive); 9 covers nothing
    assert found.recall == Rate(rate=3 / 4, count=3, of=4)
    assert found.precision == Rate(rate=3 / 4, count=3, of=4)
    assert found.covers.tolist() == [0, 0, 1, -1]
    assert found.covered_by.tolist() == [1, 2, 2, -1]
    assert found.nearest.tolist() == [0, 0, 1, 3]
    np.testing.assert_allclose(found.structure_distance, [0.3, 0.2, 0.5, 6.0])
    assert found.mean_distances["structure_recall"] == pytest.approx((0.2 + 0.5 + 0.5 + 1.5) / 4)
    assert found.mean_distances["structure_precision"] == pytest.approx(7.0 / 4)
    assert found.mean_distances["composition_recall"] == 0


def test_both_cut_offs_are_asked_of_the_same_pair() -> None:
    """CDVAE's published code asks each of the nearest crystal of its own kind."""
    reference = prints([0.0, 5.0], [0.0, 10.0])  # compositions standardised to -1 and 1
    generated = prints([0.0], [10.0])  # the structure of one, the composition of the other
    found = compare_coverage(generated, reference, cutoffs=(0.4, 1.0))
    assert found.precision == Rate(rate=0.0, count=0, of=1)
    assert found.recall == Rate(rate=0.0, count=0, of=2)
    assert found.precision_separate == Rate(rate=1.0, count=1, of=1)
    assert found.recall_separate.count == 0
    assert found.covers.tolist() == [-1]


def test_failures_stay_in_both_denominators() -> None:
    reference = prints([0.0, 1.0, 7.0], failed=(2,))
    generated = prints([0.0, 1.0, 0.0, 0.0], failed=(2, 3))
    found = compare_coverage(generated, reference, cutoffs=(0.1, 1.0))
    assert found.recall == Rate(rate=2 / 3, count=2, of=3)
    assert found.precision == Rate(rate=2 / 4, count=2, of=4)
    assert found.covers.tolist() == [0, 1, -1, -1]
    assert found.nearest.tolist() == [0, 1, -1, -1]
    assert found.covered_by.tolist() == [0, 1, -1]
    assert np.isnan(found.structure_distance[2:]).all()


def test_nothing_generated_covers_nothing() -> None:
    reference = prints([0.0, 1.0])
    none = prints([0.0], failed=(0,))
    found = compare_coverage(none, reference)
    assert (found.recall.count, found.recall.of) == (0, 2)
    assert (found.precision.count, found.precision.of) == (0, 1)
    assert found.precision_separate.count == found.recall_separate.count == 0
    assert found.mean_distances["structure_precision"] is None
    empty = prints([])
    assert compare_coverage(empty, reference).precision.rate is None
    assert compare_coverage(reference, empty).recall.rate is None
    assert np.isnan(compare_coverage(reference, empty).structure_distance).all()


def test_cut_offs_are_those_of_the_data_set() -> None:
    assert coverage_cutoffs("mp_20") == coverage_cutoffs("MP-20") == (0.4, 10.0)
    assert coverage_cutoffs("perov_5") == coverage_cutoffs("carbon_24") == (0.2, 4.0)
    apart = prints([0.3]), prints([0.0])
    assert compare_coverage(*apart, dataset="mp_20").recall.count == 1
    assert compare_coverage(*apart, dataset="carbon_24").recall.count == 0
    with pytest.raises(ValueError, match="no coverage cut-offs for dataset 'mpts_52'"):
        compare_coverage(*apart, dataset="mpts_52")


# --- what must always hold


@given(sets=pairs_of_sets(), cutoffs=st.tuples(st.floats(0, 1.5), st.floats(0, 4)))
def test_blocks_give_what_a_loop_over_all_pairs_gives(
    sets: tuple[CrystalFingerprints, CrystalFingerprints], cutoffs: tuple[float, float]
) -> None:
    generated, reference = sets
    means = np.nanmean(reference.composition, axis=0)
    stds = np.nanstd(reference.composition, axis=0)
    stds = np.where(stds == 0, 1, stds)
    covering, covered, near = set(), set(), {}
    for i in np.flatnonzero(generated.ok):
        for j in np.flatnonzero(reference.ok):
            apart = float(np.linalg.norm(generated.structure[i] - reference.structure[j]))
            scaled = (generated.composition[i] - reference.composition[j]) / stds
            near.setdefault(i, []).append(apart)
            if apart <= cutoffs[0] and np.linalg.norm(scaled) <= cutoffs[1]:
                covering.add(int(i))
                covered.add(int(j))
    assert np.isfinite(means).all()
    for size in (8, 8 * 5, 2**20):  # one row, a few rows, all rows at once
        found = compare_coverage(generated, reference, cutoffs=cutoffs, max_chunk_bytes=size)
        assert set(np.flatnonzero(found.covers >= 0)) == covering
        assert set(np.flatnonzero(found.covered_by >= 0)) == covered
        assert found.precision == Rate.from_counts(len(covering), len(generated))
        assert found.recall == Rate.from_counts(len(covered), len(reference))
        for i, distances in near.items():
            assert found.structure_distance[i] == pytest.approx(min(distances))
        for i, j in enumerate(found.covers):
            if j >= 0:
                apart = np.linalg.norm(generated.structure[i] - reference.structure[j])
                assert apart <= cutoffs[0]


@given(sets=pairs_of_sets(), cutoffs=st.tuples(st.floats(0, 1.5), st.floats(0, 4)))
def test_separate_minima_are_those_of_scipy_and_never_smaller(
    sets: tuple[CrystalFingerprints, CrystalFingerprints], cutoffs: tuple[float, float]
) -> None:
    generated, reference = sets
    found = compare_coverage(generated, reference, cutoffs=cutoffs)
    assert found.recall_separate.count >= found.recall.count
    assert found.precision_separate.count >= found.precision.count
    if not (generated.ok.any() and reference.ok.any()):
        return
    scaler = StandardScaler.fit(reference.composition)
    by_structure = cdist(generated.structure[generated.ok], reference.structure[reference.ok])
    by_composition = cdist(
        scaler.transform(generated.composition[generated.ok]),
        scaler.transform(reference.composition[reference.ok]),
    )
    for axis, rate in ((0, found.recall_separate), (1, found.precision_separate)):
        near = by_structure.min(axis=axis) <= cutoffs[0]
        assert rate.count == int(np.sum(near & (by_composition.min(axis=axis) <= cutoffs[1])))
    np.testing.assert_allclose(found.composition_distance[generated.ok], by_composition.min(axis=1))


@given(sets=pairs_of_sets(), seed=st.integers(0, 2**32))
def test_order_does_not_matter(
    sets: tuple[CrystalFingerprints, CrystalFingerprints], seed: int
) -> None:
    generated, reference = sets
    rng = np.random.default_rng(seed)
    shuffled = [crystals.take(rng.permutation(len(crystals))) for crystals in sets]
    one = compare_coverage(generated, reference, cutoffs=(0.4, 1.0))
    other = compare_coverage(*shuffled, cutoffs=(0.4, 1.0))
    assert (one.recall, one.precision) == (other.recall, other.precision)
    assert one.recall_separate == other.recall_separate
    for name, value in one.mean_distances.items():
        assert other.mean_distances[name] == (None if value is None else pytest.approx(value))


def test_a_real_set_covers_itself_with_distance_zero(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    found = crystal_fingerprints([structure for structure, _, _ in mp_20(8)])
    assert found.ok.all()
    itself = compare_coverage(found, found)
    assert itself.recall == itself.precision == Rate(rate=1.0, count=8, of=8)
    assert itself.recall_separate == itself.recall
    assert set(itself.mean_distances.values()) == {0.0}
    assert itself.covers.tolist() == list(range(8))
    # one half recalls less than the whole; all of it is near a reference
    half = compare_coverage(found.take(range(4)), found)
    assert 4 <= half.recall.count < 8
    assert half.precision == Rate(rate=1.0, count=4, of=4)


def test_memory_does_not_grow_with_the_product_of_the_sets() -> None:
    rng = np.random.default_rng(0)
    generated = prints(rng.random((3000, 5)), rng.random((3000, 5)))
    tracemalloc.start()
    compare_coverage(generated, generated, max_chunk_bytes=2**20)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10 * 2**20  # one whole matrix of distances would be 72 MB


# --- the scaler


@given(st.integers(0, 2**32))
def test_scaler_is_cdvaes(seed: int) -> None:
    """nanmean and nanstd; a feature without spread or value is left at scale 1, NaN → 0."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(7, 5)) * 10.0 ** rng.integers(-3, 4, size=5)
    values[rng.random(values.shape) < 0.2] = np.nan
    values[0] = 1.0
    values[:, 2] = 3.0
    scaler = StandardScaler.fit(values)
    np.testing.assert_allclose(scaler.means, np.nanmean(values, axis=0), atol=1e-12)
    expected = np.nanstd(values, axis=0)
    np.testing.assert_allclose(scaler.stds, np.where(expected == 0, 1, expected), rtol=1e-9)
    scaled = scaler.transform(values)
    assert (scaled[np.isnan(values)] == 0).all()
    nothing = StandardScaler.fit(np.full((2, 1), np.nan))
    assert nothing.transform([[np.nan], [2.0]]).tolist() == [[0.0], [2.0]]


def test_rounding_is_no_spread() -> None:
    """The standard deviation of equal numbers is not exactly 0: 0.1 ten times gives 1e-17."""
    values = np.full((10, 1), 0.1) + np.array([[0.0], [1.4e-17]] * 5)
    scaled = StandardScaler.fit(values).transform([[0.1], [0.4]])
    assert scaled[1, 0] - scaled[0, 0] == pytest.approx(0.3)
    carbon = np.array([composition_fingerprint(Composition("C4"))] * 3)
    scaler = StandardScaler.fit(carbon)
    silicon = scaler.transform(composition_fingerprint(Composition("Si")))
    assert np.abs(silicon).max() < 1e4
    assert not scaler.transform(carbon).any()

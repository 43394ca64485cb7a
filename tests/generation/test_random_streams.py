"""The draw follows the distribution that temperature and nucleus define."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crystalicl_jobflow.generation.random_streams import RowStream, draw

LOGITS = np.log(np.array([[0.5, 0.1, 0.25, 0.15]]))


def chosen(uniform: float, **options: float | int | None) -> int:
    """Return the column drawn from LOGITS for one uniform number."""
    settings = {"temperature": 1.0, "top_p": 1.0, **options}
    return int(draw(LOGITS, np.array([uniform]), **settings).columns[0])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("uniform", "column"),
    [(0.0, 0), (0.499, 0), (0.501, 1), (0.599, 1), (0.601, 2), (0.849, 2), (0.851, 3), (0.9999, 3)],
)
def test_inverse_of_the_cumulative_distribution_in_column_order(
    uniform: float, column: int
) -> None:
    assert chosen(uniform) == column


@pytest.mark.parametrize(
    ("top_p", "nucleus"), [(0.4, {0}), (0.6, {0, 2}), (0.8, {0, 2, 3}), (0.95, {0, 1, 2, 3})]
)
def test_nucleus_ends_with_the_token_that_reaches_top_p(top_p: float, nucleus: set[int]) -> None:
    assert {chosen(u, top_p=top_p) for u in np.linspace(0, 0.999, 200)} == nucleus


def test_nucleus_is_complete_where_its_sum_is_exactly_top_p() -> None:
    logits = np.log(np.array([[0.25, 0.5, 0.25]]))  # halves and quarters are exact in float64
    uniforms = np.linspace(0, 0.999, 50)
    drawn = draw(np.repeat(logits, 50, axis=0), uniforms, temperature=1.0, top_p=0.5)
    assert set(drawn.columns.tolist()) == {1}


def test_top_k_keeps_the_likeliest() -> None:
    assert {chosen(u, top_k=2) for u in np.linspace(0, 0.999, 200)} == {0, 2}
    # the nucleus is taken of what top-k leaves: 0.5 of 0.75 is below 0.7
    assert {chosen(u, top_k=2, top_p=0.7) for u in np.linspace(0, 0.999, 200)} == {0, 2}
    assert {chosen(u, top_k=2, top_p=0.6) for u in np.linspace(0, 0.999, 200)} == {0}


def test_temperature_sharpens_before_the_nucleus_is_taken() -> None:
    # at 0.25 the shares are p^4: 0.93 for the first
    assert {chosen(u, temperature=0.25, top_p=0.9) for u in np.linspace(0, 0.999, 50)} == {0}


def test_a_part_of_the_columns_with_the_mass_of_all() -> None:
    """What cannot be in the nucleus may be left out."""
    mass = np.log(np.exp(LOGITS / 0.9).sum(axis=1))
    for uniform in np.linspace(0, 0.9999, 77):
        options = {"temperature": 0.9, "top_p": 0.7}
        whole = draw(LOGITS, np.array([uniform]), **options).columns[0]
        kept = np.array([0, 2])
        part = draw(LOGITS[:, kept], np.array([uniform]), log_mass=mass, **options).columns[0]
        assert kept[part] == whole


@given(
    logits=arrays(np.float64, (3, 7), elements=st.floats(-8, 8)),
    padding=arrays(np.bool_, (3, 7)),
    uniforms=arrays(np.float64, 3, elements=st.floats(0, 1, exclude_max=True)),
    top_p=st.floats(0.05, 1),
)
def test_padding_is_never_drawn_and_rows_do_not_see_each_other(
    logits: np.ndarray, padding: np.ndarray, uniforms: np.ndarray, top_p: float
) -> None:
    padding[:, 3] = False
    logits = np.where(padding, -np.inf, logits)
    together = draw(logits, uniforms, temperature=0.9, top_p=top_p).columns
    for row in range(3):
        assert not padding[row, together[row]]
        kept = np.flatnonzero(~padding[row])
        alone = draw(logits[[row]][:, kept], uniforms[[row]], temperature=0.9, top_p=top_p)
        assert kept[alone.columns[0]] == together[row]


@given(
    logits=arrays(np.float64, (1, 9), elements=st.floats(-6, 6)),
    noise=arrays(np.float64, (1, 9), elements=st.floats(-1e-6, 1e-6)),
    uniform=st.floats(0, 1, exclude_max=True),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
)
def test_a_draw_without_doubt_does_not_change_under_rounding(
    logits: np.ndarray, noise: np.ndarray, uniform: float, top_p: float
) -> None:
    options = {"temperature": 0.9, "top_p": top_p, "tolerance": 1e-5}
    first = draw(logits, np.array([uniform]), **options)  # type: ignore[arg-type]
    second = draw(logits + noise, np.array([uniform]), **options)  # type: ignore[arg-type]
    if not first.doubtful[0]:
        assert first.columns[0] == second.columns[0]


def test_a_draw_at_an_edge_is_doubtful() -> None:
    def doubt(uniform: float, top_p: float = 1.0) -> bool:
        drawn = draw(LOGITS, np.array([uniform]), temperature=1.0, top_p=top_p, tolerance=1e-5)
        return bool(drawn.doubtful[0])

    assert doubt(0.5 + 1e-7)
    assert not doubt(0.55)
    assert not doubt(0.0)  # nothing lies below the first choice
    assert doubt(0.65, top_p=0.75 + 1e-7)  # is the fourth token in or out?
    assert not doubt(0.2, top_p=0.75 + 1e-7)  # it is the first in either case


def test_streams_depend_on_seed_key_sample_and_attempt_only() -> None:
    def numbers(**changes: int | str) -> list[float]:
        names = {"seed": 1, "key": "", "request_index": 2, "sample_index": 3, "attempt": 0}
        values = {**names, **changes}
        stream = RowStream(values.pop("seed"), **values)  # type: ignore[arg-type]
        return [stream.uniform(index) for index in (0, 1, 100)]

    plain = numbers()
    assert plain == numbers()
    different = [
        numbers(seed=2),
        numbers(seed=-1),
        numbers(key="2"),
        numbers(request_index=3),
        numbers(sample_index=4),
        numbers(attempt=1),
    ]
    assert len({tuple(row) for row in [plain, *different]}) == 7
    assert numbers(key="a", request_index=0) == numbers(key="a", request_index=9)

"""Shares in charts are shares of the values."""

from __future__ import annotations

from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.report.charts import MOST_BINS, categories, histogram

VALUES = st.lists(st.floats(-20, 50), min_size=1, max_size=300)


@given(own=VALUES, other=st.just([]) | VALUES)
def test_all_values_are_in_a_bar(own: list[float], other: list[float]) -> None:
    chart = histogram("Density (g/cm³)", own, other)
    assert sum(chart.generated) == pytest.approx(1)
    assert not other or sum(chart.reference) == pytest.approx(1)
    assert len(chart.edges) == len(chart.labels) + 1 <= MOST_BINS + 3
    assert np.all(np.diff(chart.edges) > 0)
    ElementTree.fromstring(chart.svg)


def test_bars_are_the_histogram() -> None:
    values = [0.2, 1.2, 1.7, 2.5, 2.6, 2.7, 7.9, 4.1]
    chart = histogram("x", values)
    counts, _ = np.histogram(values, bins=chart.edges)
    assert np.array(chart.generated) == pytest.approx(counts / len(values))


def test_an_outlier_does_not_flatten_the_rest() -> None:
    values = [*np.linspace(1, 9, 400), 5000.0]
    chart = histogram("x", values)
    assert chart.edges[-1] <= 20
    assert sum(chart.generated) == pytest.approx(1)
    assert chart.remarks


def test_categories_keep_their_order_and_the_rest_goes_together() -> None:
    chart = categories("n", ["2", "3", "3"], ["4"], order=["1", "2", "3", "4"])
    assert chart.labels == ("2", "3", "4")
    assert chart.generated == pytest.approx((1 / 3, 2 / 3, 0))
    assert chart.reference == (0, 0, 1)
    chart = categories("g", list("aaabbc"), list("zz"), most=2)
    assert chart.labels == ("a", "b", "others")
    assert chart.generated == pytest.approx((3 / 6, 2 / 6, 1 / 6))
    assert chart.reference == (0, 0, 1)


def test_labels_are_escaped() -> None:
    chart = categories("<script>", ["<b>"])
    assert "<b>" not in chart.svg
    assert "<script>" not in chart.svg

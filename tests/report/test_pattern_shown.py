"""A measured pattern above those of the best crystals: in the page, and in a browser."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Structure

from checked_crystals import CSCL, NACL
from crystalicl_jobflow.benchmarks import PatternSimulation, simulate_pattern
from crystalicl_jobflow.report import build_page, build_run, write_report
from crystalicl_jobflow.report.pattern_chart import draw_patterns, pattern_picture
from crystalicl_jobflow.report.run import Run
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.diffraction import PATTERN_FILE, PowderPattern
from crystalicl_jobflow.selection import add_pattern_fits
from crystalicl_jobflow.text import SGS

from .conftest import HOSTILE, write_candidates


@pytest.fixture(scope="module")
def pattern() -> PowderPattern:
    """Return a measurement of rock salt under a hostile name."""
    measured = simulate_pattern(SGS.decode(NACL), PatternSimulation(), name="NaCl", seed=0)
    return measured.model_copy(update={"name": HOSTILE[:40]})


@pytest.fixture(scope="module")
def compared(candidates: list[Candidate], pattern: PowderPattern) -> Run:
    run = build_run("run", add_pattern_fits(candidates, pattern))
    run.pattern = pattern
    return run


def lines(svg: str, kind: str) -> list[np.ndarray]:
    """Return the points of a picture's lines of one kind."""
    found = re.findall(rf'<path class="{kind}" d="M([^"]*)"', svg)
    return [np.array([point.split() for point in path.split("L")], float) for path in found]


def test_measured_stands_above_calculated_and_peaks_are_below_peaks(
    pattern: PowderPattern,
) -> None:
    crystals: list[Structure] = [SGS.decode(NACL), SGS.decode(CSCL)]
    svg = draw_patterns(pattern, crystals, ["rock salt", "another <type>"])
    (measured,), calculated = lines(svg, "measured"), lines(svg, "calculated")
    assert len(calculated) == 2
    # y grows downwards: each panel is whole below the one before
    panels = [measured, *calculated]
    for above, below in itertools.pairwise(panels):
        assert above[:, 1].max() < below[:, 1].min()
    assert np.isfinite(np.concatenate(panels)).all()
    highest = [panel[np.argmin(panel[:, 1]), 0] for panel in panels]
    assert abs(highest[0] - highest[1]) < 3  # the true crystal's, within shifts of peaks
    assert abs(highest[0] - highest[2]) > 3
    assert "another &lt;type&gt;" in svg


def test_the_page_says_how_similar_each_is(compared: Run, pattern: PowderPattern) -> None:
    page = build_page(compared)
    section = page[page.index('<section id="pattern">') :]
    section = section[: section.index("</section>")]
    assert "4,000 points" in section
    fits = [item.xrd for item in compared.candidates if item.xrd is not None]
    assert f"{len(fits)} crystals were compared" in section
    best = max(fit.similarity for fit in fits)
    assert f"{best:.3f}" in section
    assert HOSTILE[:40] not in page
    assert 'href="#pattern"' in page


def test_the_most_similar_crystals_are_drawn_the_best_first(compared: Run) -> None:
    found = pattern_picture(compared, list(range(len(compared.candidates))))
    assert found is not None
    similar = [fit.similarity for _, _, fit in found.rows]
    assert similar == sorted(similar, reverse=True)
    assert compared.candidates[found.rows[0][0]].space_group == 225


def test_without_a_pattern_the_page_says_nothing_of_one(candidates: list[Candidate]) -> None:
    page = build_page(build_run("run", candidates))
    assert 'id="pattern"' not in page
    assert 'href="#pattern"' not in page


def test_fits_to_another_pattern_are_not_drawn_beside_this_one(
    compared: Run, pattern: PowderPattern
) -> None:
    run = build_run("run", compared.candidates)
    run.pattern = pattern.model_copy(update={"sha256": "another"})
    found = pattern_picture(run, list(range(len(run.candidates))))
    assert found is not None
    assert found.rows == ()
    assert "none of those shown on this page could be" in build_page(run)


def test_a_broken_file_of_a_pattern_is_one_line(compared: Run, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    write_candidates(folder, compared.candidates)
    (folder / PATTERN_FILE).write_text('{"name": "x"}')
    with pytest.raises(ValueError, match=r"pattern\.json holds no pattern") as caught:
        write_report(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [360, 1280])
def test_the_picture_fits_into_its_frame(
    browser: Any, compared: Run, tmp_path: Path, width: int
) -> None:
    path = tmp_path / "report.html"
    path.write_text(build_page(compared), encoding="utf-8")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        browser.get(path.as_uri())
        script = (
            "const box = (e) => e.getBoundingClientRect();"
            "const svg = document.querySelector('.pattern');"
            "return {page: document.documentElement.scrollWidth, svg: box(svg).width,"
            " texts: [...svg.querySelectorAll('text')].every((t) =>"
            "   box(t).left >= box(svg).left - 1 && box(t).right <= box(svg).right + 1),"
            " lines: [...svg.querySelectorAll('path')].map((p) => box(p).top)}"
        )
        found = browser.execute_script(script)
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert found["page"] <= width  # it scrolls within its frame
    assert found["svg"] >= min(width, 560) - 60
    assert found["texts"]
    assert len(found["lines"]) >= 3

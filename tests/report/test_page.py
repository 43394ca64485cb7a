"""The page says what the files say, escapes what a model wrote, and needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.report import build_page, build_run, write_report
from crystalicl_jobflow.schemas import CANDIDATES_FILE, Candidate

from .conftest import HOSTILE, write_candidates


class Page(HTMLParser):
    """What a page holds: text of elements by tag, attributes, scripts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.rates: dict[str, dict[str, str]] = {}
        self.reasons: dict[str, str] = {}
        self._row: dict[str, str] | None = None
        self._reason: str | None = None
        self._cell: str | None = None
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        classes = (found.get("class") or "").split()
        if tag == "script":
            self.scripts.append("")
        if tag == "tr":
            name, self._reason = found.get("data-rate"), found.get("data-reason")
            self._row = self.rates.setdefault(name, {}) if name else None
        if tag == "td":
            self._cell = next((name for name in ("share", "count") if name in classes), None)

    def handle_endtag(self, tag: str) -> None:
        if tag == "td":
            self._cell = None

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and self.lasttag == "script":
            self.scripts[-1] += data
        if self._cell and self._row is not None:
            self._row[self._cell] = self._row.get(self._cell, "") + data
        if self._cell == "count" and self._reason:
            self.reasons[self._reason] = data


def page_of(folder: Path, **options: object) -> tuple[str, Page]:
    html = write_report(folder, **options).read_text(encoding="utf-8")  # type: ignore[arg-type]
    return html, Page(html)


def test_every_rate_and_reason_of_metrics_is_on_the_page(run_folder: Path) -> None:
    metrics = json.loads((run_folder / "metrics.json").read_text())
    _, page = page_of(run_folder)
    assert set(page.rates) == set(metrics["rates"])
    for name, rate in metrics["rates"].items():
        shown = page.rates[name]
        assert shown["count"] == f"{rate['count']} of {rate['of']}", name
        assert shown["share"] == f"{100 * rate['rate']:.1f}\xa0%", name
    assert page.reasons == {name: str(count) for name, count in metrics["reasons"].items()}


def test_intervals_are_those_of_metrics(run_folder: Path) -> None:
    metrics = json.loads((run_folder / "metrics.json").read_text())
    html, _ = page_of(run_folder)
    low, high = (100 * metrics["rates"]["valid"][end] for end in ("low", "high"))
    assert f"<span>{low:.1f}\xa0% to {high:.1f}\xa0%</span>" in html


def test_a_page_from_candidates_alone_has_the_same_rates(
    run_folder: Path, candidates: list[Candidate], tmp_path: Path
) -> None:
    alone = tmp_path / "alone"
    write_candidates(alone, candidates)
    assert page_of(alone)[1].rates == page_of(run_folder)[1].rates


def test_text_of_a_model_is_text(run_folder: Path) -> None:
    html, page = page_of(run_folder)
    assert HOSTILE not in html
    assert "window.broken" in html  # shown, as an example of its failure
    assert [tag for tag, _ in page.tags].count("script") == 3
    assert not [tag for tag, found in page.tags if tag == "img" or "onerror" in found]
    assert "run &amp; &lt;b&gt;co" in html
    assert "<b>co" not in html


def test_hostile_names_stay_within_the_data_of_the_script(
    candidates: list[Candidate],
) -> None:
    hostile = [c.model_copy(update={"formula_pretty": "</script><script>x"}) for c in candidates]
    html = build_page(build_run("x", hostile))
    assert "</script><script>x" not in html


def test_control_characters_are_shown_and_names_of_files_are_safe(
    candidates: list[Candidate],
) -> None:
    text = "Na \x1b[2J \x00 \u202egnihton"
    failed = next(c for c in candidates if not c.parsed)
    valid = next(c for c in candidates if c.valid)
    hostile = [
        failed.model_copy(update={"text": text, "failure_message": text}),
        valid.model_copy(update={"formula_pretty": "../../Na<b>Cl"}),
    ]
    html = build_page(build_run("\x1b]0;title\x07", hostile))
    assert not re.search("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202e]", html)
    assert r"Na \x1b[2J \x00 \u202egnihton" in html
    (name,) = re.findall(r'<a download="([^"]*)"', html)
    assert re.fullmatch(r"[\w-]+\.cif", name)


def test_nothing_is_loaded_from_anywhere(run_folder: Path) -> None:
    _, page = page_of(run_folder)
    for tag, found in page.tags:
        assert tag not in {"link", "iframe", "object", "embed", "audio", "video", "base"}
        assert not found.get("src")
        address = found.get("href") or ""
        assert address.startswith(("#", "data:chemical/x-cif;base64,")) or not address
    style = re.search(r"<style>(.*?)</style>", build_style(run_folder), re.DOTALL)
    assert style is not None
    assert "url(" not in style[1]
    assert "@import" not in style[1]


def build_style(folder: Path) -> str:
    return (folder / "report.html").read_text(encoding="utf-8")


def test_policy_allows_the_page_s_own_scripts_and_no_network(run_folder: Path) -> None:
    html, page = page_of(run_folder)
    policy = next(found["content"] for tag, found in page.tags if "http-equiv" in found)
    assert policy is not None
    assert "default-src 'none'" in policy
    assert "unsafe-eval" not in policy
    allowed = re.search(r"script-src ([^;]*);", policy)
    assert allowed is not None
    assert "unsafe-inline" not in allowed[1]
    scripts = re.findall(r"<script>(.*?)</script>", html, re.DOTALL)
    sums = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    assert allowed[1].split() == [f"'sha256-{item}'" for item in sums]


def test_crystals_differ_and_conditions_take_turns(run_folder: Path) -> None:
    html, _ = page_of(run_folder)
    titles = re.findall(r"<h3>(\S+) <span class=\"group\">", html)
    # the second rock salt is the first one again; CsCl was asked to be NaCl and comes last
    assert sorted(titles[:3]) == ["FeNi", "NaCl", "TiO<sub>2</sub>"]
    assert titles[3:] == ["CsCl"]


def test_as_many_crystals_as_asked_for(run_folder: Path) -> None:
    html, _ = page_of(run_folder, top=2)
    assert html.count('class="stage"') == 2
    html, _ = page_of(run_folder, top=0)
    assert 'class="stage"' not in html
    assert "University of Pittsburgh" not in html
    assert len(html) < 200_000


def test_the_viewer_brings_its_licence(run_folder: Path) -> None:
    html, _ = page_of(run_folder)
    assert "University of Pittsburgh" in html
    assert "Redistribution and use in source and binary forms" in html


def test_cif_of_a_card_is_the_crystal(run_folder: Path) -> None:
    _, page = page_of(run_folder, top=1)
    link = next(found for tag, found in page.tags if tag == "a" and "download" in found)
    text = base64.b64decode((link["href"] or "").partition("base64,")[2]).decode()
    crystal = Structure.from_str(text, fmt="cif")
    assert (link["download"] or "").startswith(crystal.composition.reduced_formula)


def test_disordered_and_overlapping_crystals_are_drawn(candidates: list[Candidate]) -> None:
    alloy = Structure(Lattice.cubic(3.8), [{"Cu": 0.75, "Au": 0.25}], [[0, 0, 0]])
    heap = Structure(Lattice.cubic(3.8), ["Cu", "Cu"], [[0, 0, 0], [0, 0, 0]])
    drawn = [
        candidates[0].model_copy(update={"structure": structure, "valid": False})
        for structure in (alloy, heap)
    ]
    html = build_page(build_run("odd", drawn))
    assert html.count('class="stage"') == 2


def test_a_run_without_one_crystal_still_has_its_page(candidates: list[Candidate]) -> None:
    failed = [candidate for candidate in candidates if not candidate.parsed]
    html = build_page(build_run("none", failed))
    assert 'class="stage"' not in html
    assert "0.0\xa0%" in html
    assert 'id="failures"' in html


def test_folders_that_hold_no_run_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no folder"):
        write_report(tmp_path / "missing")
    with pytest.raises(ValueError, match=f"holds no {CANDIDATES_FILE}"):
        write_report(tmp_path)
    (tmp_path / CANDIDATES_FILE).write_text("\n")
    with pytest.raises(ValueError, match="holds no candidates"):
        write_report(tmp_path)
    (tmp_path / CANDIDATES_FILE).write_text('{"a": 1}\n')
    with pytest.raises(ValueError, match="line 1: no candidate"):
        write_report(tmp_path)


def test_impossible_metrics_are_refused(run_folder: Path) -> None:
    (run_folder / "metrics.json").write_text('{"rates": {"valid": {"count": 3, "of": 2}}}')
    with pytest.raises(ValueError, match="'valid' is 3 of 2"):
        write_report(run_folder)
    (run_folder / "metrics.json").write_text("nonsense")
    with pytest.raises(ValueError, match=r"metrics\.json is no JSON"):
        write_report(run_folder)

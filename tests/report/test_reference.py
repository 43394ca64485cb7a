"""What a reference's crystals are like, read from its files."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.report import read_reference, reference, write_report


@pytest.fixture
def csv(tmp_path: Path, nacl: Structure, cscl: Structure) -> Path:
    """Return a CSV of rock salt, CsCl and one row that is no crystal."""
    import pandas as pd

    path = tmp_path / "known.csv"
    rows = {
        "cif": [nacl.to(fmt="cif"), cscl.to(fmt="cif"), "nothing"],
        "formation_energy_per_atom": [-2.1, -2.2, 0.0],
    }
    pd.DataFrame(rows).to_csv(path, index=False)
    return path


def test_values_are_the_crystals_own(csv: Path, nacl: Structure, cscl: Structure) -> None:
    found = read_reference(csv)
    assert (found.num_crystals, found.num_failed, found.num_total) == (2, 1, 3)
    assert found.columns["density"] == pytest.approx([nacl.density, cscl.density], rel=1e-5)
    assert found.columns["num_elements"] == [2, 2]
    assert found.columns["space_group"] == [225, 221]
    assert found.columns["formation_energy_per_atom"] == [-2.1, -2.2]


def test_large_references_are_drawn_from(csv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MAX_CRYSTALS", 2)
    seen: list[tuple[int, int | None]] = []
    found = read_reference(csv, progress=lambda done, of: seen.append((done, of)))
    assert found.num_crystals + found.num_failed == 2
    assert found.num_total == 3
    assert seen == [(1, 2), (2, 2)]


def test_the_page_shows_both(run_folder: Path, csv: Path) -> None:
    page = write_report(run_folder, reference=csv).read_text(encoding="utf-8")
    assert "beside 2 of known (1 could not be read)" in page
    assert page.count('<path class="outline"') == 1  # density


def test_a_reference_without_crystals_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "empty.csv"
    path.write_text("cif\nnothing\n")
    with pytest.raises(
        ValueError, match=r"holds no crystal that can be read: empty-row-0: .*line 1"
    ):
        read_reference(path)


def test_real_crystals(shared_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MAX_CRYSTALS", 50)
    found = read_reference(shared_data / "mp_20_test.csv.gz")
    assert found.num_crystals == 50
    assert all(0.1 < value < 25 for value in found.columns["density"])
    assert all(1 <= value <= 230 for value in found.columns["space_group"])

"""Powder patterns from files: read as they were written, or refused in one line with the place."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from crystalicl_jobflow.comparison.diffraction import MeasuredProfile, read_pattern
from crystalicl_jobflow.comparison.diffraction import pattern_files as module
from crystalicl_jobflow.schemas.diffraction import (
    RADIATIONS,
    PatternFit,
    PowderPattern,
    read_wavelength,
)
from crystalicl_jobflow.thresholds import MAX_PATTERN_POINTS

ANGLES = [round(20 + 0.5 * place, 2) for place in range(40)]
COUNTS = [100 + place + (900 if place % 7 == 3 else 0) for place in range(40)]
ROWS = list(zip(ANGLES, COUNTS, strict=True))


def lines(mark: str = " ", *, end: str = "\n") -> str:
    return "".join(f"{angle:.2f}{mark}{count}{end}" for angle, count in ROWS)


LAYOUTS = {
    "blanks": lines(),
    "tabs": lines("\t"),
    "commas": lines(","),
    "commas and blanks": lines(",  "),
    "semicolons": lines(";"),
    "decimal commas and blanks": lines().replace(".", ","),
    "decimal commas and semicolons": lines(";").replace(".", ","),
    "lines of Windows": lines(end="\r\n"),
    "lines of an old Mac": lines(end="\r"),
    "a heading": "2Theta,Intensity\n" + lines(","),
    "a heading with units": "Angle (deg)  Counts (a.u.)\n" + lines("  "),
    "a number of the scan above": "Time per step, 1.0\n" + lines(","),
    "comments before and between": "# sample 7\n! step 0.5\n\n" + lines() + "; end\n",
    "a count of the points above": "sample 7\n40\n" + lines(),
    "errors in a third column": "".join(f"{a} {c} {math.sqrt(c):.3f}\n" for a, c in ROWS),
    "rows in reverse": "".join(f"{a} {c}\n" for a, c in reversed(ROWS)),
    "exponents of Fortran": "".join(f"{a}D+00 {c}.0d0\n" for a, c in ROWS),
    "quoted heading and blanks at the ends": '"2theta" "I"\n  ' + lines(),
}


@pytest.mark.parametrize("text", LAYOUTS.values(), ids=list(LAYOUTS))
def test_every_layout_gives_the_same_points(text: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.xy"
    path.write_bytes(text.encode())
    found = read_pattern(path)
    assert found.two_theta == ANGLES
    assert found.intensity == COUNTS
    assert (found.name, found.remarks) == ("sample.xy", [])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1", "utf-16"])
def test_every_encoding_is_read(encoding: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.xy"
    path.write_text("# Präparat bei 20 °C\n" + lines(), encoding=encoding)
    assert read_pattern(path).two_theta == ANGLES


REFUSED = {
    "": "sample.xy holds no rows of 2θ and intensity",
    "\n\n# nothing\n": "sample.xy holds no rows",
    "".join(f"{count}\n" for count in COUNTS): "sample.xy holds no rows",
    "20 1\n30 2\n": "sample.xy has 2 points; a pattern has 5 to",
    "".join(f"{a} 1 2 {c}\n" for a, c in ROWS): "sample.xy, line 1: 4 numbers",
    lines() + "41 5 6\n": "sample.xy, line 41: 3 numbers, but 2 in the rows before",
    lines() + "END\n": "sample.xy, line 41: 'END' is no row",
    lines() + "41.0 5x\n": "sample.xy, line 41: '41.0 5x' is no row",
    "".join(f"{a} 7\n" for a in ANGLES): "sample.xy has no peaks",
    "".join(f"{a} 0\n" for a in ANGLES): "sample.xy has no peaks",
    "".join(f"{a} nan\n" for a in ANGLES): "sample.xy has 0 points",
    "".join(f"{a} 1e999\n" for a in ANGLES): "sample.xy has 0 points",
    "".join(f"{a - 25} {c}\n" for a, c in ROWS): "2θ from -5 to 14.5; it is between 0 and 180",
    "".join(f"{100 * a} {c} 3\n" for a, c in ROWS): "2θ from 2000 to 3950",  # GSAS
    # what commas mean is not clear, or marks stand between thousands
    lines(",").replace(".", ","): "commas may stand inside of numbers or between columns",
    "".join(f"{a:.2f},{c + 1900:,}\n" for a, c in ROWS): "commas may stand inside",
    "".join(f"{a:.2f}\t{c + 1900:,}\n" for a, c in ROWS): "line 1: '20.00\\t2,000' has points and",
    "".join(f"{a:.2f}, {c + 1900:,}\n" for a, c in ROWS): "line 1: '20.00, 2,000' has points and",
    "20,0;1.100\n" + lines(";").replace(".", ","): "line 1: '20,0;1.100' has points and commas",
    # other columns than 2θ and intensity
    "Q (1/A), I\n" + lines(","): "its columns are 'Q (1/A), I'; the first is 2θ",
    "# d I\n" + lines(): "its columns are 'd I'",
    "Theta\tIntensity\n" + lines("\t"): "its columns are",
    "Intensity;2Theta\n" + lines(";"): "its columns are",
    "Time,Counts\n" + lines(","): "its columns are",
    "".join(f"{k} {a} {c}\n" for k, (a, c) in enumerate(ROWS, 1)): "the first column counts",
    "".join(f"{a} {0.77 / math.sin(math.radians(a / 2)):.4f}\n" for a in ANGLES): "spacing d",
    "".join(f"{a} {0.77 / math.sin(math.radians(a / 2)):.4f} 9\n" for a in ANGLES): "spacing d",
}


@pytest.mark.parametrize(
    ("text", "words"),
    REFUSED.items(),
    ids=[f"{k}: {v[:40]}" for k, v in enumerate(REFUSED.values())],
)
def test_what_is_no_pattern_is_refused_in_one_line_with_its_place(
    text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "sample.xy"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"sample\.xy") as caught:
        read_pattern(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<?xml version='1.0'?><xrdMeasurements/>", "an XML file"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>", "an XML file"),
        (b"PK\x03\x04rest", "a ZIP archive"),
        (b"RAW4.00\x00\x00", "a binary file of Bruker"),
        (b"data_NaCl\n_cell_length_a 5.6\n", "a CIF"),
        (b'{"two_theta": []}', "JSON"),
        (bytes(range(256)), "no text"),
        (b"\xff\xfe\x00", "no text"),
    ],
)
def test_files_of_other_kinds_are_named(content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / "sample.xy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=words):
        read_pattern(path)


def test_folders_missing_and_endless_files_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match="is a folder, not a pattern"):
        read_pattern(tmp_path)
    with pytest.raises(FileNotFoundError):
        read_pattern(tmp_path / "missing.xy")
    monkeypatch.setattr(module, "MAX_BYTES", 1000)
    path = tmp_path / "long.xy"
    path.write_text("20 1\n" * 201)
    with pytest.raises(ValueError, match=r"long\.xy has more than .* too long for a pattern"):
        read_pattern(path)


def test_points_that_are_left_out_or_put_together_are_told(tmp_path: Path) -> None:
    path = tmp_path / "sample.xy"
    path.write_text(lines() + "41.0 NaN\n42.0 -inf\n20.00 300\n")
    found = read_pattern(path)
    assert len(found.two_theta) == 40
    assert found.intensity[0] == 200  # the mean of 100 and 300
    assert found.remarks == [
        "2 of 43 points are no finite numbers and left out",
        "the mean is taken where an angle repeats (1 times)",
    ]
    path.write_text("0.0 5e9\n" + lines())
    assert read_pattern(path).remarks == ["the point at 0 degrees is left out"]


def test_negative_counts_stay_and_long_scans_are_put_together(tmp_path: Path) -> None:
    path = tmp_path / "sample.xy"
    path.write_text("".join(f"{a} {c - 150}\n" for a, c in ROWS))
    assert read_pattern(path).intensity == [count - 150 for count in COUNTS]
    grid = np.linspace(5, 120, 3 * MAX_PATTERN_POINTS)
    heights = np.exp(-(((grid - 40) / 0.1) ** 2))
    found = PowderPattern.build(grid, heights)
    assert len(found.two_theta) == MAX_PATTERN_POINTS
    assert found.two_theta[int(np.argmax(found.intensity))] == pytest.approx(40, abs=0.01)
    assert found.remarks == ["3 neighbouring points are one, of 60000"]
    # its shape is what it was
    places = np.linspace(0.1, 1.0, 200)
    ones = np.exp(-(((places - MeasuredProfile.of(found).grid.start) / 0.2) ** 2))
    fine = PowderPattern.build(grid[1::3], heights[1::3])
    assert MeasuredProfile.of(found).similarity(places, ones, width=0.01) == pytest.approx(
        MeasuredProfile.of(fine).similarity(places, ones, width=0.01), abs=1e-3
    )


@pytest.mark.parametrize(
    ("value", "radiation", "length"),
    [
        (None, "CuKa", 1.54184),
        ("CuKa", "CuKa", 1.54184),
        ("Cu Kα1", "CuKa1", 1.54056),
        ("cu-k-alpha", "CuKa", 1.54184),
        ("Mo", "MoKa", 0.71073),
        ("CoKβ", "CoKb1", 1.63079),
        ("0.4592", None, 0.4592),
        (1.5406, None, 1.5406),
        ("1.5406 Å", None, 1.5406),
    ],
)
def test_wavelengths_by_name_and_by_number(
    value: str | float | None, radiation: str | None, length: float
) -> None:
    assert read_wavelength(value) == (radiation, length)


@pytest.mark.parametrize("value", ["Kryptonite", "0", "-1.54", "nan", "inf", 15.4, "", True])
def test_other_wavelengths_are_refused(value: str | float) -> None:
    with pytest.raises(ValueError, match="neither a radiation") as caught:
        read_wavelength(value)
    assert "\n" not in str(caught.value)


def test_radiations_have_the_wavelengths_of_pymatgen() -> None:
    from pymatgen.analysis.diffraction.xrd import WAVELENGTHS

    assert {name: WAVELENGTHS[name] for name in RADIATIONS} == RADIATIONS


PANALYTICAL = (
    "[Measurement conditions]\nAnode material,Mo\nK-Alpha1 wavelength,0.70930\n"
    "K-Alpha2 wavelength,0.71359\nRatio K-Alpha2/K-Alpha1,0.50000\n"
    "K-Beta wavelength,0.63229\n[Scan points]\nAngle,Intensity\n"
)


@pytest.mark.parametrize(
    ("heading", "length", "told"),
    [
        ("# nothing of it\n", 1.54184, "default"),
        ("# wavelength = 0.4592 A\n", 0.4592, "file"),
        ("# λ: 0,4592\n", 0.4592, "file"),
        ("# Wavelength (nm): 0.15406\n", 1.5406, "file"),
        ("# lambda 70.93 pm\n", 0.7093, "file"),
        ("Kα1 = 1.54056\n", 1.54056, "file"),
        ("* anode: Co\n", 1.79026, "file"),
        (PANALYTICAL, 0.7093, "file"),
    ],
)
def test_the_wavelength_that_a_file_states(
    heading: str, length: float, told: str, tmp_path: Path
) -> None:
    path = tmp_path / "sample.csv"
    path.write_text(heading + lines(","), encoding="utf-8")
    found = read_pattern(path)
    assert found.wavelength == pytest.approx(length)
    assert found.wavelength_from == told
    asked = read_pattern(path, wavelength="Ag")
    assert (asked.radiation, asked.wavelength_from) == ("AgKa", "asked")
    assert ("as the file says" in found.label) == (told == "file")


@pytest.mark.parametrize("heading", ["# lambda 1.54\n# wavelength 0.709\n", "# wavelength 12.4\n"])
def test_a_file_with_two_wavelengths_or_none_of_diffraction_asks(
    heading: str, tmp_path: Path
) -> None:
    path = tmp_path / "sample.xy"
    path.write_text(heading + lines())
    with pytest.raises(ValueError, match=r"sample\.xy states a wavelength of .*; say which one"):
        read_pattern(path)
    assert read_pattern(path, wavelength="Mo").radiation == "MoKa"


def test_documents_and_patterns_are_read_back(tmp_path: Path) -> None:
    path = tmp_path / "sample.xy"
    path.write_text(lines())
    found = read_pattern(path)
    assert read_pattern(found.model_dump(mode="json")) == found == read_pattern(found)
    assert read_pattern(found, wavelength="Mo").wavelength == 0.71073
    broken = found.model_dump(mode="json") | {"two_theta": ANGLES[::-1]}
    with pytest.raises(ValueError, match="the angles do not ascend"):
        read_pattern(broken)
    with pytest.raises(ValueError, match="40 angles, but 39 intensities"):
        PowderPattern.build(ANGLES, COUNTS[:-1])


def test_a_range_too_short_to_compare_is_refused() -> None:
    pattern = PowderPattern.build(np.linspace(20, 20.5, 50), np.arange(50))
    with pytest.raises(ValueError, match=r"2θ from 20 to 20\.5 is too short a range"):
        MeasuredProfile.of(pattern)


def test_a_fit_without_a_cell_refines_nothing() -> None:
    assert PatternFit(pattern="x", wavelength=1.5).refined(None) is None  # type: ignore[arg-type] # not read

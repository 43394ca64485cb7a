"""Taking a predictor's bias out: fitted, stored, applied, and to no other predictor."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Composition, Lattice, Structure

from crystalicl_jobflow.energies import (
    CorrectedPredictor,
    Correction,
    PropertyPredictor,
    answers_of,
    fit_correction,
    load_predictor,
)
from crystalicl_jobflow.energies.corrections import anion_of

PAIRS = [("Na", "Cl"), ("K", "Cl"), ("Mg", "O"), ("Ca", "O"), ("Cu", "Zn"), ("Ni", "Al")]


def crystals(times: int) -> list[Structure]:
    return [
        Structure(Lattice.cubic(4.0 + 0.01 * k), list(pair), [[0, 0, 0], [0.5] * 3])
        for k in range(times)
        for pair in PAIRS
    ]


def known_energy(structure: Structure) -> float:
    return float(np.mean([-el.X for el in structure.composition.elements]))


def biased(version: str = "1") -> PropertyPredictor:
    """Return a predictor that is 0.1 too high, and 0.3 more for each chlorine."""

    def predict(structures: Sequence[Structure | None]) -> list[float | None]:
        return [
            None
            if item is None
            else known_energy(item) + 0.1 + 0.3 * item.composition.get_atomic_fraction("Cl")
            for item in structures
        ]

    found: Any = SimpleNamespace(
        property_name="formation_energy_per_atom",
        name="biased",
        version=version,
        packages=("numpy",),
        predict=predict,
    )
    return found  # type: ignore[no-any-return]


def test_the_anion_of_a_composition() -> None:
    known = {
        "NaCl": ("Cl", 0.5),
        "Mg2SiO4": ("O", 4 / 7),
        "CuZn": ("", 0.0),
        "O2": ("", 0.0),
        "PmF3": ("F", 0.75),
        "LiH": ("H", 0.5),
        "BaSi2": ("Si", 2 / 3),
    }
    for formula, (anion, share) in known.items():
        found, part = anion_of(Composition(formula))
        assert (found, part) == (anion, pytest.approx(share))


@pytest.mark.parametrize(
    ("kind", "offset", "anions"),
    [("anion", -0.1, {"O": 0.0, "Cl": -0.3}), ("offset", None, {})],
)
def test_a_bias_is_found_and_taken_out(
    kind: Any, offset: float | None, anions: dict[str, float], tmp_path: Path
) -> None:
    data = crystals(6)
    # a crystal that the known values have wrong does not move the others
    truths = [known_energy(item) for item in data]
    truths[3] += 5.0
    fitted = fit_correction(biased(), data, truths, kind=kind, origin={"dataset": "a.csv"})
    if offset is not None:
        assert fitted.offset == pytest.approx(offset, abs=0.01)
        assert dict(fitted.anions) == pytest.approx(anions, abs=0.02)
    assert fitted.origin["mae_after"] < fitted.origin["mae_before"]
    path = tmp_path / "bias.json"
    fitted.save(path)
    read = Correction.load(path)
    assert read == fitted
    corrected = CorrectedPredictor(biased(), read)
    assert corrected.version == f"1, {kind} fitted on 36 crystals of a.csv"
    assert corrected.packages == ("numpy",)
    salt, nothing = answers_of(corrected, [data[0], None])
    assert nothing.value is None
    assert nothing.reason
    if kind == "anion":
        assert salt.value == pytest.approx(known_energy(data[0]), abs=0.01)


def test_rare_anions_get_no_correction_of_their_own() -> None:
    data = crystals(4)
    fitted = fit_correction(biased(), data, [known_energy(item) for item in data])
    assert set(fitted.anions) == {"O", "Cl"}
    fewer = data[2:]  # chlorides: 7 of 8
    assert fit_correction(biased(), fewer[-12:], [0.0] * 12).anions == {}


def test_a_correction_fits_one_predictor_only(tmp_path: Path) -> None:
    data = crystals(1)
    fitted = fit_correction(biased(), data, [known_energy(item) for item in data])
    with pytest.raises(ValueError, match=r"by biased 1, not of .* by biased 2"):
        CorrectedPredictor(biased("2"), fitted)
    path = tmp_path / "bias.json"
    fitted.save(path)
    with pytest.raises(ValueError, match=r"by biased 1, not of .* by trees"):
        load_predictor("formation_energy_per_atom", f"trees+{path}")


def test_a_band_gap_stays_physical() -> None:
    fitted = Correction("band_gap", "p", "1", "offset", -0.2, minimum=0.0)
    assert fitted.apply(0.1, Composition("NaCl")) == 0.0


def test_trees_can_be_corrected_too(nacl: Structure, tmp_path: Path) -> None:
    plain = load_predictor("band_gap", "trees")
    path = tmp_path / "up.json"
    Correction("band_gap", plain.name, plain.version, "offset", 1.0).save(path)
    (before,), (after,) = (
        plain.predict([nacl]),
        load_predictor("band_gap", f"trees+{path}").predict([nacl]),
    )
    assert before is not None
    assert after == pytest.approx(before + 1.0)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("not json", "holds no correction"),
        ("{}", "holds no correction"),
        ("[]", "holds no correction"),
        (None, "cannot be read"),
    ],
)
def test_other_files_get_one_line(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "file.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ValueError, match=words) as caught:
        load_predictor("band_gap", f"trees+{path}")
    assert "\n" not in str(caught.value)


def test_numbers_that_are_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    document = {
        "property_name": "band_gap", "predictor": "trees", "version": "1", "kind": "offset",
        "offset": float("nan"),
    }  # fmt: skip
    path.write_text(json.dumps(document))
    with pytest.raises(ValueError, match="a number is not finite"):
        Correction.load(path)

"""The property benchmark: rows whose value is known, errors with denominators, baselines."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.benchmarks.property_prediction import property_benchmark
from crystalicl_jobflow.schemas import Completion, ModelInfo

CATIONS = ("Li", "Na", "K", "Rb", "Cs", "Ag", "Cu", "Tl")


class Fixed:
    """Answers '1.0', and to the crystals of one element something that is no number."""

    def __init__(self, dumb_about: str = "") -> None:
        self.dumb_about = dumb_about

    @property
    def versions(self) -> dict[str, str]:
        return {}

    @property
    def info(self) -> ModelInfo:
        return ModelInfo(engine="fixed", base_model="texts")

    def generate(self, requests: Any, _sampling: Any, **_options: Any) -> list[list[Completion]]:
        return [
            [
                Completion(
                    request_index=0,
                    sample_index=sample,
                    text="?" if f"### {self.dumb_about}\n" in request.prompt else " 1.0",
                    finished=True,
                    num_tokens=2,
                )
                for sample in range(request.num_samples)
            ]
            for request in requests
        ]


@pytest.fixture
def salts(tmp_path: Path) -> Path:
    """Return eight salts, the last without a band gap, one of them no crystal."""
    path = tmp_path / "salts.csv"
    with path.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["material_id", "band_gap", "cif"])
        for place, cation in enumerate(CATIONS):
            edge = 3.6 + place / 7
            lattice = Lattice.from_parameters(edge, edge, edge, 60, 60, 60)
            crystal = Structure(lattice, [cation, "Cl"], [[0, 0, 0], [0.5] * 3])
            cif = "data_nothing" if cation == "K" else crystal.to(fmt="cif")
            writer.writerow([f"mp-{place}", "" if cation == "Tl" else place / 2, cif])
    return path


def test_errors_and_what_was_not_answered(salts: Path) -> None:
    result = property_benchmark(salts, "bandgap", generator=Fixed("Ag"), baseline="none")
    metrics = result.metrics
    assert (metrics["property"], metrics["unit"]) == ("band_gap", "eV")
    assert (metrics["asked"], metrics["known_in_dataset"]) == (7, 7)
    model = metrics["model"]
    assert (model["of"], model["asked"], model["unanswered"]) == (5, 7, 2)
    assert model["reasons"] == {"not_read": 1, "not_a_number": 1}
    answered = [0.0, 0.5, 1.5, 2.0, 3.0]
    assert model["mae"] == pytest.approx(sum(abs(1 - gap) for gap in answered) / 5)
    assert metrics["baselines"] == {}
    assert len(result.predictions) == len(result.truths) == 7


def test_baselines_are_measured_on_the_same_crystals(salts: Path) -> None:
    result = property_benchmark(
        salts, "band_gap", generator=Fixed("Ag"), baseline="magpie", train=[salts]
    )
    magpie, median = (result.metrics["baselines"][name] for name in ("magpie", "median"))
    assert (median["of"], median["num_train"], median["trained_on"]) == (7, 7, ["salts.csv"])
    assert (magpie["of"], magpie["unanswered"]) == (6, 1)  # what cannot be read has no features
    assert magpie["where_the_model_answered"]["of"] == result.metrics["model"]["of"] == 5
    # the median is 1.5
    assert median["where_the_model_answered"]["mae"] == pytest.approx((1.5 + 1 + 0 + 0.5 + 1.5) / 5)


def test_rows_are_drawn_with_the_seed(salts: Path) -> None:
    drawn = {
        seed: [
            item.crystal_id
            for item in property_benchmark(
                salts, "band_gap", generator=Fixed(), baseline="none", limit=3, seed=seed
            ).predictions
        ]
        for seed in (0, 0, 1)
    }
    assert all(len(set(names)) == 3 for names in drawn.values())
    assert drawn[0] != drawn[1]


def test_mistakes_are_one_line(salts: Path) -> None:
    options: dict[str, Any] = {"generator": Fixed()}
    with pytest.raises(ValueError, match=r"salts\.csv has no energy_above_hull"):
        property_benchmark(salts, "energy_above_hull", baseline="none", **options)
    with pytest.raises(ValueError, match="needs training data"):
        property_benchmark(salts, "band_gap", **options)
    with pytest.raises(ValueError, match="baseline 'forest' is not one of magpie, median, none"):
        property_benchmark(salts, "band_gap", baseline="forest", **options)
    with pytest.raises(ValueError, match="'colour' is not known"):
        property_benchmark(salts, "colour", **options)

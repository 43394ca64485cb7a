"""The conditional benchmark: seeded conditions from true crystals, compared with them."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from crystalicl_jobflow.benchmarks import (
    BenchmarkSetting,
    condition_names,
    condition_of,
    conditional_benchmark,
    draw_crystals,
)
from crystalicl_jobflow.benchmarks.runs import run_setting
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.pipeline import choose_demonstrations
from crystalicl_jobflow.schemas import Condition, SamplingParams
from crystalicl_jobflow.text import SGS
from reciting import NO_CRYSTAL, PEROVSKITE, ROCK_SALT, RecitingGenerator

ONE_DRAW = SamplingParams(max_redraws=0)


def setting(dataset: Path, **fields: Any) -> BenchmarkSetting:
    return BenchmarkSetting(dataset=str(dataset), sampling=ONE_DRAW, **fields)


POTASSIUM_CHLORIDE = ROCK_SALT.replace("Na", "K").replace("5.6", "6.4")
TRUTH = {"NaCl": ROCK_SALT, "KCl": POTASSIUM_CHLORIDE, "CaTiO3": PEROVSKITE}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV of three crystals and a row that is none."""
    path = tmp_path_factory.mktemp("dataset") / "truth.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif", "band_gap"])
        for name, text in TRUTH.items():
            writer.writerow([name, SGS.decode(text).to(fmt="cif"), 1.0])
        writer.writerow(["broken", "no cif", 1.0])
    return path


def test_conditions_are_those_of_the_crystals(dataset: Path) -> None:
    drawn, failed = draw_crystals(dataset, seed=3)
    assert [name for name, _ in failed] == ["truth-broken"]
    asked = {
        item.demonstration_id: condition_of(item, ["formula", "space_group"]) for item in drawn
    }
    assert asked == {
        "truth-NaCl": Condition(formula="NaCl", space_group=225),
        "truth-KCl": Condition(formula="KCl", space_group=225),
        "truth-CaTiO3": Condition(formula="CaTiO3", space_group=221),
    }
    with_gap = condition_of(drawn[0], condition_names("num_sites, bandgap"))
    assert with_gap.properties == {"band_gap": 1.0}
    assert with_gap.num_sites in (2, 5)


def test_the_seed_draws_the_rows(dataset: Path) -> None:
    def names(seed: int, limit: int | None = None) -> list[str]:
        return [item.demonstration_id for item in draw_crystals(dataset, seed=seed, limit=limit)[0]]

    assert names(1) == names(1)
    assert names(1, 2) == names(1)[:2]
    assert len({tuple(names(seed)) for seed in range(10)}) > 1


def test_rates_against_the_true_crystals(dataset: Path) -> None:
    """Rock salt recited for everything is right once in three."""
    result = conditional_benchmark(
        setting(dataset, constrain=False), generator=RecitingGenerator([ROCK_SALT])
    )
    rates = result.evaluation.rates
    assert {name: (rates[name].count, rates[name].of) for name in (
        "parsed", "formula", "space_group", "joint", "structure_valid", "match"
    )} == {
        "parsed": (3, 3), "formula": (1, 3), "space_group": (2, 3), "joint": (1, 3),
        "structure_valid": (3, 3), "match": (1, 3),
    }  # fmt: skip
    right = result.material_ids.index("truth-NaCl")
    matches = [row["match"] for row in result.evaluation.results]
    assert matches == [place == right for place in range(3)]


def test_a_text_that_is_no_crystal_counts_in_every_denominator(dataset: Path) -> None:
    result = conditional_benchmark(
        setting(dataset, constrain=False, samples=2), generator=RecitingGenerator([NO_CRYSTAL])
    )
    for name in ("parsed", "formula", "joint", "match"):
        assert (result.evaluation.rates[name].count, result.evaluation.rates[name].of) == (0, 6)
    assert result.evaluation.rates["match_any"].of == 3


def test_an_impossible_row_is_written_freely_and_named(dataset: Path) -> None:
    """Five atoms do not fit a limit of four; the row stays, and stays in its place."""
    result = conditional_benchmark(
        setting(dataset, constrain={"max_atoms": 4}),
        generator=RecitingGenerator([PEROVSKITE, ROCK_SALT]),
    )
    assert [name for name, _ in result.impossible] == ["truth-CaTiO3"]
    constraints = [candidate.provenance.constraint for candidate in result.candidates]
    place = result.material_ids.index("truth-CaTiO3")
    assert [index for index, text in enumerate(constraints) if text is None] == [place]
    assert [c.provenance.request_index for c in result.candidates] == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"condition": ["colour"]}, "cannot ask for 'colour'"),
        ({"condition": ["energy_above_hull"]}, "has no energy_above_hull"),
    ],
)
def test_mistakes(dataset: Path, options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        conditional_benchmark(setting(dataset, **options), generator=RecitingGenerator())


def test_demonstrations_need_a_pool() -> None:
    with pytest.raises(ValueError, match="2 shots need a pool"):
        choose_demonstrations([Condition(formula="NaCl")], None, shots=2)


def test_the_command_writes_metrics(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "crystalicl_jobflow.generation.load_generator",
        lambda *_args, **_options: RecitingGenerator([ROCK_SALT]),
    )
    out = tmp_path / "run"
    result = CliRunner().invoke(
        cli,
        [
            "benchmark", "conditional", "--dataset", str(dataset), "--pool", str(dataset),
            "--shots", "1", "--limit", "3", "--seed", "4", "--no-constrain",
            "--max-redraws", "0", "--out", str(out),
        ],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "Not read: truth-broken" in result.stderr
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["rates"]["formula"] == {"rate": 1 / 3, "count": 1, "of": 3}
    assert set(metrics["rates"]) >= {
        "parsed", "formula", "space_group", "joint", "structure_valid", "match"
    }  # fmt: skip
    assert metrics["seed"] == 4
    lines = (out / "candidates.jsonl").read_text().splitlines()
    prompts = [json.loads(line)["provenance"]["prompt"] for line in lines]
    assert len(prompts) == 3
    # no crystal is shown to the prompt that asks for it
    for name, prompt in zip(metrics["material_ids"], prompts, strict=True):
        assert prompt.count(f"The chemical formula is {name.removeprefix('truth-')}.") == 1


def test_real_crystals(shared_data: Path) -> None:
    progress: list[str] = []

    def note(what: str, _done: int, _total: int | None) -> None:
        progress.append(what)

    result = conditional_benchmark(
        setting(shared_data / "mp_20_test.csv.gz", limit=10, constrain=False),
        generator=RecitingGenerator(),
        seed=5,
        progress=note,
    )
    assert len(result.material_ids) == result.evaluation.rates["match"].of == 10
    assert list(dict.fromkeys(progress)) == ["Read", "Generate", "Check", "Match"]


def test_match_rates_are_told_apart_by_the_template_in_the_pool(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = tmp_path / "pool.csv"
    lithium = ROCK_SALT.replace("Na", "Li").replace("5.6", "5.1")
    with pool.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["material_id", "cif"], ["a", SGS.decode(lithium).to(fmt="cif")]])
    item = setting(
        dataset, kind="prediction", pool=str(pool), shots=1, strategy="CE",
        condition=("formula", "space_group"),
    )  # fmt: skip
    model = RecitingGenerator([ROCK_SALT, POTASSIUM_CHLORIDE, PEROVSKITE])
    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: model)
    document, _ = run_setting(item, 0)
    apart = document.metrics["prediction_by"]
    # rock salt is in the pool, perovskite is not
    assert apart["template=yes"][0]["conditions"] == 2
    assert apart["template=no"][0]["conditions"] == 1

"""The benchmark commands: what they write, that they go on after a kill, and mistakes."""

from __future__ import annotations

import csv
import json
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from crystalicl_jobflow.benchmarks.stored_figures import stored_table
from crystalicl_jobflow.text import SGS
from reciting import PEROVSKITE, ROCK_SALT, RecitingGenerator

from .conftest import Run

POTASSIUM_CHLORIDE = ROCK_SALT.replace("Na", "K").replace("5.6", "6.4")
TRUTH = {"NaCl": ROCK_SALT, "KCl": POTASSIUM_CHLORIDE, "CaTiO3": PEROVSKITE}
ARGUMENTS = ("--limit", 3, "--no-constrain", "--max-redraws", 0)


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a CSV of three crystals."""
    path = tmp_path_factory.mktemp("dataset") / "truth.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        for name, text in TRUTH.items():
            writer.writerow([name, SGS.decode(text).to(fmt="cif")])
    return path


class Dying(RecitingGenerator):
    """Dies at its second call, as a killed process does."""

    def generate(self, *arguments: Any, **options: Any) -> Any:
        if len(self.calls) == 1:
            raise KeyboardInterrupt
        return super().generate(*arguments, **options)


def load(monkeypatch: pytest.MonkeyPatch, generator: RecitingGenerator) -> RecitingGenerator:
    monkeypatch.setattr("crystalicl_jobflow.generation.load_generator", lambda *_a, **_o: generator)
    return generator


def read(folder: Path) -> dict[str, Any]:
    document = json.loads((folder / "metrics.json").read_text())
    assert isinstance(document, dict)
    return document


def test_prediction_tells_the_match_rate_of_one_to_n_samples(
    run: Callable[..., Any], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, RecitingGenerator([ROCK_SALT, PEROVSKITE]))
    out = tmp_path / "run"
    done = run("benchmark", "prediction", "--dataset", dataset, "--n", 8, *ARGUMENTS, "--out", out)
    assert done.exit_code == 0, done.output
    metrics = read(out)
    rows = metrics["prediction"]
    assert [row["n"] for row in rows] == list(range(1, 9))
    matched = [row["matched"] for row in rows]
    assert matched == sorted(matched)
    # rock salt and perovskite are written sooner or later, potassium chloride never
    assert matched[-1] == 2
    assert {row["conditions"] for row in rows} == {3}
    # ranked, each of the two is the only crystal of its formula or of its group: the first
    ranked = metrics["prediction_ranked"]
    assert [row["matched"] for row in ranked] == [2] * 8
    assert ranked[-1] == rows[-1]
    # two conditions have two elements, one has three; there is no pool to have a template
    apart = metrics["prediction_by"]
    assert {name: rows[-1]["conditions"] for name, rows in apart.items()} == {
        "elements=2": 2, "elements=3": 1, "template=no": 3,
    }  # fmt: skip
    assert [row["n"] for row in apart["elements=2"]] == [1, 8]
    assert sum(apart[f"elements={k}"][-1]["matched"] for k in (2, 3)) == 2
    (apart_ranked,) = metrics["prediction_ranked_split"].values()
    assert [row["matched"] for row in apart_ranked["template=no"]] == [2, 2]
    table = (out / "table.md").read_text()
    assert "match ranked at 1" in table
    assert "match ranked at 8" not in table
    # the first sample alone gives what the run of one sample gives
    first = tmp_path / "first"
    run("benchmark", "prediction", "--dataset", dataset, *ARGUMENTS, "--out", first)
    assert read(first)["prediction"] == rows[:1]
    assert "prediction_ranked" not in read(first)
    assert metrics["speed"]["tokens"] == sum(
        json.loads(line)["provenance"]["num_tokens"]
        for line in (out / "candidates.jsonl").read_text().splitlines()
    )


def test_the_table_has_a_column_for_each_number_of_samples_asked_for(
    run: Callable[..., Any], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, RecitingGenerator([ROCK_SALT, PEROVSKITE]))
    copy = tmp_path / "cspml_90.csv"
    copy.write_bytes(dataset.read_bytes())
    out = tmp_path / "run"
    asked = ("benchmark", "prediction", "--dataset", copy, "--condition", "formula", "--n", 10)
    assert run(*asked, "--top", "10,1,3", *ARGUMENTS, "--out", out).exit_code == 0
    (table,) = tables(out)
    names = [name for name in table["columns"] if name.startswith(("match_at", "match_ranked"))]
    ranked = ["match_ranked_at_1", "match_ranked_at_3"]
    assert names == ["match_at_1", "match_at_3", "match_at_10", *ranked]
    assert [row["label"] for row in table["published"]] == ["CSPML"]
    assert "CSPML's structures, unrelaxed" in (out / "table.md").read_text()


def test_lattice_constants_of_a_run_stand_beside_the_true_ones(
    run: Callable[..., Any],
    refused: Callable[..., str],
    dataset: Path,
    named: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    larger = ROCK_SALT.replace("5.6", "5.7")
    load(monkeypatch, RecitingGenerator([larger, larger]))
    asked = ("benchmark", "prediction", "--dataset", dataset, *ARGUMENTS)
    folders = [tmp_path / "zero-shot" / f"seed_{seed}" for seed in (0, 1)]
    for seed, folder in enumerate(folders):
        assert run(*asked, "--seed", seed, "--out", folder).exit_code == 0
    out = tmp_path / "lattice.json"
    words = ("benchmark", "lattice-constants", *folders, "--dataset")
    done = run(*words, dataset, "--out", out)
    assert done.exit_code == 0, done.output
    measured = json.loads(out.read_text())["measured"]
    # sodium chloride alone is matched, in both runs of the one row
    assert list(measured) == ["zero-shot"]
    errors = measured["zero-shot"]["all"]
    assert (errors["crystals"], errors["r2"]) == (2, None)
    assert errors["mae"] == pytest.approx(0.1, abs=0.01)
    assert list(measured["zero-shot"]) == ["all", "AB-225"]
    assert stored_table(out).startswith("|  | crystals | number |")
    assert "asked for truth-NaCl, which" in refused(*words, named)  # the file by another name
    other = tmp_path / "other.csv"
    other.write_text(dataset.read_text() + "\n")
    assert "not of" in refused(*words, other)
    assert "holds no finished run" in refused(*words[:2], tmp_path, "--dataset", dataset)


def test_every_ranking_asked_for_has_its_match_rates_among_the_rates(
    run: Callable[..., Any], dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, RecitingGenerator([ROCK_SALT, PEROVSKITE]))
    out = tmp_path / "run"
    asked = ("benchmark", "prediction", "--dataset", dataset, "--n", 20, *ARGUMENTS, "--out")
    ranks = ("--rank", "evidence", "--rank", "-success,order")
    done = run(*asked, out, *ranks)
    assert done.exit_code == 0, done.output
    metrics = read(out)
    rates = metrics["rates"]
    assert rates["match_ranked_at_1"] == {"rate": 2 / 3, "count": 2, "of": 3}
    assert rates["match_ranked_at_20"]["count"] == metrics["prediction"][-1]["matched"]
    assert rates["match_ranked_evidence_at_1"] == rates["match_ranked_at_1"]
    # what does not meet the condition first
    assert rates["match_ranked_-success,order_at_1"]["count"] == 0
    assert "by evidence" in (out / "table.md").read_text()
    # one ranking needs no name of its own
    one = tmp_path / "one"
    assert run(*asked, one, "--rank", "evidence").exit_code == 0
    assert [name for name in read(one)["rates"] if "ranked" in name] == [
        "match_ranked_at_1",
        "match_ranked_at_20",
    ]


def test_substitution_stands_beside_what_is_measured_with_a_pool(
    run: Callable[..., Any], named: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    asked = ("benchmark", "prediction", "--dataset", named, "--pool", named, "--n", 2, *ARGUMENTS)
    assert run(*asked, "--out", out).exit_code == 0
    (table,) = tables(out)
    labels = [row["label"] for row in table["rows"]]
    assert labels[1:] == ["element substitution"]
    metrics = read(out)  # the files of the run itself lie where they lie without the other row
    assert metrics["identity"]["base"] != "substitution"
    other = read(out / "element-substitution" / "seed_0")
    assert other["identity"]["base"] == "substitution"
    assert other["rates"]["match_ranked_at_1"]["of"] == 3
    # the pool holds all three, though they are not shown
    assert other["prediction_by"]["in_pool=yes"][-1]["conditions"] == 3
    assert "in_pool=no" not in other["prediction_by"]
    alone = tmp_path / "alone"
    assert run(*asked, "--no-baseline", "--out", alone).exit_code == 0
    assert len(tables(alone)[0]["rows"]) == 1


@pytest.mark.parametrize("command", ["prediction", "conditional"])
def test_a_killed_run_goes_on(
    command: str,
    run: Callable[..., Any],
    dataset: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("crystalicl_jobflow.benchmarks.sample_texts.part_size", lambda *_a, **_o: 1)
    asked = ("benchmark", command, "--dataset", dataset, "--shots", 0, *ARGUMENTS)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    load(monkeypatch, RecitingGenerator())
    assert run(*asked, "--out", whole).exit_code == 0

    load(monkeypatch, Dying())
    assert run(*asked, "--out", killed).exit_code != 0
    assert len(list((killed / "parts").iterdir())) == 1
    assert not (killed / "metrics.json").exists()
    second = load(monkeypatch, RecitingGenerator())
    assert run(*asked, "--out", killed).exit_code == 0
    assert len(second.calls) == 2  # the first of three parts was there
    assert not (killed / "parts").exists()

    def results(folder: Path) -> Any:
        metrics = read(folder)
        lines = [json.loads(line) for line in (folder / "candidates.jsonl").open()]
        return metrics["rates"], metrics["metrics"], [line["candidate_id"] for line in lines]

    assert results(killed) == results(whole)
    # and a finished run is not done again
    third = load(monkeypatch, RecitingGenerator())
    assert run(*asked, "--out", killed).exit_code == 0
    assert third.calls == []


def test_a_folder_of_another_run_is_refused(
    run: Callable[..., Any], refused: Callable[..., str], dataset: Path, tmp_path: Path
) -> None:
    asked = ("benchmark", "prediction", "--dataset", dataset, *ARGUMENTS, "--out", tmp_path / "r")
    assert run(*asked).exit_code == 0
    before = (tmp_path / "r" / "metrics.json").read_text()
    assert "seed: 0 there, 1 now" in refused(*asked, "--seed", 1)
    assert (tmp_path / "r" / "metrics.json").read_text() == before


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--condition", "colour"), "cannot ask for 'colour'"),
        (("--condition", "band_gap"), "has no band_gap"),
        (("--n", "0"), "--n"),
        (("--n", "5", "--top", "1,6"), "--top 1,6: give numbers from 1 to --n 5"),
        (("--n", "5", "--top", "best"), "--top best: give numbers from 1 to --n 5"),
        (("--rank", "beauty"), "no ranking 'beauty'; there are success"),
        (("--min-distance", "1", "--no-constrain"), "--min-distance has no effect"),
    ],
)
def test_mistakes(
    arguments: tuple[str, ...],
    said: str,
    refused: Callable[..., str],
    dataset: Path,
    tmp_path: Path,
) -> None:
    words = ("benchmark", "prediction", "--dataset", dataset, *arguments, "--out", tmp_path / "r")
    assert said in refused(*words)
    assert not (tmp_path / "r").exists()


def test_a_missing_data_set_is_one_line(refused: Callable[..., str], tmp_path: Path) -> None:
    words = ("benchmark", "prediction", "--dataset", tmp_path / "no.csv", "--out", tmp_path / "r")
    assert "no.csv" in refused(*words)


def tables(folder: Path) -> list[dict[str, Any]]:
    document = json.loads((folder / "table.json").read_text())
    assert isinstance(document, list)
    return document


@pytest.fixture(scope="session")
def named(dataset: Path) -> Path:
    """Return the same crystals under a name that says which data set they are of."""
    path = dataset.parent / "mp_20_tiny.csv"
    path.write_bytes(dataset.read_bytes())
    return path


def test_repeats_give_mean_and_standard_deviation_beside_the_published_rows(
    run: Callable[..., Any], named: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    done = run(
        "benchmark", "conditional", "--dataset", named, "--pool", named, "--shots", "0,1",
        "--repeats", 3, "--seed", 5, "--label", "Reciter", *ARGUMENTS, "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    success, realism = tables(out)
    assert [row["label"] for row in success["rows"]] == [
        "Reciter (SGS) 0-shot",
        "Reciter (SGS) 1-shot",
        "element substitution",
    ]
    for row, slug in zip(
        success["rows"][:2], ("reciter-sgs-0-shot", "reciter-sgs-1-shot"), strict=True
    ):
        runs = [read(out / slug / f"seed_{seed}") for seed in (5, 6, 7)]
        assert [metrics["seed"] for metrics in runs] == [5, 6, 7]
        rates = [metrics["rates"]["space_group"]["rate"] for metrics in runs]
        assert row["mean"]["space_group"] == pytest.approx(statistics.mean(rates))
        assert row["std"]["space_group"] == pytest.approx(statistics.stdev(rates))
        assert (row["runs"], row["missing_runs"]) == (3, 0)
    assert {row["data_set"] for row in success["published"]} == {"mp_20"}
    words = (out / "table.md").read_text()
    assert "| CrystalICL (SGS) 3-shot | 0.887 ± 0.008 | 0.991 ± 0.003 |" in words
    assert "CrystalICL, table 1" in words
    assert realism["columns"] == ["overlap", "symmetry_adherence"]
    assert "0.029 ± 0.006" in words


def test_predicted_properties_are_judged_and_named(
    run: Callable[..., Any], tmp_path: Path, dataset: Path
) -> None:
    with_energies = tmp_path / "mp_20_energies.csv"
    with dataset.open(newline="") as file, with_energies.open("w", newline="") as out_file:
        writer = csv.writer(out_file)
        for number, row in enumerate(csv.reader(file)):
            extra = ["formation_energy_per_atom", "band_gap"] if number == 0 else ["-2.0", "5.0"]
            writer.writerow([*row, *extra])
    out = tmp_path / "run"
    done = run(
        "benchmark", "conditional", "--dataset", with_energies, "--shots", 0,
        "--condition", "paper", "--predictor", "formation_energy_per_atom=trees",
        "--predictor", "band_gap=trees", *ARGUMENTS, "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    success, realism = tables(out)
    assert "formation_energy_per_atom" in success["columns"]
    assert "negative_formation_energy" in realism["columns"]
    assert any("formation energy per atom by trees" in note for note in success["notes"])
    rate = read(out)["rates"]["negative_formation_energy"]
    assert rate["of"] == 3


def test_unconditional_compares_sets(
    run: Callable[..., Any], named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, RecitingGenerator([ROCK_SALT, PEROVSKITE]))
    out = tmp_path / "run"
    done = run(
        "benchmark", "unconditional", "--dataset", named, "--samples", 70, "--known", named,
        "--no-constrain", "--max-redraws", 0, "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    metrics = read(out)
    rates = metrics["rates"]
    assert rates["valid"] == {"rate": 1.0, "count": 70, "of": 70}
    # two of the three crystals are written, again and again
    assert (rates["unique"]["count"], rates["novel"]["count"]) == (2, 0)
    # sodium chloride is near enough to cover potassium chloride
    assert (rates["coverage_recall"]["count"], rates["coverage_recall"]["of"]) == (3, 3)
    assert rates["coverage_precision"]["rate"] == 1.0
    assert metrics["condition"] is None
    (table,) = tables(out)
    assert {"coverage_recall", "wasserstein:density", "valid"} < set(table["columns"])
    # the published rates are those of the published code, each cut-off by itself
    assert "coverage_recall_separate" in table["columns"]
    assert all("coverage_recall_separate" in row["mean"] for row in table["published"])
    assert not any("coverage_recall" in row["mean"] for row in table["published"])
    assert [row["source"] for row in table["published"]] == ["CrystalICL, table 2"] * 6


def test_unconditional_without_the_count_of_different_crystals(
    run: Callable[..., Any], named: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(monkeypatch, RecitingGenerator([ROCK_SALT, PEROVSKITE]))
    asked = ("benchmark", "unconditional", "--dataset", named, "--samples", 8, "--coverage", "none",
             "--no-constrain", "--max-redraws", 0)  # fmt: skip
    out = tmp_path / "run"
    assert run(*asked, "--no-unique", "--out", out).exit_code == 0
    assert "unique" not in read(out)["rates"]
    assert read(out)["unique"] is False
    (table,) = tables(out)
    assert "unique" not in table["columns"]
    # the other setting is another run
    assert "unique" in run(*asked, "--out", out).output


def test_cross_domain_has_a_row_for_each_data_set(
    run: Callable[..., Any], named: Path, tmp_path: Path
) -> None:
    other = tmp_path / "perov_5_tiny.csv"
    other.write_bytes(named.read_bytes())
    out = tmp_path / "run"
    done = run(
        "benchmark", "cross-domain", "--pool", named, "--dataset", named, "--dataset", other,
        "--shots", 1, *ARGUMENTS, "--out", out,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    (table,) = tables(out)
    assert [row["data_set"] for row in table["rows"]] == ["mp_20", "perov_5"] * 2
    assert [row["label"] for row in table["rows"]][2:] == [
        "element substitution, mp_20",
        "element substitution, perov_5",
    ]
    assert any("figure 5: a drawing" in note for note in table["notes"])


@pytest.mark.parametrize(
    ("arguments", "labels", "source"),
    [
        (("--of", "strategies", "--strategies", "C,R", "--shots", "1"), ["C", "R"], "4"),
        (
            ("--of", "shots", "--strategies", "R", "--shots", "1,2"),
            ["1-shot R", "2-shot R"],
            "5",
        ),
        (
            (
                "--of",
                "models",
                "--variant",
                "all=embedded",
                "--variant",
                "only C=embedded,none",
                "--shots",
                "0",
            ),
            ["all, 0-shot", "only C, 0-shot"],
            "3",
        ),
    ],
)
def test_ablations(
    arguments: tuple[str, ...],
    labels: list[str],
    source: str,
    run: Callable[..., Any],
    named: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    asked = ("benchmark", "ablation", *arguments, "--dataset", named, "--pool", named)
    done = run(*asked, *ARGUMENTS, "--out", out)
    assert done.exit_code == 0, done.output
    (table,) = tables(out)
    assert [row["label"] for row in table["rows"]] == [*labels, "element substitution"]
    assert {row["source"] for row in table["published"]} == {f"CrystalICL, table {source}"}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("ablation", "--of", "strategies", "--strategies", "C,X"), "'X' is not one of"),
        (("ablation", "--of", "strategies", "--shots", "1,2"), "takes one number of --shots"),
        (("ablation", "--of", "models"), "needs a --variant"),
        (("ablation", "--of", "models", "--variant", "a"), "give NAME=MODEL[,ADAPTER]"),
        (("ablation", "--of", "shots", "--variant", "a=b"), "--variant has an effect with"),
        (("conditional", "--shots", "6"), "give numbers from 0 to 5"),
        (("conditional", "--predictor", "colour=red"), "give PROPERTY=NAME"),
        (("conditional", "--predictor", "band_gap=magic"), "magic"),
        (("unconditional", "--coverage", "mp-99"), "mp_99"),
    ],
)
def test_mistakes_in_suites(
    arguments: tuple[str, ...], said: str, refused: Callable[..., str], named: Path, tmp_path: Path
) -> None:
    words = ("benchmark", *arguments, "--dataset", named, "--out", tmp_path / "r")
    assert said in refused(*words)
    assert not (tmp_path / "r").exists()


def test_masked_orbits_are_filled_and_counted(
    run: Run, refused: Callable[..., str], tmp_path: Path
) -> None:
    known, out = tmp_path / "known", tmp_path / "out"
    known.mkdir()
    SGS.decode(PEROVSKITE).to(filename=str(known / "CaTiO3.cif"))
    result = run(
        "benchmark", "infill", "--dataset", known, "--shots", 1, "--samples", 8, "--out", out
    )
    assert result.exit_code == 0, result.output
    found = json.loads((out / "infill.json").read_text())
    (row,) = found["rows"]
    assert row["parent_id"] == "CaTiO3"
    assert found["of"] == 1
    assert found["counts"]["the model, one of 8"] == any(row["draws"])
    assert "roomiest place" in result.stdout
    assert "1 of 1 crystals have several orbits" in result.stderr
    copper = tmp_path / "copper"
    copper.mkdir()
    SGS.decode("Fm-3m\n3.6 3.6 3.6\n90 90 90\nCu\n0.00 0.00 0.00").to(str(copper / "Cu.cif"))
    assert "no crystal has several orbits" in refused("benchmark", "infill", "--dataset", copper)

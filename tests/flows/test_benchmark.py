"""Benchmarks as Flows: the figures of a run in one process, parts that fail, resuming."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from crystalicl_jobflow.benchmarks import (
    BenchmarkSetting,
    RunFolder,
    conditional_suite,
    cross_domain_suite,
    prediction_suite,
    run_setting,
    unconditional_suite,
)
from crystalicl_jobflow.flows import BenchmarkFlowMaker
from crystalicl_jobflow.flows.benchmark import sample_benchmark
from crystalicl_jobflow.schemas import SamplingParams
from crystalicl_jobflow.schemas.benchmark import TablesDoc
from crystalicl_jobflow.text import SGS
from reciting import PEROVSKITE, ROCK_SALT, RecitingGenerator

TRUTH = {
    "NaCl": ROCK_SALT,
    "KCl": ROCK_SALT.replace("Na", "K").replace("5.6", "6.4"),
    "CaTiO3": PEROVSKITE,
}


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("dataset") / "mp_20_tiny.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["material_id", "cif"])
        for name, text in TRUTH.items():
            writer.writerow([name, SGS.decode(text).to(fmt="cif")])
    return str(path)


@pytest.fixture
def setting(dataset: str) -> BenchmarkSetting:
    return BenchmarkSetting(
        dataset=dataset, constrain=False, sampling=SamplingParams(max_redraws=0), pool=dataset
    )


def run(flow: Any) -> TablesDoc:
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(flow, store=store, ensure_success=False, log=False)
    tables = flow.output.resolve(store)
    assert isinstance(tables, TablesDoc)
    return tables


@pytest.mark.parametrize("kind", ["conditional", "prediction", "unconditional"])
def test_the_flow_gives_the_figures_of_one_process(
    kind: str, setting: BenchmarkSetting, reciting: RecitingGenerator
) -> None:
    if kind == "conditional":
        suite = conditional_suite(setting, shots=(0, 1))
    elif kind == "prediction":
        suite = prediction_suite(setting.model_copy(update={"samples": 4}))
    else:
        suite = unconditional_suite(setting.model_copy(update={"samples": 150}))
    tables = run(BenchmarkFlowMaker(repeats=2, seed=3, shard_size=1).make(suite)).tables
    rows = {row.label: row for row in tables[0].rows}
    assert list(rows) == [item.label for item in suite.settings]
    for item in suite.settings:
        alone = [run_setting(item, seed)[0].figures for seed in (3, 4)]
        row = rows[item.label]
        assert (row.runs, row.missing_runs) == (2, 0)
        assert (row.mean["seconds"] or 0) > 0  # no two runs are alike here
        for name in ("parsed", "structure_valid", *tables[0].columns):
            if name == "seconds":
                continue
            values = [figures[name] for figures in alone if figures[name] is not None]
            expected = sum(values) / len(values) if values else None
            assert row.mean[name] == pytest.approx(expected)


def test_parts_go_where_the_sampling_went(setting: BenchmarkSetting) -> None:
    flow = BenchmarkFlowMaker(shard_size=1).make(conditional_suite(setting, shots=(0,)))
    names = [item.name for item in flow.jobs]
    assert names == ["plan embedded (SGS) 0-shot, seed 0", "sample embedded (SGS) 0-shot, seed 0",
                     "tables"]  # fmt: skip
    run_of, _num_parts, plan = flow.jobs[1].function_args
    sample = sample_benchmark(run_of, 3, plan)
    sample.name = names[1]
    sample.config.manager_config = {"worker": "gpu"}
    store = JobStore(MemoryStore())
    store.connect()
    replaced = sample.run(store).replace.jobs
    assert [item.name for item in replaced] == [
        *(f"{names[1]} {part}/3" for part in (1, 2, 3)), names[1].replace("sample", "evaluate"),
    ]  # fmt: skip
    assert [item.config.manager_config for item in replaced] == [{"worker": "gpu"}] * 3 + [{}]
    # or the parent's worker would overwrite all of them
    assert not sample.config.pass_manager_config
    assert (replaced[-1].uuid, replaced[-1].index) == (sample.uuid, sample.index + 1)


def test_a_part_that_was_killed_goes_on_where_it_was(
    setting: BenchmarkSetting,
    reciting: RecitingGenerator,
    unfinished: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite = prediction_suite(setting.model_copy(update={"samples": 4}))

    def figures() -> list[dict[str, Any]]:
        (table,) = run(BenchmarkFlowMaker().make(suite)).tables
        names = [name for name in table.columns if name != "seconds"]
        return [{name: row.mean[name] for name in names} for row in table.rows]

    whole = figures()
    drawn: list[int] = []
    sample = RecitingGenerator._sample

    def dying(self: RecitingGenerator, *arguments: Any) -> Any:
        if len(drawn) == 7:
            raise KeyboardInterrupt
        drawn.append(1)
        return sample(self, *arguments)

    monkeypatch.setattr(RecitingGenerator, "_sample", dying)
    with pytest.raises(KeyboardInterrupt):
        figures()
    assert len(list(unfinished.iterdir())) == 1
    monkeypatch.setattr(RecitingGenerator, "_sample", sample)
    reciting.calls.clear()
    assert figures() == whole
    asked = sum(request.num_samples for call in reciting.calls for request in call)
    assert asked == 3 * 4 - 7
    assert list(unfinished.iterdir()) == []


def test_a_part_that_fails_costs_its_own_texts(
    setting: BenchmarkSetting, reciting: RecitingGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = reciting.generate

    def sometimes(requests: Any, *arguments: Any, **options: Any) -> Any:
        if "KCl" in requests[0].prompt:
            raise RuntimeError("no memory")
        return answer(requests, *arguments, **options)

    monkeypatch.setattr(reciting, "generate", sometimes)
    suite = conditional_suite(setting, shots=(0,))
    (row,) = run(BenchmarkFlowMaker(shard_size=1).make(suite)).tables[0].rows
    assert (row.runs, row.missing_parts) == (1, 1)


def test_a_run_that_fails_is_missed_in_the_table(
    setting: BenchmarkSetting, reciting: RecitingGenerator, tmp_path: Path
) -> None:
    suite = cross_domain_suite(setting, [setting.dataset, str(tmp_path / "no.csv")], shots=(0,))
    table = run(BenchmarkFlowMaker().make(suite)).tables[0]
    assert [(row.runs, row.missing_runs) for row in table.rows] == [(1, 0), (0, 1)]
    assert "1 runs are missing: their jobs failed." in table.notes


def test_a_flow_goes_on_from_its_folder(
    setting: BenchmarkSetting,
    reciting: RecitingGenerator,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    suite = conditional_suite(setting, shots=(0,))
    maker = BenchmarkFlowMaker(shard_size=1, folder=str(tmp_path / "run"))
    answer = reciting.generate

    def once(*arguments: Any, **options: Any) -> Any:
        if len(reciting.calls) == 2:
            raise RuntimeError("killed")
        return answer(*arguments, **options)

    monkeypatch.setattr(reciting, "generate", once)
    assert run(maker.make(suite)).tables[0].rows[0].missing_parts == 1
    monkeypatch.setattr(reciting, "generate", answer)
    (row,) = run(maker.make(suite)).tables[0].rows
    assert (row.runs, row.missing_parts) == (1, 0)
    assert len(reciting.calls) == 3  # the third part only
    # the third Flow writes nothing at all, and neither does the command's function
    assert run(maker.make(suite)).tables[0].rows[0].mean == row.mean
    (item,) = suite.settings
    place = tmp_path / "run" / item.slug / "seed_0"
    folder = RunFolder(place, item.identity(0))
    document, result = run_setting(item, 0, folder=folder)
    assert result is None
    assert document.figures == row.mean
    assert len(reciting.calls) == 3
    table = json.loads((tmp_path / "run" / "table.json").read_text())
    assert table[0]["rows"][0]["mean"] == row.mean
    assert "CrystalICL, table 1" in (tmp_path / "run" / "table.md").read_text()


@pytest.mark.parametrize("options", [{"repeats": 0}, {"shard_size": 0}, {"processes": 0}])
def test_mistakes(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be at least 1"):
        BenchmarkFlowMaker(**options)


def test_workers_need_neither_data_set_nor_pool(
    setting: BenchmarkSetting, reciting: RecitingGenerator, tmp_path: Path
) -> None:
    """Both are gone once the run is planned; the folder that is shared stays."""
    from crystalicl_jobflow.flows.benchmark import plan_benchmark, write_part

    own = tmp_path / "mp_20.csv"
    own.write_text(Path(setting.dataset).read_text())
    changed = setting.model_copy(update={"dataset": str(own), "pool": str(own), "shots": 1})
    run_of = {
        "setting": changed.model_dump(mode="json"), "seed": 0, "folder": str(tmp_path / "run"),
        "shard_size": 2, "processes": 1, "cache": None,
    }  # fmt: skip
    plan = plan_benchmark.original(run_of)
    assert (plan.num_parts, plan.num_texts) == (2, 3)
    own.unlink()
    part = write_part.original(run_of, 0, plan.parts[0])
    assert len(part.candidates) == 2
    assert all(item is not None for item in part.comparisons)
    assert len(reciting.calls) == 1
    assert write_part.original(run_of, 0, plan.parts[0]).candidates[0].text
    assert len(reciting.calls) == 1

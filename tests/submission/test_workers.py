"""Which worker runs which job, also of those that are made while the Flow runs."""

from __future__ import annotations

import gc
import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from jobflow import Flow, Job, JobStore, Maker, OnMissing, Response, job, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.benchmarks import BenchmarkSetting, conditional_suite
from crystalicl_jobflow.flows import (
    BenchmarkFlowMaker,
    CrystalGenerationFlowMaker,
    TrainFlowMaker,
)
from crystalicl_jobflow.jobs import GenerateMaker, RelaxMaker, RetrieveMaker, relax_each
from crystalicl_jobflow.submission.workers import (
    assign_workers,
    check_workers,
    step_functions,
    worker_of,
    workers_of,
)
from job_names import step

GPU = {"gres": "gpu:1", "time": "02:00:00"}
NACL = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


class Ran(list[tuple[str, dict[str, Any]]]):
    """Names of the jobs that ran, with their ``manager_config``."""

    def __getitem__(self, name: Any) -> Any:
        found = [config for known, config in self if known == name]
        assert len(found) == 1, f"{name}: {[known for known, _ in self]}"
        return found[0]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[[Flow], Ran]:
    """Run a Flow; what jobs make goes through JSON, as it does in a database."""
    ran = Ran()
    original = Job.run

    def recorded(self: Job, *args: Any, **kwargs: Any) -> Response[Any]:
        ran.append((step(self.name), self.config.manager_config))
        response = original(self, *args, **kwargs)
        if response.replace is not None:
            plain = jsanitize(response.replace.as_dict(), strict=True, enum_values=True)
            response.replace = MontyDecoder().process_decoded(plain)
        return response

    def go(flow: Flow) -> Ran:
        store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
        plain = jsanitize(flow.as_dict(), strict=True, enum_values=True)
        with monkeypatch.context() as patched:
            patched.setattr(Job, "run", recorded)
            run_locally(
                MontyDecoder().process_decoded(plain),
                store=store,
                raise_immediately=True,
                log=False,
            )
        return ran

    return go


@job
def crystals() -> list[Structure]:
    return [NACL, NACL]


@job
def chosen() -> list[dict[str, Any]]:
    return [{"candidate_id": name, "structure": NACL, "rank": 1} for name in "ab"]


def divided(**options: Any) -> CrystalGenerationFlowMaker:
    """The main Flow, divided into three shards."""
    return CrystalGenerationFlowMaker(
        retrieve_maker=RetrieveMaker(pool="prototypes", shots=0),
        generate_maker=GenerateMaker(num_samples=3, num_shards=3, constrain=False, **options),
    )


def test_shards_go_to_the_gpu_and_the_gathering_does_not(run, reciting):
    flow = divided().make({"formula": "CaTiO3"})
    assign_workers(
        flow,
        default="login",
        retrieval="database",
        generation="gpu",
        resources={"generation": GPU, "default": {"time": "00:10:00"}},
        exec_config={"generation": "cuda"},
        priority={"generation": 5},
    )
    ran = run(flow)
    for shard in ("generate", "generate 1/3", "generate 2/3", "generate 3/3"):
        assert ran[shard] == {
            "worker": "gpu", "resources": GPU, "exec_config": "cuda", "priority": 5
        }  # fmt: skip
    # nothing of the GPU's is left, or jobflow-remote would take it from the parent
    for other in ("gather generations", "validate", "evaluate"):
        assert ran[other]["worker"] == "login"
        assert ran[other]["resources"] == {"time": "00:10:00"}
        assert ran[other]["exec_config"] == {"export": {}}
    assert ran["retrieve"]["worker"] == "database"
    assert ran["retrieve"]["resources"] == {}


def test_a_gathering_can_wait_for_its_shards(run, reciting, monkeypatch):
    flow = assign_workers(divided().make({"formula": "CaTiO3"}), default="login")
    flow.update_config({"on_missing_references": OnMissing.ERROR}, name_filter="gather generations")
    seen = {}
    original = Job.resolve_args

    def noted(self: Job, *args: Any, **kwargs: Any) -> Any:
        seen[self.name] = self.config.on_missing_references
        return original(self, *args, **kwargs)

    monkeypatch.setattr(Job, "resolve_args", noted)
    run(flow)
    assert seen["gather generations"] == OnMissing.ERROR


def test_fireworks_knows_categories(run, reciting):
    flow = divided().make({"formula": "CaTiO3"})
    assign_workers(flow, "fireworks", generation="gpu", resources={"generation": {"ntasks": 1}})
    ran = run(flow)
    assert ran["generate 2/3"] == {"_category": "gpu", "_queueadapter": {"ntasks": 1}}
    for other in ("retrieve", "gather generations", "validate", "evaluate"):
        assert ran[other] == {}


def test_a_name_does_not_make_a_generation(run, reciting):
    maker = divided(name="write crystals")
    maker.validate_maker.name = "reports generate"
    flow = assign_workers(maker.make({"formula": "NaCl"}), default="login", generation="gpu")
    ran = run(flow)
    assert ran["write crystals 3/3"]["worker"] == "gpu"
    assert ran["reports generate"]["worker"] == "login"


def test_relaxations_do_not_stay_with_the_job_that_made_them(run):
    pytest.importorskip("atomate2")
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    first = crystals()
    relax = relax_each(first.output, ForceFieldRelaxMaker(force_field_name="CHGNet", steps=1))
    flow = assign_workers(
        Flow([first, relax]), default="login", generation="gpu", forcefield="cpu", vasp="cluster"
    )
    ran = run(flow)
    assert ran["relax each"]["worker"] == "login"
    assert [config["worker"] for name, config in ran if "Force field" in name] == ["cpu", "cpu"]
    assert ran["store_inputs"]["worker"] == "login"


@pytest.mark.parametrize("mode", ["together", "each"])
def test_what_relaxes_candidates_is_a_force_fields_job(run, mode):
    pytest.importorskip("atomate2")
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    first = chosen()
    maker = RelaxMaker(ForceFieldRelaxMaker(force_field_name="CHGNet", steps=2), mode=mode)
    flow = Flow([first, maker.make(first.output)])
    ran = run(assign_workers(flow, default="login", generation="gpu", forcefield="cpu"))
    relaxations = [config["worker"] for name, config in ran if name.startswith("relax")]
    assert relaxations == ["cpu"] * (1 if mode == "together" else 2)
    for other in ("chosen", "start forcefield", "gather forcefield"):
        assert ran[other]["worker"] == "login"


def test_other_packages_makers_are_told_by_the_name_of_their_step(run):
    first = chosen()
    flow = Flow([first, RelaxMaker(Halving(), mode="each").make(first.output)])
    ran = run(assign_workers(flow, default="login", vasp="cluster"))
    relaxations = [config["worker"] for name, config in ran if name.startswith("relax dft")]
    assert relaxations == ["cluster", "cluster"]
    assert ran["gather dft"]["worker"] == "login"


def test_another_packages_force_field_goes_to_the_force_fields_worker(run):
    first = chosen()
    maker = RelaxMaker(Halving(), stage="forcefield", mode="each")
    flow = Flow([first, maker.make(first.output)])
    ran = run(assign_workers(flow, default="login", forcefield="cpu", vasp="cluster"))
    relaxations = [config["worker"] for name, config in ran if name.startswith("relax forcefield")]
    assert relaxations == ["cpu", "cpu"]
    assert ran["gather forcefield"]["worker"] == "login"


def test_a_step_that_does_not_exist_is_refused():
    flow = CrystalGenerationFlowMaker().make({"formula": "CaTiO3"})
    with pytest.raises(TypeError, match="step 'generator' is not one of default, retrieval,"):
        assign_workers(flow, default="login", generator="gpu")


@dataclass
class Halving(Maker):
    """A Maker of nobody's package."""

    name: str = "halve"

    @job
    def make(self, structure: Structure) -> dict[str, Any]:
        return {"output": {"structure": structure, "energy_per_atom": -1.0}}


def test_vasp_jobs_go_to_the_cluster(run, monkeypatch):
    pytest.importorskip("atomate2")
    from atomate2.vasp.flows.core import DoubleRelaxMaker
    from emmet.core.tasks import TaskDoc

    first = crystals()
    flow = Flow([first, relax_each(first.output, DoubleRelaxMaker())])
    assign_workers(
        flow,
        default="login",
        forcefield="cpu",
        vasp="cluster",
        resources={"vasp": {"nodes": 2}},
    )
    # what VASP would do is of no matter here
    base = "atomate2.vasp.jobs.base"
    for name in ("write_vasp_input_set", "run_vasp", "copy_vasp_outputs", "gzip_output_folder"):
        monkeypatch.setattr(f"{base}.{name}", lambda *args, **kwargs: None)
    monkeypatch.setattr(f"{base}.should_stop_children", lambda *args, **kwargs: False)
    monkeypatch.setattr(
        f"{base}.get_vasp_task_document",
        lambda *args, **kwargs: TaskDoc.from_structure(NACL, calcs_reversed=[]),
    )
    ran = run(flow)
    vasp = [config for name, config in ran if name.startswith(("relax 1", "relax 2"))]
    assert len(vasp) == 4
    assert all((item["worker"], item["resources"]) == ("cluster", {"nodes": 2}) for item in vasp)
    assert ran["store_inputs"]["worker"] == "login"


def test_every_vasp_and_force_field_job_is_known():
    """Also those that have a ``make`` of their own."""
    pytest.importorskip("atomate2")
    from atomate2.forcefields.jobs import ForceFieldStaticMaker
    from atomate2.forcefields.md import ForceFieldMDMaker
    from atomate2.vasp.jobs.core import HSEBSMaker, StaticMaker
    from atomate2.vasp.jobs.mp import MPGGARelaxMaker
    from atomate2.vasp.jobs.mvl import MVLStaticMaker

    dft = [maker().make(NACL) for maker in (HSEBSMaker, StaticMaker, MPGGARelaxMaker)]
    dft.append(MVLStaticMaker().make(NACL, prev_dir="."))
    fields = [maker().make(NACL) for maker in (ForceFieldStaticMaker, ForceFieldMDMaker)]
    flow = Flow([*dft, *fields])
    assign_workers(flow, default="login", forcefield="cpu", vasp="cluster")
    assert {worker_of(item) for item in dft} == {"cluster"}
    assert {worker_of(item) for item in fields} == {"cpu"}
    assert len(step_functions("vasp")) == len(set(step_functions("vasp"))) >= 4


def test_a_maker_that_was_tried_beside_is_not_named_in_the_flow(tmp_path, monkeypatch):
    """Whoever reads the Flow, a server above all, could not import it."""
    pytest.importorskip("atomate2")
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    (tmp_path / "tried_beside.py").write_text(
        "from atomate2.forcefields.jobs import ForceFieldRelaxMaker\n"
        "class OwnMaker(ForceFieldRelaxMaker):\n"
        "    def make(self, structure, prev_dir=None):\n"
        "        return super().make(structure, prev_dir)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    own = importlib.import_module("tried_beside").OwnMaker
    monkeypatch.setattr(own, "__module__", "__main__")  # as in a notebook
    monkeypatch.setattr(own.make, "__module__", "__main__")
    for module, named in (("__main__", False), ("tried_beside", False), ("tried_beside", True)):
        monkeypatch.setattr(own, "__module__", module)
        monkeypatch.setattr(own.make, "__module__", module)
        relax = RelaxMaker(own() if named else ForceFieldRelaxMaker())
        flow = Flow([first := crystals(), relax.make(first.output)])
        assign_workers(flow, default="login", forcefield="cpu")
        filters = [
            update.get("function_filter") for item in flow.jobs for update in item.config_updates
        ]
        modules = {function.__module__ for function in filters if function}
        assert "atomate2.forcefields.md" in modules
        assert (module in modules) is named
    monkeypatch.undo()
    del own
    gc.collect()  # or later tests find the class


def test_training_and_its_trial():
    flow = TrainFlowMaker().make("prototypes", {"formula": "CaTiO3"})
    assign_workers(flow, default="login", training="a100", generation="gpu")
    assert [(item.name, worker_of(item)) for item in flow.jobs] == [
        ("instructions", "login"),
        ("train", "a100"),
        ("try zero-shot", "login"),
        ("card", "login"),
    ]
    trial = next(item for item in flow.jobs if item.name == "try zero-shot")
    assert not trial.config.pass_manager_config


def test_parts_of_a_benchmark_are_generations():
    suite = conditional_suite(BenchmarkSetting(dataset="rows.csv"), shots=(0,))
    flow = BenchmarkFlowMaker().make(suite)
    assign_workers(flow, "fireworks", generation="gpu")
    found = [(item.name.split()[0], worker_of(item, "fireworks")) for item in flow.jobs]
    assert found == [("plan", None), ("sample", "gpu"), ("tables", None)]


def test_names_are_for_what_no_step_covers():
    flow = CrystalGenerationFlowMaker().make({"formula": "CaTiO3"})
    assign_workers(
        flow,
        default="login",
        generation="gpu",
        names={"valid": "cpu"},
        resources={"valid": {"nodes": 1}},
    )
    checks = flow.jobs[2]
    assert checks.config.manager_config["worker"] == "cpu"
    assert checks.config.manager_config["resources"] == {"nodes": 1}
    assert workers_of(flow) == ["cpu", "gpu", "login"]


def test_the_last_assignment_counts():
    flow = CrystalGenerationFlowMaker().make({"formula": "CaTiO3"})
    assign_workers(flow, default="old", generation="older", resources={"generation": GPU})
    assign_workers(flow, default="new", generation="gpu")
    assert [worker_of(item) for item in flow.jobs] == ["new", "gpu", "new", "new"]
    assert flow.jobs[1].config.manager_config["resources"] == {}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"manager": "slurm", "default": "a"}, "manager 'slurm' is not one of"),
        ({"generation": "gpu"}, "needs a default worker"),
        ({"default": "a", "resources": {"gpu": {}}}, "resources of 'gpu'"),
        (
            {"manager": "fireworks", "exec_config": {"generation": "cuda"}},
            "FireWorks has no exec_config",
        ),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(options, said):
    flow = CrystalGenerationFlowMaker().make({"formula": "CaTiO3"})
    with pytest.raises(ValueError, match=said) as error:
        assign_workers(flow, **options)
    assert "\n" not in str(error.value)


def test_a_worker_the_project_does_not_have(tmp_path, monkeypatch):
    pytest.importorskip("jobflow_remote")
    (tmp_path / "materials.yaml").write_text(
        "name: materials\n"
        "queue: {store: {type: MemoryStore}}\n"
        f"workers: {{login: {{type: local, scheduler_type: shell, work_dir: {tmp_path}}}}}\n",
        encoding="utf-8",
    )
    monkeypatch.setattr("jobflow_remote.SETTINGS.projects_folder", str(tmp_path))
    flow = CrystalGenerationFlowMaker().make({"formula": "CaTiO3"})
    check_workers(assign_workers(flow, default="login"), "materials")
    with pytest.raises(ValueError, match="no worker gpu; it has login"):
        check_workers(assign_workers(flow, default="login", generation="gpu"), "materials")
    with pytest.raises(ValueError, match="other") as error:
        check_workers(flow, "other")
    assert "\n" not in str(error.value)


PAGE = Path(__file__).resolve().parents[2] / "docs" / "workers.md"


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    """Run where the files that force fields write are in nobody's way."""
    monkeypatch.chdir(tmp_path)


def documented() -> list[dict[str, Any]]:
    """The configuration files on the page about workers."""
    text = PAGE.read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


def test_the_documented_project_has_the_workers_of_the_example():
    pytest.importorskip("jobflow_remote")
    from jobflow_remote.config.base import Project

    project = Project.model_validate(next(item for item in documented() if "queue" in item))
    assert set(project.workers) == {"login", "gpu", "cluster"}
    assert "data" in project.get_jobstore().additional_stores
    assert project.exec_config["cuda"].export == {"HF_HUB_OFFLINE": "1"}


def test_the_documented_workers_of_fireworks_take_their_jobs():
    fireworks = pytest.importorskip("fireworks")
    files = [item for item in documented() if "category" in item]
    gpu, login = [fireworks.FWorker.from_dict(item) for item in files]
    assert gpu.query["spec._category"] == "gpu"
    assert login.query["spec._category"] == {"$exists": False}
    stores = next(item for item in documented() if "JOB_STORE" in item)
    assert "data" in JobStore.from_dict_spec(stores["JOB_STORE"]).additional_stores

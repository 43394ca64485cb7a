"""RelaxMaker: what it takes, how it divides the work, what it refuses."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from typing import Any

import pytest
from jobflow import Flow, Job, JobStore, Maker, OnMissing, job, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.jobs import RelaxMaker
from crystalicl_jobflow.schemas.discovery import ChosenCrystal
from crystalicl_jobflow.schemas.stored_candidate import RelaxDoc

ase_jobs = pytest.importorskip("atomate2.ase.jobs")


def chosen(*metals: tuple[str, float]) -> list[ChosenCrystal]:
    return [
        ChosenCrystal(
            candidate_id=f"{element}-{rank}",
            formula_pretty=element,
            structure=Structure.from_spacegroup(
                "Fm-3m", Lattice.cubic(a), [element], [[0, 0, 0]]
            ).get_primitive_structure(),
            rank=rank,
        )
        for rank, (element, a) in enumerate(metals, start=1)
    ]


def relax(maker: RelaxMaker, crystals: Any, **given: Any) -> tuple[RelaxDoc, list[str]]:
    """Return what the relaxation says, and the names of all jobs that ran."""
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    made = maker.make(crystals, **given)
    run_locally(made, store=store, log=False)
    names = [item["name"] for item in store.query(properties=["name"])]
    return made.output.resolve(store), names


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


METALS = chosen(("Cu", 3.7), ("Al", 4.1), ("Au", 4.2), ("Ni", 3.6), ("Pd", 4.0))


@dataclass
class Hanging(ase_jobs.EmtRelaxMaker):
    """Never ends with gold, and ends its process with nickel."""

    name: str = "hanging"

    @job
    def make(self, structure: Structure) -> Any:
        if structure[0].specie.symbol == "Au":
            time.sleep(3600)
        if structure[0].specie.symbol == "Ni":
            os._exit(1)
        return ase_jobs.EmtRelaxMaker.make.original(self, structure)


def test_a_relaxation_that_hangs_or_crashes_costs_itself_only():
    maker = RelaxMaker(Hanging(steps=200), max_seconds=20)
    document, _ = relax(maker, METALS)
    found = {item.candidate_id: item for item in document.relaxations}
    assert [item for item in found.values() if item.failure_reason is None] == [
        found[name] for name in ("Cu-1", "Al-2", "Pd-5")
    ]
    assert found["Au-3"].failure_reason == "timed_out"
    assert found["Au-3"].failure_message == "The relaxation took longer than 20 s."
    assert found["Ni-4"].failure_reason == "model_failed"
    assert found["Ni-4"].failure_message == "The relaxation ended its process."
    assert all(item.converged for item in found.values() if item.failure_reason is None)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_seconds": 0}, "max_seconds must be above 0"),
        ({"max_seconds": 9, "mode": "each"}, "max_seconds is for mode together"),
    ],
)
def test_a_time_limit_that_cannot_be_kept_is_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        RelaxMaker(ase_jobs.EmtRelaxMaker(), **settings)


@pytest.mark.parametrize(
    ("settings", "names"),
    [
        ({}, ["relax forcefield 1/1"]),
        ({"batch_size": 2}, [f"relax forcefield {number}/3" for number in (1, 2, 3)]),
        (
            {"mode": "each"},
            [f"relax forcefield {number}/5: EMT relaxation" for number in range(1, 6)],
        ),
        (
            {"mode": "list", "batch_size": 3},
            [f"relax forcefield {number}/2: EMT relaxation" for number in (1, 2)],
        ),
        ({"stage": "pressing"}, ["relax pressing 1/1"]),
    ],
    ids=str,
)
def test_the_work_is_divided_and_the_results_are_the_same(settings, names):
    maker = RelaxMaker(ase_jobs.EmtRelaxMaker(steps=200), **settings)
    document, ran = relax(maker, METALS)
    assert sorted(ran) == sorted([maker.name, f"gather {maker.stage}", *names])
    assert [item.candidate_id for item in document.relaxations] == [
        item.candidate_id for item in METALS
    ]
    assert (document.num_candidates, document.num_converged, document.num_failed) == (5, 5, 0)
    assert len(document.structures) == 5
    plain, _ = relax(RelaxMaker(ase_jobs.EmtRelaxMaker(steps=200)), METALS)
    for one, other in zip(document.relaxations, plain.relaxations, strict=True):
        assert one.energy_per_atom == pytest.approx(other.energy_per_atom, abs=1e-6)


def test_a_job_that_was_killed_relaxes_only_what_is_missing(monkeypatch, unfinished, caplog):
    original = ase_jobs.EmtRelaxMaker.run_ase
    relaxed: list[str] = []

    def dying(self, mol_or_struct, *rest, **options):
        if len(relaxed) == lives:
            raise KeyboardInterrupt
        relaxed.append(mol_or_struct.reduced_formula)
        return original(self, mol_or_struct, *rest, **options)

    def launch() -> RelaxDoc:
        return relax(RelaxMaker(ase_jobs.EmtRelaxMaker(steps=200)), METALS)[0]

    whole = launch()
    assert (whole.num_resumed, list(unfinished.iterdir())) == (0, [])
    monkeypatch.setattr(ase_jobs.EmtRelaxMaker, "run_ase", dying)
    lives = 3
    with pytest.raises(KeyboardInterrupt):
        launch()
    (file,) = unfinished.iterdir()
    lives, relaxed[:] = 9, []
    # another relaxation finds nothing there
    other = relax(RelaxMaker(ase_jobs.EmtRelaxMaker(steps=100)), METALS)[0]
    assert (other.num_resumed, len(relaxed), file.exists()) == (0, 5, True)
    relaxed.clear()
    with caplog.at_level("INFO", logger="crystalicl_jobflow"):
        again = launch()
    assert "3 of 5 crystals are relaxed" in caplog.text
    assert relaxed == ["Ni", "Pd"]
    assert (again.num_resumed, list(unfinished.iterdir())) == (3, [])
    for one, whole_one in zip(again.relaxations, whole.relaxations, strict=True):
        same = {"source_uuid": None, "dir_name": None}
        assert one.model_copy(update=same) == whole_one.model_copy(update=same)


def test_nothing_to_relax_is_an_empty_document():
    document, names = relax(RelaxMaker(ase_jobs.EmtRelaxMaker()), [])
    assert (document.num_candidates, names) == (0, ["start forcefield"])


def test_the_summary_of_a_force_field_says_why_there_is_no_hull():
    document, _ = relax(
        RelaxMaker(ase_jobs.EmtRelaxMaker(steps=200)), METALS[:1], known=[METALS[1].structure]
    )
    assert document.hull == "none: no energy model is known for emt"
    assert document.relaxations[0].energy_above_hull is None


def test_each_level_has_its_name():
    vasp = pytest.importorskip("atomate2.vasp.flows.core")
    maker = RelaxMaker(vasp.DoubleRelaxMaker())
    assert (maker.name, maker.stage, maker.level) == ("start dft", "dft", "dft")
    maker = RelaxMaker(vasp.DoubleRelaxMaker(), stage="forcefield")
    assert (maker.name, maker.level) == ("start forcefield", "forcefield")


def test_vasp_is_told_to_leave_what_did_not_converge():
    vasp = pytest.importorskip("atomate2.vasp.flows.core")
    own = vasp.DoubleRelaxMaker()
    for keep, setting in ((True, {"handle_unsuccessful": False}), (False, {})):
        (flow,), _ = RelaxMaker(own, keep_unconverged=keep)._relaxations(METALS[:1])
        assert isinstance(flow, Flow)
        assert [item.maker.stop_children_kwargs for item in flow.jobs] == [setting] * 2
        # the child of a job that failed runs into its own end, and holds up nothing
        assert {item.config.on_missing_references for item in flow.jobs} == {OnMissing.NONE}
        # only the last one speaks for the candidate
        assert [item.metadata.get("candidate_id") for item in flow.jobs] == [None, "Cu-1"]
    assert own.relax_maker1.stop_children_kwargs == {}


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"mode": "all"}, ValueError, "mode 'all' is not one of auto, each, together, list"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"relax_maker": "CHGNet"}, TypeError, "str is no Maker: it has no make()"),
    ],
)
def test_a_mistake_is_one_line(settings, error, said):
    with pytest.raises(error) as caught:
        RelaxMaker(**{"relax_maker": ase_jobs.EmtRelaxMaker(), **settings})
    assert str(caught.value) == said


@job
def _energies(structure: Structure) -> dict[str, float]:
    return {"energy": 0.0}


@dataclass
class SeveralOutputs(Maker):
    """A Maker whose Flow has no one output."""

    name: str = "several"

    def make(self, structure: Structure) -> Flow:
        jobs: list[Job] = [_energies(structure), _energies(structure)]
        return Flow(jobs, output=[item.output for item in jobs], name=self.name)


@job
def _strange(structure: Structure) -> dict[str, Any]:
    if structure.formula.startswith("Cu"):
        return {"output": {"structure": structure, "energy_per_atom": "low"}}
    if structure.formula.startswith("Al"):
        return {"crystal": structure, "energies": [-3.0], "ok": True}
    return {"structure": structure, "energy": -3.0 * len(structure), "dir_name": "here"}


@dataclass
class StrangeMaker(Maker):
    """A user's own Maker, whose documents are not those of atomate2."""

    name: str = "strange"

    def make(self, structure: Structure) -> Job:
        return _strange(structure)


def test_a_maker_of_ones_own_is_recorded_under_its_own_name():
    document, _ = relax(RelaxMaker(StrangeMaker()), METALS[2:3])
    (found,) = document.relaxations
    assert (found.level, found.method, found.counts) == ("custom", "StrangeMaker", True)
    assert found.energy_per_atom == pytest.approx(-3.0)
    assert found.dir_name == "here"
    assert document.hull == "none: no energy model is known for StrangeMaker"


def test_an_output_that_is_not_what_was_expected_costs_no_other_and_says_what_was():
    document, _ = relax(RelaxMaker(StrangeMaker()), METALS[:3])
    first, second, third = document.relaxations
    assert {item.failure_reason for item in (first, second)} == {"unexpected_output"}
    assert {item.level for item in (first, second)} == {"custom"}
    assert "could not convert string to float" in first.failure_message
    assert second.failure_message == (
        "StrangeMaker returned a mapping with crystal, energies, ok; expected fields: structure,"
        " and energy (eV) or energy_per_atom (eV/atom)."
    )
    assert first.source_uuid
    assert third.failure_reason is None


def test_a_maker_of_several_outputs_is_refused():
    with pytest.raises(TypeError, match="SeveralOutputs is no relaxation: its output is not that"):
        RelaxMaker(SeveralOutputs())


def test_what_is_no_candidate_is_told():
    with pytest.raises(ValueError, match="Structure is no candidate; relax candidates"):
        RelaxMaker(ase_jobs.EmtRelaxMaker()).make.original(
            RelaxMaker(ase_jobs.EmtRelaxMaker()), [METALS[0].structure]
        )

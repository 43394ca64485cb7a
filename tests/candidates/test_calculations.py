"""A candidate's other jobs are kept as what they are, and never taken for its relaxation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore
from pymatgen.core import Structure

from crystalicl_jobflow.candidates import (
    CandidateBuilder,
    find_documents,
    open_candidate_store,
    read_document,
)
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.jobs import RelaxMaker, ValidateMaker
from crystalicl_jobflow.jobs._inputs import as_retrievals
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.schemas.stored_candidate import CandidateDoc
from crystalicl_jobflow.validation.validate import build_candidates
from reciting import ROCK_SALT, RecitingGenerator

RELAXED = -3.4


@pytest.fixture(scope="module")
def generations() -> list:
    return generate_for_retrievals(
        as_retrievals({"formula": "NaCl"}), RecitingGenerator([ROCK_SALT]), constrain=False
    )


@pytest.fixture(scope="module")
def candidate(generations) -> Candidate:
    (found,) = build_candidates(generations)
    return found


@pytest.fixture
def job_store(generations) -> JobStore:
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    made = ValidateMaker().make(generations)
    run_locally(Flow([made]), store=store, ensure_success=True, log=False)
    return store


def collected(store: JobStore) -> CandidateDoc:
    target = open_candidate_store("memory:")
    CandidateBuilder(store, target).run()
    (document,) = find_documents(target)
    return read_document(document)


class TestPlayed:
    """Documents as VASP and force fields leave them, each later than the relaxation."""

    @pytest.fixture
    def add(self, job_store, candidate) -> Callable[..., None]:
        def added(name: str, output: Any, *, at: int, metadata: dict | None = None) -> None:
            job_store.update(
                {"uuid": name, "index": 1, "name": name, "completed_at": f"2026-01-01T00:{at:02d}",
                 "metadata": {"candidate_id": candidate.candidate_id, **(metadata or {})},
                 "hosts": ["flow"], "output": output}
            )  # fmt: skip

        added("relax", vasp("Structure Optimization", candidate.structure), at=1)
        return added

    def test_nothing_else_replaces_the_relaxed_energy(self, job_store, candidate, add):
        crystal = candidate.structure
        strained = crystal.copy().apply_strain(0.01, inplace=False)
        given = {
            "line": vasp("NSCF Line", crystal, energy=-9.0),
            "strained": vasp("Deformation", strained, energy=-9.0),
            "hse": vasp("Static", crystal, run_type="HSE06", energy=-9.0),
            "strained static": vasp("Static", strained, energy=-9.0),
            "ff static": force_field(crystal, steps=1, relax_cell=False),
            "elastic": {"@module": "atomate2.common.schemas.elastic", "@class": "ElasticDocument",
                        "structure": crystal.as_dict()},
            "deformations": [[[1, 0, 0], [0, 1, 0], [0, 0, 1.01]]] * 24,
            "fan-out": None,
        }  # fmt: skip
        for at, (name, output) in enumerate(given.items(), start=2):
            add(name, output, at=at)
        document = collected(job_store)
        assert document.energy_per_atom == RELAXED
        assert document.energy_method == "VASP GGA"
        assert document.is_relaxed is True
        assert [item.origin.job_uuid for item in document.relaxations] == ["relax"]
        kinds = {item.name: (item.task_type, item.method) for item in document.calculations}
        assert kinds == {
            "line": ("NSCF Line", "VASP GGA"),
            "strained": ("Deformation", "VASP GGA"),
            "hse": ("Static", "VASP HSE06"),
            "strained static": ("Static", "VASP GGA"),
            "ff static": ("Static", "MLFF.CHGNet 0.4.2"),
            "elastic": ("ElasticDocument", ""),
            "deformations": ("", ""),
        }
        energies = {item.name: item.energy_per_atom for item in document.calculations}
        assert (energies["line"], energies["elastic"]) == (-9.0, None)
        assert {item.origin.name for item in document.calculations} == {"calculate"}

    def test_a_static_of_the_relaxed_cell_by_the_same_functional_does(
        self, job_store, candidate, add
    ):
        add("static", vasp("Static", candidate.structure, energy=-3.42), at=2)
        document = collected(job_store)
        assert document.energy_per_atom == -3.42
        assert document.energy_method == "VASP GGA"
        assert document.relaxations[0].energy_per_atom == RELAXED
        assert [item.task_type for item in document.calculations] == ["Static"]

    def test_what_the_output_was_tagged_with_is_kept(self, job_store, candidate, add):
        add("static", vasp("Static", candidate.structure, tags=["dense"]), at=2,
            metadata={"campaign": 3})  # fmt: skip
        document = collected(job_store)
        assert (document.tags, document.metadata) == (["dense"], {"campaign": 3})

    def test_a_makers_own_document_is_a_relaxation_where_the_job_says_so(
        self, job_store, candidate, add
    ):
        output = {"structure": candidate.structure.as_dict(), "energy": -40.0, "converged": True}
        add("quantum", output, at=2)
        assert [item.name for item in collected(job_store).calculations] == ["quantum"]
        job_store.remove_docs({"uuid": "quantum"})
        add("quantum", output, at=2, metadata={"relax_maker": "QuantumMaker"})
        custom = collected(job_store).relaxations[-1]
        assert (custom.level, custom.method, custom.counts) == ("custom", "QuantumMaker", True)

    def test_one_result_that_cannot_be_read_costs_no_other(self, job_store, candidate):
        good = vasp("Structure Optimization", candidate.structure)
        broken = {**good, "output": {"structure": {"lattice": 1}, "energy_per_atom": -1.0}}
        name = candidate.candidate_id
        job_store.update(
            {"uuid": "list", "index": 1, "name": "list", "completed_at": "2026", "hosts": [],
             "metadata": {"candidate_ids": ["other", name]}, "output": [broken, good]}
        )  # fmt: skip
        target = open_candidate_store("memory:")
        CandidateBuilder(job_store, target).run()
        found = {item["candidate_id"]: item for item in find_documents(target)}
        assert found[name]["energy_per_atom"] == RELAXED
        assert found["other"]["relaxations"][0]["failure_reason"] == "unexpected_output"


def vasp(
    task_type: str, structure: Structure, *, run_type: str = "GGA", energy: float = RELAXED, **more
) -> dict[str, Any]:
    return {
        "@module": "emmet.core.tasks", "@class": "TaskDoc", "task_type": task_type,
        "run_type": run_type, "state": "successful", "structure": structure.as_dict(),
        "output": {"structure": structure.as_dict(), "energy_per_atom": energy}, **more,
    }  # fmt: skip


def force_field(structure: Structure, **given: Any) -> dict[str, Any]:
    settings = {"relax_kwargs": {}, "optimizer_kwargs": {}, "relax_shape": False, **given}
    return {
        "@module": "atomate2.forcefields.schemas", "@class": "ForceFieldTaskDocument",
        "forcefield_name": "MLFF.CHGNet", "forcefield_version": "0.4.2", "input": settings,
        "output": {"structure": structure.as_dict(), "energy_per_atom": -9.0, "n_steps": 1},
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("flow", ["elastic.ElasticMaker", "eos.ForceFieldEosMaker",
                                  "phonons.PhononMaker"])  # fmt: skip
def test_flows_of_atomate2_on_a_candidate_leave_its_relaxed_energy(
    job_store, candidate, tmp_path, monkeypatch, flow
):
    """Real relaxations, deformations and displacements with CHGNet."""
    pytest.importorskip("chgnet")
    if flow.startswith("phonons"):
        pytest.importorskip("phonopy", reason="phonons need phonopy")
        pytest.importorskip("seekpath", reason="phonons need seekpath")
    module, _, name = flow.partition(".")
    flows = pytest.importorskip(f"atomate2.forcefields.flows.{module}")
    relax_maker = pytest.importorskip("atomate2.forcefields.jobs").ForceFieldRelaxMaker(
        force_field_name="CHGNet", steps=100
    )
    monkeypatch.chdir(tmp_path)
    relax = RelaxMaker(relax_maker).make([candidate])
    run_locally(relax, store=job_store, ensure_success=True, log=False)
    before = collected(job_store)
    assert before.is_relaxed is True

    settings = {"min_length": 8, "create_thermal_displacements": False} if "Phonon" in name else {}
    maker = getattr(flows, name).from_force_field_name("CHGNet", **settings)
    made = maker.make(before.structure)
    made.update_metadata({"candidate_id": candidate.candidate_id, "tags": [module]})
    run_locally(made, store=job_store, ensure_success=True, log=False)
    after = collected(job_store)
    assert after.energy_per_atom == before.energy_per_atom
    assert after.energy_method == before.energy_method == "MLFF.CHGNet 0.4.2"
    assert (after.is_relaxed, after.tags) == (True, [module])
    assert after.structure == before.structure
    assert {item.level for item in after.relaxations} == {"forcefield"}
    assert all(item.task_type == "Structure Optimization" for item in after.relaxations)
    assert not any("VASP" in item.method for item in after.calculations)
    kinds = [item.task_type for item in after.calculations]
    expected = {"elastic": {"Deformation", "ElasticDocument"}, "eos": {"Deformation", ""},
                "phonons": {"Static", "PhononBSDOSDoc"}}[module]  # fmt: skip
    assert expected <= set(kinds)

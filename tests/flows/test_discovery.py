"""From conditions to relaxed crystals: budgets, failures, nothing left, what comes out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jobflow import Flow, Job, JobStore, Maker, job, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.candidates import (
    CandidateBuilder,
    CandidateQuery,
    find_documents,
    open_candidate_store,
    read_document,
)
from crystalicl_jobflow.flows import CrystalGenerationFlowMaker, DiscoveryFlowMaker
from crystalicl_jobflow.jobs import EvaluateMaker, GenerateMaker, RelaxMaker, SelectMaker
from crystalicl_jobflow.schemas.stored_candidate import CandidateDoc
from job_names import step
from reciting import NO_CRYSTAL, OVERLAPPING, PEROVSKITE, ROCK_SALT, RecitingGenerator
from vasp_fakes import STRAIN, FakeVasp, with_potcar_spec

ase_jobs = pytest.importorskip("atomate2.ase.jobs")


def cubic(element: str, a: float) -> str:
    return f"Fm-3m\n{a:.1f} {a:.1f} {a:.1f}\n90 90 90\n{element}\n0.00 0.00 0.00"


METALS = [cubic("Cu", 3.7), cubic("Al", 4.1), cubic("Au", 4.2), cubic("Ni", 3.6)]
GENERATION = CrystalGenerationFlowMaker(
    retrieve_maker=None, generate_maker=GenerateMaker(constrain=False)
)


@pytest.fixture
def recites(monkeypatch: pytest.MonkeyPatch):
    """Return a function that lets every job load a model which knows these texts."""

    def _recites(*texts: str) -> None:
        generator = RecitingGenerator(texts)
        monkeypatch.setattr(
            "crystalicl_jobflow.generation.load_generator", lambda *args, **kwargs: generator
        )

    return _recites


@pytest.fixture
def store() -> JobStore:
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    store.connect()
    return store


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def emt(**settings: Any) -> Maker:
    """Return a real relaxation that takes milliseconds and knows a handful of metals."""
    return ase_jobs.EmtRelaxMaker(**{"steps": 200, **settings})


def metal(element: str, a: float) -> Structure:
    return Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), [element], [[0, 0, 0]])


def discover(store: JobStore, maker: DiscoveryFlowMaker, conditions: Any = None, **given: Any):
    flow = maker.make(conditions or [{}], **given)
    run_locally(flow, store=store, log=False, create_folders=True)
    return flow, flow.output.resolve(store)


def outputs(store: JobStore) -> dict[str, Any]:
    """Return the latest output of each job by its name."""
    found = store.query(properties=["name", "uuid", "index"], sort={"index": 1})
    return {item["name"]: store.get_output(item["uuid"], load=True) for item in found}


def documents(store: JobStore) -> list[CandidateDoc]:
    target = open_candidate_store("memory:")
    CandidateBuilder(store, target).run()
    return [read_document(item) for item in find_documents(target, CandidateQuery())]


def test_candidates_end_relaxed_with_all_that_led_to_them(recites, store):
    recites(*METALS, NO_CRYSTAL)
    maker = DiscoveryFlowMaker(emt(), n_generate=12, generation_maker=GENERATION)
    flow = maker.make([{}])
    flow.update_metadata({"run": "metals"})
    run_locally(flow, store=store, log=False, ensure_success=True)
    found = flow.output.resolve(store)
    names = [item.name for item in flow.jobs]
    assert names == ["generate", "validate", "select", "start forcefield", "evaluate", "summary"]
    assert found.counts["candidates"] == 12
    assert found.counts["selected"] == found.counts["forcefield_relaxed"] == len(found.found) == 4
    assert {item.formula_pretty for item in found.found} == {"Cu", "Al", "Au", "Ni"}
    copper = next(item for item in found.found if item.formula_pretty == "Cu")
    # EMT's copper has a lattice constant of 3.59 Å
    assert copper.structure.volume / len(copper.structure) == pytest.approx(3.59**3 / 4, rel=0.02)
    stored = documents(store)
    assert all("metals" in item.run_ids for item in stored)
    relaxed = [item for item in stored if item.relaxations]
    assert len(relaxed) == 4
    for item in relaxed:
        (relaxation,) = item.relaxations
        assert (item.is_relaxed, relaxation.level) == (True, "forcefield")
        assert item.energy_per_atom == relaxation.energy_per_atom
        assert item.structure.volume != item.generated.structure.volume
        assert [origin.job_name for origin in item.origins] == [
            "generate", "validate", "select", "relax forcefield 1/1", "gather forcefield",
            "evaluate",
        ]  # fmt: skip
    # why the others were not relaxed is in their documents
    for item in stored:
        row = item.evaluations[0].row
        assert row["selected"] is bool(item.relaxations)
        if item.parsed and not item.relaxations:
            assert row["selection_reason"] == "duplicate"
            assert row["times_drawn"] > 1
        elif not item.parsed:
            assert row["selection_reason"] == "not_valid"


class TestBudget:
    def test_n_relax_takes_the_first_in_rank(self, recites, store):
        recites(*METALS)
        maker = DiscoveryFlowMaker(
            emt(), n_generate=16, n_relax=2, ranking="times_drawn", generation_maker=GENERATION
        )
        _, found = discover(store, maker)
        assert (found.counts["eligible"], found.counts["selected"]) == (4, 2)
        select = outputs(store)["select"]
        rows = select["rows"][0]["batch"]
        drawn = {row["scores"]["times_drawn"] for row in rows if row["selected"]}
        left = {row["scores"]["times_drawn"] for row in rows if row["reason"] == "beyond_budget"}
        assert min(drawn) >= max(left)
        assert select["reasons"] == {"beyond_budget": 2, "duplicate": 12}

    @pytest.mark.parametrize("budget", [{"n_relax": 0}, {"n_relax": 2, "n_dft": 0}])
    def test_nothing_to_spend_is_spent(self, recites, store, budget):
        recites(*METALS)
        dft = with_potcar_spec(_mp_relaxation())
        maker = DiscoveryFlowMaker(emt(), dft, n_generate=4, generation_maker=GENERATION, **budget)
        with FakeVasp({}).plays() as vasp:
            _, found = discover(store, maker)
        assert vasp.runs == {}
        assert found.counts["candidates"] == 4
        assert len(found.found) == budget["n_relax"]

    @pytest.mark.parametrize(
        ("settings", "said"),
        [
            ({"n_generate": 0}, "n_generate must be at least 1"),
            ({"n_relax": -1}, "n_relax must be 0 or more"),
            ({"n_dft": -1}, "n_dft must be 0 or more"),
            ({"ranking": "beauty"}, "no ranking 'beauty'"),
            ({"dft_ranking": ["energy_above_hull", "luck"]}, "no ranking 'luck'"),
        ],
    )
    def test_a_mistake_is_told_when_the_flow_is_made(self, settings, said):
        with pytest.raises(ValueError, match=said):
            DiscoveryFlowMaker(emt(), **settings)

    def test_a_limit_above_the_hull_needs_a_hull(self):
        maker = DiscoveryFlowMaker(emt(), emt(), max_energy_above_hull=0.1)
        with pytest.raises(ValueError, match="max_energy_above_hull needs known crystals"):
            maker.make([{}])
        with_known = maker.make([{}], known="known.csv")
        # jobs run in other folders
        select = next(item for item in with_known.jobs if step(item.name) == "select")
        assert select.function_args[1] == str(Path.cwd() / "known.csv")
        relax = RelaxMaker(emt(), hull="hull.json")
        assert relax.hull == str(Path.cwd() / "hull.json")
        with_hull = DiscoveryFlowMaker(relax, max_energy_above_hull=0.1)
        assert with_hull.make([{}]).name == "discovery"

    def test_energies_come_from_the_relaxations_alone(self):
        with pytest.raises(ValueError, match="evaluates the energies of its relaxations"):
            DiscoveryFlowMaker(emt(), evaluate_maker=EvaluateMaker(energies="chgnet"))

    def test_the_same_draw_gives_the_same_choice(self, recites, store):
        recites(*METALS, ROCK_SALT)
        maker = DiscoveryFlowMaker(emt(), n_generate=20, n_relax=3, generation_maker=GENERATION)
        chosen = []
        for _ in range(2):
            own = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
            _, found = discover(own, maker)
            chosen.append((outputs(own)["select"]["chosen"], found.candidate_ids))
        assert chosen[0] == chosen[1]


class TestFailures:
    def test_one_that_fails_is_recorded_and_the_rest_go_on(self, recites, store):
        recites(*METALS, ROCK_SALT, PEROVSKITE)  # EMT knows neither Na nor Ca
        maker = DiscoveryFlowMaker(emt(), n_generate=24, generation_maker=GENERATION)
        _, found = discover(store, maker)
        assert found.counts["forcefield_tried"] == 6
        assert found.counts["forcefield_relaxed"] == 4
        failed = [item for item in documents(store) if item.is_relaxed is False]
        assert {item.formula_pretty for item in failed} == {"NaCl", "CaTiO3"}
        for item in failed:
            (relaxation,) = item.relaxations
            assert relaxation.failure_reason == "model_failed"
            assert "No EMT-potential" in relaxation.failure_message
            assert item.is_stable is None  # there is no hull
            # its crystal is the generated one, which is held once
            assert item.structure is not None
            assert item.generated.structure is None

    @pytest.mark.parametrize("mode", ["each", "together", "list"])
    def test_whatever_the_mode(self, recites, store, mode):
        recites(METALS[0], ROCK_SALT)
        maker = DiscoveryFlowMaker(
            RelaxMaker(emt(), mode=mode), n_generate=6, generation_maker=GENERATION
        )
        _, found = discover(store, maker)
        assert found.counts["forcefield_tried"] == 2
        # one job of the Maker's own that takes the list fails as a whole
        assert found.counts["forcefield_relaxed"] == (0 if mode == "list" else 1)
        relaxed = [item for item in documents(store) if item.relaxations]
        assert len(relaxed) == 2
        for item in relaxed:
            (relaxation,) = item.relaxations
            assert relaxation.source_uuid
            fails = mode == "list" or item.formula_pretty == "NaCl"
            assert (relaxation.failure_reason is not None) is fails
            if fails and mode != "together":
                assert relaxation.source_uuid in relaxation.failure_message

    def test_an_unconverged_one_keeps_its_crystal_and_does_not_count(self, recites, store):
        recites(METALS[0])
        maker = DiscoveryFlowMaker(emt(steps=2), n_generate=2, generation_maker=GENERATION)
        _, found = discover(store, maker, known=[metal("Al", 4.0)])
        assert found.found == []
        assert (found.counts["forcefield_tried"], found.counts["forcefield_relaxed"]) == (1, 0)
        (item,) = [item for item in documents(store) if item.relaxations]
        assert item.relaxations[0].failure_reason == "not_converged"
        assert item.relaxations[0].energy_per_atom is not None
        assert (item.is_relaxed, item.is_stable) == (False, None)  # no model of EMT's, no hull

    @pytest.mark.parametrize("texts", [[NO_CRYSTAL], [METALS[0]]], ids=["no crystal", "known"])
    def test_where_nothing_is_left_the_flow_ends_with_its_documents(self, recites, store, texts):
        recites(*texts)
        dft = with_potcar_spec(_mp_relaxation())
        maker = DiscoveryFlowMaker(emt(), dft, n_generate=3, generation_maker=GENERATION)
        flow = maker.make([{}], known=[metal("Cu", 3.61)])
        run_locally(flow, store=store, log=False, ensure_success=True)
        found = flow.output.resolve(store)
        assert found.counts["candidates"] == 3
        assert found.counts["selected"] == 0
        assert (found.found, found.structures) == ([], [])
        assert found.rates["valid"].of == 3
        assert [sum(item["reasons"].values()) for item in found.selections] == [3, 3]
        assert len(documents(store)) == 3


class TestVasp:
    """The best of the force field's crystals go to VASP, played by atomate2's fakes."""

    def test_force_field_then_vasp_for_the_best(self, recites, store):
        recites(*METALS)
        dft = with_potcar_spec(_mp_relaxation())
        maker = DiscoveryFlowMaker(emt(), dft, n_generate=16, n_dft=2, generation_maker=GENERATION)
        energies = {"Cu": -4.0, "Al": -3.7, "Au": -3.2, "Ni": -5.7}
        with FakeVasp(energies).plays() as vasp:
            flow, found = discover(store, maker)
        assert [item.name for item in flow.jobs][2:] == [
            "select", "start forcefield", "select dft", "start dft", "evaluate", "summary",
        ]  # fmt: skip
        best = found.found[:2]  # the highest level first
        assert [item.level for item in found.found] == ["dft", "dft", "forcefield", "forcefield"]
        assert set(vasp.runs) == {
            f"relax dft {number}/2: MP GGA relax {step}" for number in (1, 2) for step in (1, 2)
        }
        assert found.counts["dft_relaxed"] == 2
        assert found.counts["forcefield_relaxed"] == 4
        for item in best:
            assert item.energy_per_atom == energies[item.formula_pretty]
        for item in documents(store):
            if not item.relaxations or item.relaxations[-1].level != "dft":
                continue
            first, second = item.relaxations
            assert (first.level, second.level) == ("forcefield", "dft")
            # VASP began with the crystal that the force field left, and ran twice
            volume = first.structure.volume * (1 + STRAIN) ** 6
            assert second.structure.volume == pytest.approx(volume, rel=1e-4)
            assert item.structure.volume == second.structure.volume
            assert second.method == "VASP GGA"
            assert item.energy_per_atom == energies[item.formula_pretty]
            assert second.formation_energy_per_atom is not None
            assert second.dir_name
            names = [origin.job_name for origin in item.origins]
            assert names[-2:] == ["gather dft", "evaluate"]
            assert names[-3].startswith("relax dft")
            assert names[-3].endswith("MP GGA relax 2")

    def test_vasp_alone_against_a_hull_of_known_crystals(self, recites, store):
        recites(ROCK_SALT)
        maker = DiscoveryFlowMaker(
            with_potcar_spec(_mp_relaxation()), n_generate=2, generation_maker=GENERATION
        )
        rival = Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        known = [{"structure": rival, "properties": {"formation_energy_per_atom": -1.9}}]
        with FakeVasp({"NaCl": -3.37}).plays():
            flow, found = discover(store, maker, known=known)
        assert [item.name for item in flow.jobs][3] == "start dft"
        (crystal,) = found.found
        # MP2020 shifts each Cl of a chloride by -0.614 eV; PBE's elements are at
        # -1.3225 (Na) and -1.8485 eV/atom (Cl)
        formation = -3.37 - 0.614 / 2 - (-1.3225 - 1.8485) / 2
        assert crystal.formation_energy_per_atom == pytest.approx(formation, abs=0.005)
        assert crystal.energy_above_hull == pytest.approx(formation + 1.9, abs=0.005)
        assert found.counts["stable"] == 1
        (item,) = [item for item in documents(store) if item.relaxations]
        assert (item.is_stable, item.is_novel, item.is_sun) == (True, True, True)
        assert item.energy_above_hull == crystal.energy_above_hull

    @pytest.mark.parametrize(
        ("other", "reason"),
        [
            (["K", "Br"], "no competing phase of Na-Cl in the reference set"),
            (["Na", "Na"], "no competing phase of Na-Cl in the reference set, only elements"),
            (None, "no known crystals to compare with"),
        ],
    )
    def test_without_competitors_nothing_is_judged(self, recites, store, other, reason):
        recites(ROCK_SALT)
        maker = DiscoveryFlowMaker(
            with_potcar_spec(_mp_relaxation()), n_generate=2, generation_maker=GENERATION
        )
        known = None
        if other is not None:
            crystal = Structure(Lattice.cubic(3.5), other, [[0, 0, 0], [0.5, 0.5, 0.5]])
            known = [{"structure": crystal, "properties": {"formation_energy_per_atom": -1.9}}]
        with FakeVasp({"NaCl": -3.37}).plays():
            _, found = discover(store, maker, known=known)
        (crystal,) = found.found
        assert crystal.formation_energy_per_atom < -2
        assert (crystal.energy_above_hull, crystal.no_hull_reason) == (None, reason)
        assert (found.counts["judged"], found.counts["stable"]) == (0, None)
        assert ("stable", "not judged") in found.count_rows
        assert (found.rates["stable"].rate, found.rates["stable"].of) == (None, 0)
        (item,) = [item for item in documents(store) if item.relaxations]
        assert (item.is_relaxed, item.is_stable, item.is_sun) == (True, None, None)
        assert item.no_hull_reason == reason

    def test_a_crash_and_an_unconverged_run_are_recorded(self, recites, store):
        recites(*METALS[:3])
        dft = with_potcar_spec(_mp_relaxation())
        maker = DiscoveryFlowMaker(dft, n_generate=9, generation_maker=GENERATION)
        fake = FakeVasp(
            {"Cu": -4.0, "Al": -3.7, "Au": -3.2},
            fails=("relax dft 1/3: MP GGA relax 1",),
            unconverged=("relax dft 2/3: MP GGA relax 2",),
        )
        with fake.plays():
            _, found = discover(store, maker)
        assert (found.counts["dft_tried"], found.counts["dft_relaxed"]) == (3, 1)
        relaxations = {
            item.relaxations[0].failure_reason: item
            for item in documents(store)
            if item.relaxations
        }
        assert set(relaxations) == {"failed", "not_converged", None}
        crashed = relaxations["failed"].relaxations[0]
        assert crashed.level == "dft"
        assert crashed.source_uuid in crashed.failure_message
        stopped = relaxations["not_converged"].relaxations[0]
        assert stopped.energy_per_atom is not None
        assert stopped.structure is not None
        assert relaxations["not_converged"].is_relaxed is False
        assert relaxations[None].is_relaxed is True


def _mp_relaxation() -> Maker:
    return pytest.importorskip("atomate2.vasp.flows.mp").MPGGADoubleRelaxMaker()


@job
def count_atoms(structures: list[Structure]) -> list[int]:
    return [len(item) for item in structures]


@job
def name_of(structure: Structure) -> str:
    return structure.composition.reduced_formula


def test_crystals_go_to_any_other_job_by_reference(recites, store):
    recites(*METALS)
    maker = DiscoveryFlowMaker(emt(), n_generate=8, n_relax=2, generation_maker=GENERATION)
    discovery = maker.make([{}])
    select = next(item for item in discovery.jobs if step(item.name) == "select")
    generated = count_atoms(select.output.structures)
    best = name_of(discovery.output.structures[0])
    run_locally(Flow([discovery, generated, best]), store=store, log=False, ensure_success=True)
    found = discovery.output.resolve(store)
    assert generated.output.resolve(store) == [
        len(item) for item in select.output.resolve(store).structures
    ]
    assert len(generated.output.resolve(store)) == 2
    assert best.output.resolve(store) == found.found[0].formula_pretty


def test_relaxations_do_not_inherit_where_the_selection_runs(recites, store):
    recites(*METALS)
    maker = DiscoveryFlowMaker(
        RelaxMaker(emt(), mode="each"), n_generate=8, n_relax=2, generation_maker=GENERATION
    )
    flow = maker.make([{}])
    flow.update_config({"manager_config": {"worker": "head"}}, dynamic=False)
    flow.update_config(
        {"manager_config": {"worker": "fields"}}, name_filter="relax forcefield", dynamic=True
    )
    seen: dict[str, Any] = {}

    def watch(this: Any, *args: Any, **kwargs: Any) -> Any:
        seen[this.name] = this.config.manager_config.get("worker")
        return run(this, *args, **kwargs)

    run = Job.run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Job, "run", watch)
        run_locally(flow, store=store, log=False, ensure_success=True)
    heavy = {name: worker for name, worker in seen.items() if name.startswith("relax forcefield")}
    assert heavy == {f"relax forcefield {number}/2: EMT relaxation": "fields" for number in (1, 2)}
    assert seen["start forcefield"] == seen["select"] == "head"
    assert seen["gather forcefield"] is None


def test_jobs_come_through_json_as_databases_keep_them(recites, store, monkeypatch):
    recites(*METALS, ROCK_SALT)
    run = Job.run

    def run_a_copy(this: Job, *args: Any, **kwargs: Any) -> Any:
        stored = json.dumps(jsanitize(this.as_dict(), strict=True, enum_values=True))
        copy = MontyDecoder().process_decoded(json.loads(stored))
        return run(copy, *args, **kwargs)

    monkeypatch.setattr(Job, "run", run_a_copy)
    dft = with_potcar_spec(_mp_relaxation())
    maker = DiscoveryFlowMaker(emt(), dft, n_generate=10, n_dft=1, generation_maker=GENERATION)
    with FakeVasp({"Cu": -4.0, "Al": -3.7, "Au": -3.2, "Ni": -5.7}).plays():
        _, found = discover(store, maker, known=[metal("Al", 4.0)])
    assert found.counts["dft_relaxed"] == 1
    assert found.counts["forcefield_tried"] == found.counts["forcefield_relaxed"] + 1
    assert found.counts["forcefield_relaxed"] >= 2


def test_a_crystal_that_no_program_should_see_is_refused_before(recites, store):
    recites(METALS[0], OVERLAPPING)
    maker = DiscoveryFlowMaker(
        emt(), n_generate=6, generation_maker=GENERATION, select_maker=SelectMaker(valid=False)
    )
    _, found = discover(store, maker)
    assert (found.counts["forcefield_tried"], found.counts["forcefield_relaxed"]) == (2, 1)
    (failed,) = [item for item in documents(store) if item.is_relaxed is False]
    assert failed.relaxations[0].failure_reason == "atoms_overlap"
    assert failed.relaxations[0].source_uuid is None


def test_selections_have_their_own_makers():
    maker = DiscoveryFlowMaker(
        emt(), emt(), select_maker=SelectMaker(name="pick", per_condition=1), n_relax=3
    )
    first, second = maker._selections()
    assert (first.name, first.number, first.per_condition) == ("pick", 3, 1)
    assert (second.name, second.number) == ("select dft", None)

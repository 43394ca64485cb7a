"""The Flow that the workflow managers run, and what must have come of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from jobflow import Flow, JobStore, run_locally
from maggma.core import Store
from maggma.stores import MemoryStore

from crystalicl_jobflow.candidates import (
    CandidateBuilder,
    CandidateQuery,
    find_documents,
    open_candidate_store,
)
from crystalicl_jobflow.flows import CrystalGenerationFlowMaker, DiscoveryFlowMaker
from crystalicl_jobflow.jobs import GenerateMaker, RelaxMaker, RetrieveMaker
from integration.processes import Place
from job_names import step

ASKED = [{"formula": "CaTiO3", "space_group": 221}, {"formula": "NaCl", "space_group": 225}]

DISCOVERY_JOBS = {
    "retrieve", "generate", "generate 1/2", "generate 2/2", "gather generations", "validate",
    "select", "start forcefield", "gather forcefield", "evaluate", "summary",
}  # fmt: skip
"""All but the relaxations, of which there are as many as different crystals."""


def generation_maker(
    samples: int, *, shards: int | None, **options: Any
) -> CrystalGenerationFlowMaker:
    """Ask the embedded model, one text after the other."""
    return CrystalGenerationFlowMaker(
        retrieve_maker=RetrieveMaker(shots=1),
        generate_maker=GenerateMaker(
            num_samples=samples, num_shards=shards, batch_size=1, num_threads=1, device="cpu"
        ),
        **options,
    )


def discovery() -> Flow:
    """Build the main Flow: four texts in two shards, and a relaxation of each new crystal."""
    from atomate2.forcefields.jobs import ForceFieldRelaxMaker

    relax = ForceFieldRelaxMaker(force_field_name="CHGNet", steps=2)
    maker = DiscoveryFlowMaker(
        RelaxMaker(relax, mode="each"),
        n_generate=2,
        n_relax=3,
        generation_maker=generation_maker(2, shards=2),
    )
    return maker.make(ASKED)


def generation(samples: int, *, shards: int | None = 2) -> Flow:
    """Build the Flow that is disturbed: retrieval, generation, validation."""
    return generation_maker(samples, shards=shards, evaluate_maker=None).make(ASKED)


def undisturbed_ids(samples: int) -> list[str]:
    """Return the ids of the candidates that one process makes alone, sorted."""
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    flow = generation(samples, shards=None)
    run_locally(flow, store=store, raise_immediately=True, log=False)
    candidates = flow.output.resolve(store).candidates
    return sorted(item.candidate_id for item in candidates)


def outputs(place: Place) -> dict[str, Mapping[str, Any]]:
    """Return the documents of the job store by step, the newest of each job."""
    newest: dict[str, Mapping[str, Any]] = {}
    for document in place.job_store().query():
        name = step(document["name"])
        known = newest.get(name)
        if known is None or known["index"] < document["index"]:
            newest[name] = document
    return newest


def large_fields_lie_in_gridfs(place: Place) -> None:
    """Assert that texts and structures are in GridFS, and not in the documents."""
    blobs = {
        item["metadata"]["blob_uuid"] for item in place.collection("outputs_data.files").find()
    }
    named = []
    for name, field in (("validate", "candidates"), ("gather generations", "generations")):
        found = list(_blobs(outputs(place)[name]["output"][field]))
        assert found, name
        named += found
    assert set(named) <= blobs
    assert "Pm-3m" not in str(outputs(place)["gather generations"]["output"])


def _blobs(content: Any) -> Iterable[str]:
    if isinstance(content, Mapping):
        if "blob_uuid" in content:
            yield content["blob_uuid"]
        for value in content.values():
            yield from _blobs(value)
    elif isinstance(content, list):
        for value in content:
            yield from _blobs(value)


def collect(place: Place) -> Store:
    """Run the Builder on the server's job store; return the server's candidates."""
    store = open_candidate_store(f"{place.uri}/{place.database}")
    CandidateBuilder(place.job_store(), store).run()
    return store


def candidate_ids(store: Store) -> list[str]:
    """Return the ids of all candidates, sorted."""
    return sorted(item["candidate_id"] for item in find_documents(store))


def discovered(place: Place) -> None:
    """Assert that the candidates can be asked for, from condition to relaxed energy."""
    store = collect(place)
    ids = candidate_ids(store)
    assert ids == undisturbed_ids(2)
    found = outputs(place)
    relaxed = list(
        find_documents(
            store,
            CandidateQuery(properties={"energy_per_atom": (None, 0.0)}),
            sort="energy_per_atom",
        )
    )
    relaxed = [item for item in relaxed if item["relaxations"]]
    selected = found["select"]["output"]["num_selected"]
    assert len(relaxed) == selected >= 2  # both crystals, at least
    assert {item["formula_pretty"] for item in relaxed} == {"CaTiO3", "NaCl"}
    made_by = {found[name]["uuid"] for name in ("gather generations", "validate")}
    for item in relaxed:
        assert made_by <= {origin["job_uuid"] for origin in item["origins"]}
        assert item["condition"]["formula"] == item["formula_pretty"]
        method = item["relaxations"][0]["method"]
        assert "chgnet" in method.lower(), method
    counts = found["summary"]["output"]["counts"]
    assert (counts["candidates"], counts["forcefield_tried"]) == (4, selected)
    collect(place)
    assert candidate_ids(store) == ids

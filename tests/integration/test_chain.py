"""The whole chain with real parts: pool, index, prompts, constraint, model, checks, stores."""

from __future__ import annotations

import gzip
from pathlib import Path

import pandas as pd
import pytest
from jobflow import JobStore, run_locally
from maggma.stores import JSONStore
from pymatgen.core import Structure

from crystalicl_jobflow.candidates import CandidateBuilder, open_candidate_store, query_candidates
from crystalicl_jobflow.flows import CrystalGenerationFlowMaker
from crystalicl_jobflow.generation.model_places import EMBEDDED_FOLDER
from crystalicl_jobflow.jobs import GenerateMaker, RetrieveMaker
from crystalicl_jobflow.retrieval import fill_pool
from crystalicl_jobflow.schemas import Condition, SamplingParams
from generation.tiny import save_tiny_model
from job_names import step


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Random weights behind the real loading, prompting and decoding."""
    folder = tmp_path_factory.mktemp("tiny")
    save_tiny_model(folder)
    return {"base_model": str(folder / "base"), "adapter": str(folder / "adapter")}


@pytest.fixture(scope="module")
def embedded() -> dict[str, str]:
    """The model that ships with the package."""
    if not (EMBEDDED_FOLDER / "base").is_dir():
        pytest.skip(f"the embedded model is not there: {EMBEDDED_FOLDER / 'base'}")
    return {"base_model": "embedded"}


@pytest.fixture(scope="module")
def prototypes(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The pool of prototypes, without fingerprints."""
    path = str(tmp_path_factory.mktemp("pool") / "prototypes.json")
    fill_pool("prototypes", path, fingerprints=False)
    return path


def run(
    tmp_path: Path,
    pool: str,
    conditions: list[Condition],
    *,
    references: list[Structure] | None = None,
    num_samples: int = 2,
    num_shards: int | None = None,
    **model: str,
) -> tuple[CrystalGenerationFlowMaker, dict]:
    """Run the Flow in JSON stores; return the outputs by the names of the stages."""
    maker = CrystalGenerationFlowMaker(
        # the small vocabulary of the test spells few groups: none is drawn from the pool
        retrieve_maker=RetrieveMaker(pool=pool, shots=2, groups=0),
        generate_maker=GenerateMaker(
            num_samples=num_samples,
            num_shards=num_shards,
            sampling=SamplingParams(seed=5),
            device="cpu",
            **model,
        ),
    )
    store = JobStore(
        JSONStore(str(tmp_path / "docs.json"), read_only=False),
        additional_stores={"data": JSONStore(str(tmp_path / "data.json"), read_only=False)},
    )
    flow = maker.make(conditions, references)
    run_locally(flow, store=store, ensure_success=True, log=False)
    outputs = {step(job.name): job.output.resolve(store) for job in flow.jobs}
    return store, outputs


ASKED = [
    Condition(formula="CaTiO3", space_group=221),
    Condition(formula="NaCl", space_group=225),
    Condition(formula="MgO"),
]


def test_the_constraint_holds_whatever_the_weights(tmp_path, prototypes, tiny):
    store, outputs = run(tmp_path, prototypes, ASKED, **tiny)
    evaluation = outputs["evaluate"]
    assert evaluation.num_candidates == 6
    for name in ("parsed", "formula"):
        assert (evaluation.rates[name].count, evaluation.rates[name].of) == (6, 6)
    assert evaluation.rates["space_group"].of == 4
    retrieved = outputs["retrieve"].retrievals
    assert all(len(item.demonstrations) == 2 for item in retrieved)
    assert retrieved[0].pool_size == 288
    for candidate in outputs["validate"].candidates:
        provenance = candidate.provenance
        shown = retrieved[ASKED.index(candidate.condition)].demonstrations
        assert provenance.demonstration_ids == [item.demonstration_id for item in shown]
        assert all(item.text.splitlines()[0] in provenance.prompt for item in shown)
        assert provenance.sampling.seed == 5
        assert provenance.model.adapter is not None
        assert provenance.constraint
        assert provenance.versions["pymatgen"]
        assert provenance.tolerances["symprec"] == 0.1
    target = open_candidate_store(str(tmp_path / "candidates.json"))
    CandidateBuilder(store, target).run()
    assert len(query_candidates(target, formula="CaTiO3")) == 2


def test_shards_give_the_same_candidates(tmp_path, prototypes, tiny):
    ids = []
    for name, shards in (("one", None), ("three", 3)):
        (tmp_path / name).mkdir()
        _, outputs = run(tmp_path / name, prototypes, ASKED[:2], num_shards=shards, **tiny)
        ids.append([item.candidate_id for item in outputs["validate"].candidates])
    assert ids[0] == ids[1]


def test_the_embedded_model_writes_the_crystals_asked_for(tmp_path, prototypes, embedded):
    _, outputs = run(tmp_path, prototypes, ASKED, num_samples=8, **embedded)
    rates = outputs["evaluate"].rates
    assert rates["parsed"].rate == 1.0
    assert rates["formula"].rate == 1.0
    # five redraws leave little that is more symmetric than asked
    assert rates["space_group"].count >= rates["space_group"].of - 1
    # these three are the most common structures of all; a trained model knows them
    assert rates["structure_valid"].rate >= 0.75


def _rows(path: Path, number: int) -> pd.DataFrame:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        return pd.read_csv(file, nrows=number)


def test_real_crystals_are_demonstrations_and_references(tmp_path, shared_data, embedded):
    train = tmp_path / "train.csv"
    _rows(shared_data / "mp_20_train.csv.gz", 60).to_csv(train, index=False)
    pool = str(tmp_path / "pool.json")
    report = fill_pool(train, pool, fingerprints=False)
    assert report.added == 60
    test = _rows(shared_data / "mp_20_test.csv.gz", 200)
    small = test[test["cif"].map(lambda cif: cif.count("\n") < 40)].head(5)
    conditions = [
        Condition(formula=row["pretty_formula"], space_group=row["spacegroup.number"])
        for _, row in small.iterrows()
    ]
    references = [Structure.from_str(cif, fmt="cif") for cif in small["cif"]]
    _, outputs = run(tmp_path, pool, conditions, references=references, num_samples=1, **embedded)
    rates = outputs["evaluate"].rates
    assert rates["match"].of == len(conditions) == 5
    assert (rates["parsed"].count, rates["formula"].count) == (5, 5)
    assert len(outputs["evaluate"].results) == 5
    train_ids = set(_rows(shared_data / "mp_20_train.csv.gz", 60)["material_id"])
    for item in outputs["retrieve"].retrievals:
        assert len(item.demonstrations) == 2
        for demonstration in item.demonstrations:
            assert any(name in demonstration.demonstration_id for name in train_ids)

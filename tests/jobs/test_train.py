"""Training as jobs: instructions travel by reference, the card comes back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jobflow import Flow, JobStore, run_locally
from maggma.stores import MemoryStore
from monty.json import MontyDecoder, jsanitize

from crystalicl_jobflow.flows import TrainFlowMaker
from crystalicl_jobflow.jobs import InstructionsMaker, TrainMaker, write_card
from crystalicl_jobflow.schemas.training import CardDoc, InstructionsDoc, TrainDoc
from crystalicl_jobflow.training import BaseSize, LoopSettings, LoraSettings

SIZE = BaseSize(hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64)
LOOP = LoopSettings(
    learning_rate=5e-3, epochs=2, warmup_steps=1, tokens_per_batch=1500, log_every=1, threads=1
)


def run(jobs, tmp_path):
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(
        jobs, store=store, ensure_success=True, log=False, create_folders=True, root_dir=tmp_path
    )
    return store


def test_instructions_travel_to_a_training_by_reference(tmp_path) -> None:
    instructions = InstructionsMaker(limit=16, epochs=1).make("prototypes")
    base = TrainMaker(method="base", name="base", loop=LOOP, size=SIZE, validation_share=0.2)
    train = base.make(instructions.output)
    card = write_card(train.output)
    store = run(Flow([instructions, train, card]), tmp_path)
    made = InstructionsDoc.model_validate(instructions.output.resolve(store))
    assert made.num_instructions == len(made.instructions) > 10
    # texts lie in the additional store, not in the document
    document = store.query_one({"uuid": instructions.uuid}, load=False)
    assert "### Response:" not in json.dumps(document, default=str)
    trained = TrainDoc.model_validate(train.output.resolve(store))
    assert trained.num_instructions + trained.num_validation <= made.num_instructions
    assert trained.steps > 0
    assert trained.data[0].sha256 == made.data[0].sha256
    assert Path(trained.model, "model.safetensors").is_file()
    assert Path(trained.loss_curve or "").read_bytes()[:4] == b"\x89PNG"
    assert trained.data[0].sha256 in trained.card
    assert CardDoc.model_validate(card.output.resolve(store)).path is not None


def test_an_adapter_is_tuned_on_the_embedded_model_and_goes_on(tmp_path) -> None:
    maker = TrainMaker(
        folder=str(tmp_path / "lora"),
        loop=LoopSettings(optimizer="adamw", epochs=1, log_every=1, tokens_per_batch=1500),
        limit=8,
        validation_share=0.3,
    )
    first = maker.make("prototypes")
    again = maker.make("prototypes")
    store = run(Flow([first, again]), tmp_path)
    done = TrainDoc.model_validate(first.output.resolve(store))
    config = json.loads(Path(done.model, "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "embedded"
    assert not done.resumed
    repeated = TrainDoc.model_validate(again.output.resolve(store))
    assert repeated.resumed
    assert (repeated.steps, repeated.history) == (done.steps, done.history)


@pytest.mark.parametrize(
    "maker",
    [
        TrainMaker(method="base", size=SIZE, loop=LOOP, weights={"a": 0.5}, start="base/model"),
        TrainMaker(lora=LoraSettings(rank=4, target_modules=("q_proj",)), folder="/runs/lora"),
        InstructionsMaker(ablation="only-C", licences={"a": "CC0"}),
    ],
)
def test_a_maker_survives_a_workflow_database(maker) -> None:
    stored = jsanitize(maker, strict=True, enum_values=True)
    assert MontyDecoder().process_decoded(stored) == maker
    plain = json.loads(json.dumps(maker.as_dict()))
    assert MontyDecoder().process_decoded(plain) == maker


def test_quantization_without_a_gpu_fails_before_anything_is_read(tmp_path) -> None:
    maker = TrainMaker(lora=LoraSettings(quantization="4bit", device="cpu"), base_model="nowhere")
    with pytest.raises(ValueError, match="4bit needs a GPU, not cpu"):
        TrainMaker.make.original(maker, "no/such/file.csv")


def test_settings_are_changed_on_a_flow_that_is_built() -> None:
    flow = TrainFlowMaker().make("prototypes")
    flow.update_maker_kwargs({"limit": 7}, name_filter="instructions")
    flow.update_maker_kwargs({"folder": "/runs/a"}, name_filter="train")
    assert flow.jobs[0].maker.limit == 7
    assert flow.jobs[1].maker.folder == "/runs/a"


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="method 'rl' is not one of lora, base"):
        TrainMaker(method="rl")  # type: ignore[arg-type]

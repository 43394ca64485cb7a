"""Instruction set, training, trial and card in one Flow."""

from __future__ import annotations

from pathlib import Path

from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from crystalicl_jobflow.flows import CrystalGenerationFlowMaker, TrainFlowMaker
from crystalicl_jobflow.jobs import GenerateMaker, InstructionsMaker, TrainMaker
from crystalicl_jobflow.schemas import SamplingParams
from crystalicl_jobflow.schemas.training import CardDoc
from crystalicl_jobflow.training import BaseSize, LoopSettings


def test_a_trained_model_is_tried_and_its_card_shows_the_rates(tmp_path) -> None:
    trial = CrystalGenerationFlowMaker(
        retrieve_maker=None,
        generate_maker=GenerateMaker(
            num_samples=2, constrain=False, sampling=SamplingParams(max_new_tokens=16)
        ),
    )
    maker = TrainFlowMaker(
        instructions_maker=InstructionsMaker(limit=12, epochs=1),
        train_maker=TrainMaker(
            method="base",
            loop=LoopSettings(epochs=1, tokens_per_batch=1500, log_every=1, threads=1),
            size=BaseSize(hidden_size=32, num_layers=1, num_heads=2, intermediate_size=64),
        ),
        trial_makers={"zero-shot": trial},
    )
    flow = maker.make("prototypes", {"formula": "CaTiO3", "space_group": 221})
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(
        flow, store=store, ensure_success=True, log=False, create_folders=True, root_dir=tmp_path
    )
    card = CardDoc.model_validate(flow.output.resolve(store))
    assert card.rates["zero-shot"]["parsed"]["of"] == 2
    assert "| zero-shot |" in card.card
    assert Path(card.path or "").read_text(encoding="utf-8") == card.card

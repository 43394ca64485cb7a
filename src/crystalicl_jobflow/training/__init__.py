"""Instruction sets and model training.

Crystals become instructions (`InstructionSet`), instructions become rows of tokens, and
one loop (`train`) trains a new small base model (`train_base`) or an adapter on
any causal language model (`train_lora`). Heavy imports happen at use.
"""

from __future__ import annotations

from crystalicl_jobflow.text.formats import crystal_text
from crystalicl_jobflow.training.base_model import BaseSize, build_base_model, train_base
from crystalicl_jobflow.training.data.crystals import (
    SkippedRow,
    TrainingCrystal,
    read_training_crystals,
    training_crystal,
)
from crystalicl_jobflow.training.data.instruction import Instruction
from crystalicl_jobflow.training.data.instruction_files import InstructionFile, export_instructions
from crystalicl_jobflow.training.data.instructions import InstructionSet
from crystalicl_jobflow.training.data.mixtures import (
    ABLATIONS,
    BASE_MIXTURE,
    FEW_SHOT_MIXTURE,
    HYBRID_MIXTURE,
    Mixture,
    ablate,
)
from crystalicl_jobflow.training.data.sources import TrainingData, read_pool, read_training_data
from crystalicl_jobflow.training.loop import LoopSettings, TrainingResult, train
from crystalicl_jobflow.training.lora import PAPER_LOOP, LoraSettings, train_lora
from crystalicl_jobflow.training.recipes import Split, base_recipe, load_split, lora_recipe
from crystalicl_jobflow.training.tokenizer import build_tokenizer

__all__ = [
    "ABLATIONS",
    "BASE_MIXTURE",
    "FEW_SHOT_MIXTURE",
    "HYBRID_MIXTURE",
    "PAPER_LOOP",
    "BaseSize",
    "Instruction",
    "InstructionFile",
    "InstructionSet",
    "LoopSettings",
    "LoraSettings",
    "Mixture",
    "SkippedRow",
    "Split",
    "TrainingCrystal",
    "TrainingData",
    "TrainingResult",
    "ablate",
    "base_recipe",
    "build_base_model",
    "build_tokenizer",
    "crystal_text",
    "export_instructions",
    "load_split",
    "lora_recipe",
    "read_pool",
    "read_training_crystals",
    "read_training_data",
    "train",
    "train_base",
    "train_lora",
    "training_crystal",
]

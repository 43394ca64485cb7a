"""Generation with a causal language model of transformers."""

from __future__ import annotations

from crystalicl_jobflow.generation.transformers_engine.generator import TransformersGenerator

__all__ = [
    "TransformersGenerator",
]

"""Text generators: prompts in, completions out."""

from __future__ import annotations

from crystalicl_jobflow.generation.base import (
    AcceptText,
    ConstraintState,
    GenerationError,
    GenerationRequest,
    RowConstraint,
    TextGenerator,
    TokenVocabulary,
)

__all__ = [
    "AcceptText",
    "ConstraintState",
    "GenerationError",
    "GenerationRequest",
    "RowConstraint",
    "TextGenerator",
    "TokenVocabulary",
]

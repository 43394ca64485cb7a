"""Text generators: prompts in, completions out."""

from __future__ import annotations

from crystalicl_jobflow.generation.base import (
    AcceptText,
    CompletionCallback,
    ConstraintState,
    GenerationError,
    GenerationRequest,
    RowConstraint,
    TextGenerator,
    TokenVocabulary,
)
from crystalicl_jobflow.generation.loading import load_generator, package_versions
from crystalicl_jobflow.generation.model_places import check_model_files
from crystalicl_jobflow.generation.resuming import UnfinishedWork
from crystalicl_jobflow.generation.writing import Writing

__all__ = [
    "AcceptText",
    "CompletionCallback",
    "ConstraintState",
    "GenerationError",
    "GenerationRequest",
    "RowConstraint",
    "TextGenerator",
    "TokenVocabulary",
    "UnfinishedWork",
    "Writing",
    "check_model_files",
    "load_generator",
    "package_versions",
]

"""Lessons drawn while training: templates and ablations as in instruction files."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.training import HYBRID_MIXTURE, Split, ablate
from crystalicl_jobflow.training.recipes import crystal_lesson


def test_a_lesson_asks_in_its_template_throughout(prototypes) -> None:
    split = Split(prototypes[:20], prototypes[20:26], [])
    lesson = crystal_lesson(split, template="alpaca", text_format="sgsw")
    learned = [lesson.instructions.instruction(i, 0) for i in lesson.instructions.order(0)]
    for item in (*learned, *lesson.validation):
        assert item.prompt.endswith("\n### Response:\n")
        assert "### " not in item.response
    assert len(lesson.validation) == 6


def test_a_lesson_by_structure_needs_fingerprints(prototypes) -> None:
    split = Split(prototypes[:20], [], [])
    mixture = ablate(HYBRID_MIXTURE, "only-F")
    with pytest.raises(ValueError, match="strategy F needs fingerprints"):
        crystal_lesson(split, mixture=mixture, require_fingerprints=True)

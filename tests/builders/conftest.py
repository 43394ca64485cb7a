"""A reciting model in the place of every other."""

from __future__ import annotations

import pytest

from reciting import RecitingGenerator


@pytest.fixture
def reciting(monkeypatch: pytest.MonkeyPatch) -> RecitingGenerator:
    """Let every job load the same reciting generator."""
    generator = RecitingGenerator()
    monkeypatch.setattr(
        "crystalicl_jobflow.generation.load_generator", lambda *args, **kwargs: generator
    )
    return generator

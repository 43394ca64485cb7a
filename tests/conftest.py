"""Fixtures shared by all tests."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from reciting import RecitingGenerator

pytest_plugins = ["checked_crystals", "chromium", "empty_stores"]

# No deadline: the two shared cores of a CI machine make single examples slow now and then.
# Derandomised: a red run can be repeated.
settings.register_profile("crystalicl", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("crystalicl")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Return the folder of real crystals beside the repository, or skip."""
    folder = Path(
        os.environ.get("CRYSTALICL_TEST_DATA")
        or Path(__file__).resolve().parents[1].parent / "shared" / "data"
    )
    if not (folder / "mp_20_test.csv.gz").is_file():
        pytest.skip(f"no real crystals: {folder} is missing (set CRYSTALICL_TEST_DATA)")
    return folder


@pytest.fixture(scope="session")
def shared_models() -> Path:
    """Return the folder of matgl's pretrained models beside the repository, or skip."""
    folder = Path(
        os.environ.get("CRYSTALICL_TEST_MODELS")
        or Path(__file__).resolve().parents[1].parent / "shared" / "models"
    )
    if not (folder / "MEGNet-MP-2018.6.1-Eform" / "model.json").is_file():
        pytest.skip(f"no models of matgl: {folder} is missing (set CRYSTALICL_TEST_MODELS)")
    pytest.importorskip("matgl", reason="models of matgl need the extra matgl")
    return folder


@pytest.fixture(autouse=True)
def unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep what jobs have written in a folder of the test's own, also in child processes."""
    from crystalicl_jobflow.settings import SETTINGS

    folder = tmp_path / "unfinished"
    monkeypatch.setenv("CRYSTALICL_RESUME_DIR", str(folder))
    monkeypatch.setattr(SETTINGS, "RESUME_DIR", str(folder))
    return folder


@pytest.fixture(autouse=True)
def _loggers_stay_on() -> Iterator[None]:
    """Undo what a test's other packages did to loggers: jobflow-remote turns all others off."""

    def loggers() -> list[logging.Logger]:
        known = list(logging.root.manager.loggerDict.values())
        return [item for item in known if isinstance(item, logging.Logger)]

    off = {item.name for item in loggers() if item.disabled}
    yield
    for item in loggers():
        item.disabled = item.name in off


@pytest.fixture
def reciting(monkeypatch: pytest.MonkeyPatch) -> RecitingGenerator:
    """Let every job load the same generator, which recites in the place of a model."""
    from reciting import RecitingGenerator

    generator = RecitingGenerator()
    monkeypatch.setattr(
        "crystalicl_jobflow.generation.load_generator", lambda *args, **kwargs: generator
    )
    return generator


@pytest.fixture
def mongodb_uri() -> str:
    """Return ``mongodb://host:port`` of a MongoDB-protocol server, or skip."""
    uri = os.environ.get("CRYSTALICL_TEST_MONGODB_URI")
    if not uri:
        pytest.skip("no MongoDB server: set CRYSTALICL_TEST_MONGODB_URI")
    # tests name databases of their own
    return "/".join(uri.split("/")[:3])

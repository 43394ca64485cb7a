"""A tiny language model for the tests of generation, loaded for real."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from .tiny import save_tiny_model


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``base`` and ``adapter``."""
    folder = tmp_path_factory.mktemp("tiny_model")
    save_tiny_model(folder)
    return folder


@pytest.fixture(scope="session")
def generator(tiny_model: Path) -> Any:
    """Return the tiny model with its adapter, loaded as any other."""
    from crystalicl_jobflow.generation import load_generator

    return load_generator(
        str(tiny_model / "base"), str(tiny_model / "adapter"), device="cpu", batch_size=8
    )


@pytest.fixture(scope="session")
def prototypes_index() -> Any:
    """Return the index of the prototypes inside pymatgen."""
    from crystalicl_jobflow.retrieval import DemonstrationIndex, fill_pool
    from crystalicl_jobflow.stores import open_store

    store = open_store("memory:")
    fill_pool("prototypes", store, fingerprints=False, processes=1)
    return DemonstrationIndex.from_store(store)

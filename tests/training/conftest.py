"""A few dozen real crystals, a tokenizer, and a model that trains in a second."""

from __future__ import annotations

import warnings

import pytest
from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

from crystalicl_jobflow.training import BaseSize, TrainingCrystal, build_tokenizer, training_crystal

TINY = BaseSize(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64, dropout=0.1)


@pytest.fixture(scope="session")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="session")
def prototypes() -> list[TrainingCrystal]:
    """Return the first small crystals among AFLOW's prototypes, with made-up band gaps."""
    crystals = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for number, prototype in enumerate(AFLOW_PROTOTYPE_LIBRARY[:90]):
            structure = prototype["snl"].structure
            if len(structure) > 12 or not structure.is_ordered:
                continue
            crystals.append(
                training_crystal(
                    structure,
                    name=str(number),
                    source="prototypes",
                    properties={"band_gap": number / 10} if number % 2 else {},
                )
            )
    return crystals


@pytest.fixture
def tiny_size() -> BaseSize:
    return TINY

"""Real crystals and the documents around them."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.schemas import (
    Candidate,
    Completion,
    Condition,
    Generation,
    ModelInfo,
    SamplingParams,
)
from crystalicl_jobflow.validation.validate import validate_completion

NACL = "Fm-3m\n5.7 5.7 5.7\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
CSCL = "Pm-3m\n4.1 4.1 4.1\n90 90 90\nCs\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
FENI = "P4/mmm\n2.5 2.5 3.6\n90 90 90\nFe\n0.00 0.00 0.00\nNi\n0.50 0.50 0.50"


@pytest.fixture
def nacl() -> Structure:
    return Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.69), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


@pytest.fixture
def cscl() -> Structure:
    return Structure(Lattice.cubic(4.12), ["Cs", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def write() -> Callable[..., tuple[Completion, Generation]]:
    """Return a function that stands for a model: a text, written under a condition."""

    def _write(
        text: str,
        *,
        condition: Condition | None = None,
        text_format: str = "sgs",
        request_index: int = 0,
        sample_index: int = 0,
        seed: int = 0,
        device: str = "cpu",
        **fields: object,
    ) -> tuple[Completion, Generation]:
        completion = Completion.model_validate(
            {
                "request_index": request_index,
                "sample_index": sample_index,
                "text": text,
                "finished": True,
                "num_tokens": len(text.split()),
                **fields,
            }
        )
        generation = Generation(
            condition=condition or Condition(),
            prompt="### Instruction: …",
            text_format=text_format,
            strategy="C",
            demonstration_ids=["a", "b"],
            sampling=SamplingParams(seed=seed),
            model=ModelInfo(engine="by hand", base_model="nobody", device=device),
            versions={"torch": "0"},
            completions=[completion],
        )
        return completion, generation

    return _write


@pytest.fixture
def make(write: Callable[..., tuple[Completion, Generation]]) -> Callable[..., Candidate]:
    """Return a function from a text to its validated candidate."""

    def _make(text: str, **fields: object) -> Candidate:
        return validate_completion(*write(text, **fields))

    return _make


@pytest.fixture(scope="session")
def mp_20(shared_data: Path) -> Callable[[int], list[tuple[Structure, int, str]]]:
    """Return a function giving the first rows of MP-20's test file: crystal, group, formula."""

    @functools.cache
    def read(rows: int) -> list[tuple[Structure, int, str]]:
        table = pd.read_csv(shared_data / "mp_20_test.csv.gz", nrows=rows)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            structures = [Structure.from_str(text, fmt="cif") for text in table["cif"]]
        groups = [int(number) for number in table["spacegroup.number"]]
        return list(zip(structures, groups, table["pretty_formula"], strict=True))

    return read

"""Whatever a text holds, reading it gives a crystal or says why not, with little memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.crystal.bounds import structure_fault
from crystalicl_jobflow.text import TEXT_FORMATS, TextError

from .fuzzing import NUMBERS, WORDS, mutated, texts

SOUND = [(name, text) for name, sound in texts().items() for text in sound]
PIECES = st.sampled_from((*NUMBERS, *WORDS)) | st.text(max_size=6) | st.floats().map(str)


@pytest.mark.parametrize(("name", "text"), SOUND)
def test_the_undisturbed_texts_are_read(name: str, text: str) -> None:
    assert structure_fault(TEXT_FORMATS[name].decode(text)) is None


@given(sound=st.sampled_from(SOUND), place=st.integers(0, 200), piece=PIECES)
def test_one_token_replaced_gives_a_bounded_crystal_or_a_reason(
    sound: tuple[str, str], place: int, piece: str
) -> None:
    name, text = sound
    tokens = text.replace("\n", " \n ").split(" ")
    tokens[place % len(tokens)] = piece
    try:
        structure = TEXT_FORMATS[name].decode(" ".join(tokens))
    except TextError:
        return
    assert structure_fault(structure) is None


def test_a_seed_gives_the_same_texts() -> None:
    assert list(mutated(3, 40)) == list(mutated(3, 40))
    assert len({text for _, text in mutated(3, 40)}) > 30


def run(seed: int, count: int) -> dict[str, Any]:
    """Try texts in a child process, which has a limit of memory."""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-m", "tests.text.fuzzing", str(seed), str(count)],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def check(found: dict[str, Any]) -> None:
    assert found["undeclared"] == []
    assert found["internal"] == []
    assert found["read"] > 0.05 * found["tried"]


def test_a_few_hundred_disturbed_texts_end_no_process() -> None:
    check(run(1, 200))


@pytest.mark.slow
def test_twenty_thousand_disturbed_texts_end_no_process() -> None:
    found = run(0, 20_000)
    check(found)
    assert found["slowest"] < 2, found["slowest_text"]  # seconds of CPU

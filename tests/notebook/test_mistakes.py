"""What users give by mistake is answered in one line that says what is expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crystalicl_jobflow import CrystalGenerationFlowMaker, GenerateMaker, RetrieveMaker, generate
from crystalicl_jobflow.jobs import EvaluateMaker, ValidateMaker
from crystalicl_jobflow.schemas import Condition
from reciting import RecitingGenerator


def ask(**options: Any) -> Any:
    return generate("NaCl", **{"model": RecitingGenerator(), "shots": 0, "samples": 1, **options})


@pytest.mark.parametrize(
    ("give", "said"),
    [
        (lambda: Condition.parse("{"), "a condition's JSON cannot be read"),
        (lambda: Condition.parse("[1, 2]"), "a condition in JSON is an object"),
        (lambda: generate(elements=5), "elements: 5 names no elements"),
        (lambda: ask(shots="3"), "shots must be a whole number from 0 to 5, got '3'"),
        (lambda: ask(shots=None), "shots must be a whole number"),
        (lambda: ask(seed="x"), "seed must be a whole number, got 'x'"),
        (lambda: ask(samples=None), "samples must be a whole number, got None"),
        (lambda: ask(strategy=None), "strategy None does not exist"),
        (lambda: ask(model=5), "model must be a name or a loaded model, not int"),
        (lambda: ask(writing="hot"), "writing must be a Writing or a mapping"),
        (lambda: ask(writing={"temprature": 1}), "sampling: temprature"),
        (lambda: ask(xrd=5), "a measured pattern is a file or a PowderPattern, not 5"),
        (lambda: GenerateMaker(num_samples="8"), "num_samples must be a whole number, got '8'"),
        (lambda: GenerateMaker(sampling="hot"), "sampling must be SamplingParams or a mapping"),
        (lambda: GenerateMaker(sampling={"temprature": 1}), "sampling: temprature"),
        (lambda: GenerateMaker(search="tree"), "search must be a TreeSearch or its fields"),
        (lambda: GenerateMaker(constrain="yes"), "constrain must be True, False or options"),
        (lambda: GenerateMaker(base_model=None), "base_model must be a text, got None"),
        (lambda: GenerateMaker(batch_size="x"), "batch_size must be a whole number, got 'x'"),
        (lambda: GenerateMaker().make(None), "a condition is a formula"),
        (lambda: RetrieveMaker().make(5), "a condition is a formula"),
        (lambda: RetrieveMaker(shots=9), "shots must be from 0 to 5, got 9"),
        (lambda: RetrieveMaker(strategy="X"), "strategy 'X' does not exist"),
        (lambda: RetrieveMaker(seed="x"), "seed must be a whole number, got 'x'"),
        (lambda: ValidateMaker(processes=0), "processes must be at least 1, got 0"),
        (lambda: EvaluateMaker(energies=5), "energies must be a text or None, got 5"),
        (lambda: CrystalGenerationFlowMaker().make(None), "a condition is a formula"),
        (
            lambda: CrystalGenerationFlowMaker(generate_maker="embedded"),
            "generate_maker must be a GenerateMaker, not str",
        ),
    ],
)
def test_a_mistake_gets_one_line(give: Callable[[], Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"^[^\n]*$") as caught:
        give()
    assert said in str(caught.value)
    assert "NoneType" not in str(caught.value) or "not NoneType" in str(caught.value)


def test_writing_is_taken_as_a_mapping_too() -> None:
    (candidate,) = ask(writing={"temperature": 0.5, "constrain": False}).candidates
    assert candidate.provenance.sampling.temperature == 0.5

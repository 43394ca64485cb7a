r"""Cost of constrained decoding: microseconds per token, and the tokens per second it leaves.

Real crystals' own texts are written token by token under the constraint of their formula
and group, as a model with one token per word would write them, or one with the vocabulary
of ``--model``. CPU time of this process, so that a busy machine does not count. With
``--forward-ms`` as the time of a model's forward step for a whole batch, the share of the
unconstrained speed is estimated; with ``--measure`` the model's own step is timed for it.

    python performance/bench_constraints.py mp_20_test.csv.gz --limit 500
    python performance/bench_constraints.py mp_20_test.csv.gz --limit 60 \
        --model SmolLM2-135M-Instruct.Q4_1.gguf --batch 8 --measure
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Structure

from crystalicl_jobflow.generation import GenerationRequest, load_generator
from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints import build_constraint
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS
from crystalicl_jobflow.generation.constraints.plan import COORDINATE_VALUES, GROUP_VALUES
from crystalicl_jobflow.schemas import Condition, SamplingParams
from crystalicl_jobflow.text import SGS

LINE = "\n### "


def word_vocabulary() -> TokenVocabulary:
    """Return one token per word, with what precedes it, and an end token."""
    lengths = [f"{n / 10:.1f}" for n in range(10, 1000)]
    angles = [str(n) for n in range(20, 161)]
    words = [LINE + text for text in (*GROUP_VALUES.strings, *ELEMENTS)]
    for values in (lengths, angles, COORDINATE_VALUES.strings):
        words += [LINE + value for value in values] + [" " + value for value in values]
    return TokenVocabulary(["", *dict.fromkeys(words)], (0,))


def model_step(generator: Any, batch: int) -> float:
    """Return the CPU seconds of a model's step for a batch of rows, drawing included."""
    prompt = "### Instruction: Generate a crystal.\n### Response:"
    steps = 12
    generator.batch_size = batch
    sampling = SamplingParams(max_new_tokens=steps, max_redraws=0, temperature=2.0, top_p=1.0)
    requests = [GenerationRequest(prompt, num_samples=batch)]
    generator.generate(requests, sampling.model_copy(update={"max_new_tokens": 2}))  # warm up
    before = time.process_time()
    generator.generate(requests, sampling)
    return (time.process_time() - before) / steps


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path, help="CSV with a column 'cif'")
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--forward-ms", type=float, default=9.0)
    parser.add_argument("--model", default=None, help="model whose vocabulary is used")
    parser.add_argument("--measure", action="store_true", help="time the model's own step")
    parser.add_argument("--out", type=Path, default=None)
    arguments = parser.parse_args()

    generator: Any = None
    encode: Callable[[str], list[int]]
    if arguments.model is None:
        vocabulary = word_vocabulary()
        index = {text: token for token, text in enumerate(vocabulary.strings)}

        def encode(text: str) -> list[int]:
            return [
                index[(" " if place else LINE) + word]
                for line in text.split("\n")
                for place, word in enumerate(line.split(" "))
            ]

    else:
        generator = load_generator(arguments.model, num_threads=1)
        vocabulary = generator.causal.vocabulary

        def encode(text: str) -> list[int]:
            whole = "".join(LINE + line for line in text.split("\n"))
            ids = generator.causal.tokenizer(whole, add_special_tokens=False)["input_ids"]
            return [int(token) for token in ids]

    if arguments.measure:
        arguments.forward_ms = 1e3 * model_step(generator, arguments.batch)
    rows = pd.read_csv(arguments.csv, usecols=["cif"])
    rows = rows.sample(min(arguments.limit + 50, len(rows)), random_state=0)
    jobs = []
    for cif in rows["cif"]:
        crystal = SGS.analyze(Structure.from_str(cif, fmt="cif"))
        text = SGS.format(crystal)
        formula = SGS.build(crystal).composition.reduced_formula
        condition = Condition(formula=formula, space_group=crystal.space_group_number)
        jobs.append((condition, encode(text)))

    clock = time.process_time
    build, start, step = [], [], []
    refused = 0
    # the first 50 make the vocabulary's tables, once per process
    for number, (condition, tokens) in enumerate(jobs):
        t0 = clock()
        constraint = build_constraint(condition)
        t1 = clock()
        assert constraint is not None
        state = constraint.start(vocabulary)
        t2 = clock()
        for token in tokens:
            state.allowed()
            refused += not state.advance(token)
        t3 = clock()
        if number >= 50:
            build.append(t1 - t0)
            start.append(t2 - t1)
            step.append((t3 - t2) / len(tokens))
    microseconds = 1e6 * statistics.fmean(step)
    report = {
        "crystals": len(step),
        "tokens": sum(len(tokens) for _, tokens in jobs[50:]),
        "us_per_token_mean": round(microseconds, 1),
        "us_per_token_median": round(1e6 * statistics.median(step), 1),
        "ms_to_build_mean": round(1e3 * statistics.fmean(build), 3),
        "ms_to_start_mean": round(1e3 * statistics.fmean(start), 3),
        "refused": refused,
        "batch": arguments.batch,
        "vocabulary": len(vocabulary.strings),
        "forward_ms": round(arguments.forward_ms, 1),
        "share_of_unconstrained_speed": round(
            arguments.forward_ms / (arguments.forward_ms + arguments.batch * microseconds / 1e3), 3
        ),
    }
    print(json.dumps(report, indent=1))
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

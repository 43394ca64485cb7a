"""Tokens per second of generation: batch sizes, constraints, and HF ``generate`` beside it.

Run ``python performance/bench_generation.py`` (``--help`` for options). Without a model the
embedded one is used; ``--random`` builds one of its size with random weights.

With a CSV file, crystals per CPU second are measured instead, on formulas and groups of its rows,
each asked once, free and constrained in turn, so that a busy machine does both to the same extent.
Every repeat has other conditions, so that no table is there from before:

    python performance/bench_generation.py --csv mp_20_test.csv.gz --limit 256
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from crystalicl_jobflow.generation import GenerationRequest, load_generator
from crystalicl_jobflow.generation.generate import build_constraints
from crystalicl_jobflow.prompts import crystal_prompt
from crystalicl_jobflow.schemas import Condition, SamplingParams

# common structure types with different numbers of orbits: rows of different length
CONDITIONS = (
    ("CaTiO3", 221),
    ("NaCl", 225),
    ("MgAl2O4", 227),
    ("TiO2", 136),
    ("LiFePO4", 62),
    ("BaTiO3", 99),
    ("ZnS", 186),
    ("Fe3O4", 74),
    ("CaCO3", 167),
    ("SiO2", 152),
    ("GdFeO3", 62),
    ("Bi2Te3", 166),
    ("CuFeS2", 122),
    ("MoS2", 194),
    ("La2CuO4", 139),
    ("KAlSi3O8", 12),
)


def random_model(folder: Path) -> str:
    """Save a model of the embedded one's size with random weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    from crystalicl_jobflow.training.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=192,
        intermediate_size=512,
        num_hidden_layers=6,
        num_attention_heads=6,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def rate(run: Callable[[], int], repeats: int, clock: Callable[[], float]) -> float:
    """Return the median tokens per second of several runs, by a clock in seconds."""
    rates = []
    for _ in range(repeats):
        start = clock()
        count = run()
        rates.append(count / (clock() - start))
    return statistics.median(rates)


def ours(generator: Any, requests: list[GenerationRequest], sampling: SamplingParams) -> int:
    """Generate; return the number of tokens."""
    answers = generator.generate(requests, sampling)
    return sum(completion.num_tokens for row in answers for completion in row)


def hf_generate(generator: Any, prompts: list[str], sampling: SamplingParams, batch: int) -> int:
    """Do the same with ``model.generate``; return the number of tokens."""
    import torch

    ends = set(generator.causal.vocabulary.eos_token_ids)
    count = 0
    encoded = sorted((generator.causal.encode(prompt) for prompt in prompts), key=len)
    for start in range(0, len(encoded), batch):
        rows = encoded[start : start + batch]
        width = max(len(row) for row in rows)
        ids = torch.zeros((len(rows), width), dtype=torch.long)
        mask = torch.zeros_like(ids)
        for line, row in enumerate(rows):
            ids[line, width - len(row) :] = torch.tensor(row)
            mask[line, width - len(row) :] = 1
        output = generator.causal.model.generate(
            ids.to(generator.causal.device),
            attention_mask=mask.to(generator.causal.device),
            do_sample=True,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=0,
            max_new_tokens=sampling.max_new_tokens,
            pad_token_id=0,
        )
        for row in output[:, width:].tolist():
            place = next((i for i, token in enumerate(row) if token in ends), len(row))
            count += place
    return count


def is_as_asked(text: str, condition: Condition) -> bool:
    """Return whether a text is a crystal of the formula and group asked for."""
    from crystalicl_jobflow.text import SGS, TextError

    try:
        crystal = SGS.parse(text)
        formula = SGS.build(crystal).composition.reduced_formula
    except TextError:
        return False
    return (formula, (crystal.space_group_number,)) == (condition.formula, condition.space_groups)


def distinct_conditions(
    generator: Any, csv: Path, *, limit: int, repeats: int, batch: int
) -> dict[str, float]:
    """Return crystals per CPU second, free and constrained, on conditions that differ."""
    import pandas as pd

    rows = pd.read_csv(csv, usecols=["pretty_formula", "spacegroup.number"]).drop_duplicates()
    rows = rows.sample(min(len(rows), limit * repeats + batch), random_state=0)
    asked = [Condition(formula=f, space_group=int(g)) for f, g in rows.itertuples(index=False)]
    generator.batch_size = batch
    sampling = SamplingParams(max_redraws=0)
    seconds = {False: 0.0, True: 0.0}
    tokens = {False: 0, True: 0}
    right = {False: 0, True: 0}
    ratios = []
    parts = [asked[start : start + limit] for start in range(batch, len(asked), limit)]
    for number, conditions in enumerate((asked[:batch], *parts)):  # the first few warm up
        is_measured = number > 0 and len(conditions) == limit
        spent = {}
        for constrain in (False, True):
            before = time.process_time()
            constraints = build_constraints(conditions, constrain)
            requests = [
                GenerationRequest(
                    crystal_prompt(condition), key=condition.label(), constraint=constraint
                )
                for condition, constraint in zip(conditions, constraints, strict=True)
            ]
            answers = generator.generate(requests, sampling)
            spent[constrain] = time.process_time() - before
            if is_measured:
                seconds[constrain] += spent[constrain]
                tokens[constrain] += sum(row[0].num_tokens for row in answers)
                right[constrain] += sum(
                    is_as_asked(row[0].text, condition)
                    for row, condition in zip(answers, conditions, strict=True)
                )
        if is_measured:
            ratios.append(spent[False] / spent[True])
    count = limit * len(ratios)
    figures = {}
    for constrain, name in ((False, "free"), (True, "constrained")):
        figures[f"{name}, crystals/s"] = count / seconds[constrain]
        figures[f"{name}, as asked/s"] = right[constrain] / seconds[constrain]
        figures[f"{name}, tokens/s"] = tokens[constrain] / seconds[constrain]
        figures[f"{name}, tokens/crystal"] = tokens[constrain] / count
    figures["constrained / free, crystals/s"] = statistics.median(ratios)
    for what in ("as asked/s", "tokens/s"):
        free = figures[f"free, {what}"]
        figures[f"constrained / free, {what}"] = figures[f"constrained, {what}"] / free
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="embedded")
    parser.add_argument("--adapter", default=None)
    parser.add_argument("--random", action="store_true", help="random weights, embedded size")
    parser.add_argument("--batch-sizes", default="1,8,32")
    parser.add_argument("--samples", type=int, default=8, help="samples per condition")
    parser.add_argument("--max-new-tokens", type=int, default=120)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--out", type=Path, default=None, help="JSON file for the figures")
    parser.add_argument(
        "--cpu-time", action="store_true", help="seconds of the processor: for busy machines"
    )
    parser.add_argument("--csv", type=Path, default=None, help="rows with distinct conditions")
    parser.add_argument("--limit", type=int, default=256, help="conditions of each repeat")
    options = parser.parse_args()
    clock = time.process_time if options.cpu_time else time.perf_counter
    with tempfile.TemporaryDirectory() as folder:
        model = random_model(Path(folder)) if options.random else options.model
        generator: Any = load_generator(model, options.adapter, num_threads=options.threads)
    if options.csv is not None:
        figures = distinct_conditions(
            generator,
            options.csv,
            limit=options.limit,
            repeats=options.repeats,
            batch=int(options.batch_sizes.rpartition(",")[2]),
        )
        for name, value in figures.items():
            print(f"{name:34s} {value:10.2f}")
        if options.out:
            options.out.write_text(json.dumps(figures, indent=1))
        return
    sampling = SamplingParams(max_new_tokens=options.max_new_tokens, max_redraws=0)
    conditions = [Condition(formula=f, space_group=g) for f, g in CONDITIONS]
    prompts = [crystal_prompt(condition) for condition in conditions]
    free = [GenerationRequest(p, num_samples=options.samples) for p in prompts]
    constraints = build_constraints(conditions, True)
    bound = [
        GenerationRequest(p, num_samples=options.samples, constraint=constraint)
        for p, constraint in zip(prompts, constraints, strict=True)
    ]
    figures = {}
    generator.batch_size = 32
    ours(generator, free, sampling)  # warm up
    for size in (int(word) for word in options.batch_sizes.split(",")):
        generator.batch_size = size
        repeats = 1 if size == 1 else options.repeats
        figures[f"free, batch {size}"] = rate(
            lambda: ours(generator, free, sampling), repeats, clock
        )
    if all(constraint is not None for constraint in constraints):
        ours(generator, bound, sampling)  # fills the constraints' tables
        figures[f"constrained, batch {size}"] = rate(
            lambda: ours(generator, bound, sampling), options.repeats, clock
        )
        figures["constrained / free"] = (
            figures[f"constrained, batch {size}"] / figures[f"free, batch {size}"]
        )
    figures[f"HF generate, batch {size}"] = rate(
        lambda: hf_generate(
            generator, [p for p in prompts for _ in range(options.samples)], sampling, size
        ),
        options.repeats,
        clock,
    )
    for name, value in figures.items():
        print(f"{name:28s} {value:10.2f}" + ("" if "/" in name else " tokens/s"))
    if options.out:
        options.out.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()

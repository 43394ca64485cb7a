"""How time and memory grow from 1,000 to 100,000 candidates, step by step.

Texts of real crystals are varied: other elements of the same kinds of sites, other lengths of the
cell. They go through what a large run goes through: validated, evaluated (rates and uniqueness),
the best 100 selected, collected in a store, asked for. Each size runs in a process of its own, so
that peak memory is its own. Seconds are of the processor, one core. A step that grows like N^x has
the exponent x, fitted through the sizes; above 1.1 it is not in proportion any more.

    python performance/bench_growth.py mp_20_test.csv.gz --sizes 1000 10000 --out growth.json
    python performance/bench_growth.py mp_20_test.csv.gz --samples 10 --out conditions.json

With one sample each, formulas are drawn at random, as without a condition: the share of crystals
that have company of their own formula grows with the number. With ten, as many texts of each
condition are made, as a run with conditions has them at every size.

The result is also a table for a page of results (``crystalicl benchmark check``).
"""

from __future__ import annotations

import argparse
import json
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Structure

MAX_EXPONENT = 1.1
"""Above it a step does not count as growing in proportion."""

STEPS = ("validate", "evaluate", "select", "collect", "query")

ELEMENTS = [
    "Li", "Na", "K", "Rb", "Cs", "Be", "Mg", "Ca", "Sr", "Ba", "Sc", "Y", "La", "Ti", "Zr",
    "Hf", "V", "Nb", "Ta", "Cr", "Mo", "W", "Mn", "Fe", "Co", "Ni", "Cu", "Ag", "Au", "Zn",
    "Cd", "Al", "Ga", "In", "Si", "Ge", "Sn", "Pb", "P", "As", "Sb", "Bi", "O", "S", "Se",
    "Te", "F", "Cl", "Br", "I", "N", "C", "B",
]  # fmt: skip

LENGTHS = re.compile(r"^(\d+\.\d+) (\d+\.\d+) (\d+\.\d+)$", re.MULTILINE)


def varied_texts(path: Path, size: int, seed: int = 0, samples: int = 1) -> list[str]:
    """Return texts of crystals: those of a file, with other elements and other lengths.

    Parameters
    ----------
    path
        Real crystals.
    size
        Number of texts.
    seed
        Seed of the choices.
    samples
        Texts in a row that have one formula: real crystals of one anonymous formula with the
        same elements, as several samples of one condition are.
    """
    from crystalicl_jobflow.datasets.crystal_data import read_data_set
    from crystalicl_jobflow.text import SGS

    alike: dict[str, list[tuple[str, list[str]]]] = {}
    real: list[tuple[str, str, list[str]]] = []
    for crystal in read_data_set(path, limit=500, seed=seed).structures:
        if crystal is not None:
            text, elements = SGS.encode(crystal), _by_amount(crystal)
            anonymous = crystal.composition.anonymized_formula
            real.append((anonymous, text, elements))
            alike.setdefault(anonymous, []).append((text, elements))
    draw = random.Random(seed)
    texts: list[str] = []
    while len(texts) < size:
        anonymous, text, present = draw.choice(real)
        elements = draw.sample(ELEMENTS, len(present))
        for sample in range(min(samples, size - len(texts))):
            if sample:
                text, present = draw.choice(alike[anonymous])
            others = dict(zip(present, elements, strict=True))
            texts.append(_varied(text, others, draw.uniform(0.95, 1.2)))
    return texts


def _by_amount(crystal: Structure) -> list[str]:
    """Return the elements, the rarest first, so that exchanging them in turn keeps the formula."""
    amounts = crystal.composition.get_el_amt_dict()
    return sorted(amounts, key=lambda name: (amounts[name], name))


def _varied(text: str, others: dict[str, str], scale: float) -> str:
    """Return a text with other elements and lengths."""
    group, rest = text.split("\n", 1)  # Cm and Pm are groups, too
    text = re.sub(r"^[A-Z][a-z]?$", lambda match: others[match.group()], rest, flags=re.MULTILINE)
    lengths = LENGTHS.sub(
        lambda match: " ".join(f"{scale * float(x):.1f}" for x in match.groups()), text, count=1
    )
    return f"{group}\n{lengths}"


def one_size(path: Path, size: int, samples: int = 1) -> dict[str, Any]:
    """Run all steps at one size; seconds of the processor, and peak memory in MB after each."""
    from crystalicl_jobflow.candidates import (
        CandidateQuery,
        find_documents,
        open_candidate_store,
        store_candidates,
    )
    from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_all
    from crystalicl_jobflow.schemas import (
        Completion,
        Condition,
        Generation,
        ModelInfo,
        SamplingParams,
    )
    from crystalicl_jobflow.selection import SelectionRules, select_candidates
    from crystalicl_jobflow.validation.validate import build_candidates

    def generation(start: int, texts: list[str]) -> Generation:
        return Generation(
            condition=Condition(),
            prompt="",
            sampling=SamplingParams(),
            model=ModelInfo(engine="none", base_model="varied crystals"),
            completions=[
                Completion(
                    request_index=0, sample_index=start + k, text=text, finished=True, num_tokens=40
                )
                for k, text in enumerate(texts)
            ],
        )

    texts = varied_texts(path, size, samples=samples)
    build_candidates([generation(0, texts[:20])])  # imports and tables
    seconds: dict[str, float] = {}
    memory: dict[str, float] = {}

    def step(name: str, work: Callable[[], Any]) -> Any:
        began = time.process_time()
        result = work()
        seconds[name] = time.process_time() - began
        memory[name] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return result

    candidates = step("validate", lambda: build_candidates([generation(0, texts)]))
    evaluation = step("evaluate", lambda: evaluate_all(candidates, EvaluationOptions()))
    step("select", lambda: select_candidates(candidates, SelectionRules(number=100)))
    with tempfile.TemporaryDirectory() as folder:
        store = open_candidate_store(f"{folder}/candidates.sqlite")
        store.connect()
        step("collect", lambda: store_candidates(candidates, store, run="growth"))

        def ask() -> None:
            questions = [
                CandidateQuery(elements="O", valid=True),
                CandidateQuery(space_group="Fm-3m"),
                CandidateQuery(run="growth", valid=True),
            ]
            for question in questions:
                list(find_documents(store, question, sort="density", limit=20))

        step("query", ask)
        store.close()  # type: ignore[no-untyped-call] # maggma's
    return {
        "size": size,
        "seconds": {name: round(value, 3) for name, value in seconds.items()},
        "peak_mb": {name: round(value, 1) for name, value in memory.items()},
        "different": evaluation.rates["unique"].count,
        "valid": evaluation.rates["valid"].count,
    }


def exponent(sizes: list[int], values: list[float]) -> float:
    """Return x of N^x by least squares of the logarithms."""
    return float(np.polyfit(np.log(sizes), np.log(np.maximum(values, 1e-4)), 1)[0])


def main() -> int:
    """Run the benchmark; 1 where a step grows faster than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("csv", type=Path, help="real crystals, e.g. mp_20_test.csv.gz")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 5000, 20000, 100000])
    parser.add_argument("--samples", type=int, default=1, help="texts of one formula [default: 1]")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(one_size(options.csv, options.one, options.samples)))
        return 0
    rows = []
    for size in options.sizes:
        asked = ["--one", str(size), "--samples", str(options.samples)]
        command = [sys.executable, "-W", "ignore", __file__, str(options.csv), *asked]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print(json.dumps(rows[-1]), flush=True)
    sizes = [row["size"] for row in rows]
    found = {name: exponent(sizes, [row["seconds"][name] for row in rows]) for name in STEPS}
    peak = [row["peak_mb"]["query"] for row in rows]
    table = [
        [
            name,
            *(f"{row['seconds'][name]:.2f}" for row in rows),
            f"{found[name]:.2f}",
        ]
        for name in STEPS
    ]
    table.append(["peak memory, MB", *(f"{value:.0f}" for value in peak), ""])
    result = {
        "kind": "table",
        "heads": ["seconds", *(f"{size:,}" for size in sizes), "exponent"],
        "rows": table,
        "goal": MAX_EXPONENT,
        "samples": options.samples,
        "exponents": {name: round(value, 3) for name, value in found.items()},
        "exponent_of_memory": round(exponent(sizes, peak), 3),
        "runs": rows,
    }
    if options.out is not None:
        options.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    for line in (result["heads"], *table):
        print("  ".join(str(cell).rjust(10) for cell in line))
    too_fast = {name: value for name, value in found.items() if value > MAX_EXPONENT}
    if too_fast:
        print(f"grow faster than N^{MAX_EXPONENT}: {too_fast}")
    return 1 if too_fast else 0


if __name__ == "__main__":
    sys.exit(main())

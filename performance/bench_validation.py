"""How fast candidates are checked and evaluated, and what the checks say of real crystals.

Every crystal of the file is written as SGS text and goes through validation as if a model
had written it; it is then compared with the crystal it came from.

    python performance/bench_validation.py mp_20_test.csv.gz --rows 500 --out validation.json

Times are of the processor, one core: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Structure
from rich.console import Console
from rich.table import Table

from crystalicl_jobflow.comparison.matching import match_many, unique_groups
from crystalicl_jobflow.evaluation import evaluate
from crystalicl_jobflow.schemas import (
    Completion,
    Condition,
    Generation,
    ModelInfo,
    SamplingParams,
)
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.validation.checks import validate_structure
from crystalicl_jobflow.validation.composition import composition_valid
from crystalicl_jobflow.validation.distances import distance_report
from crystalicl_jobflow.validation.reading import read_text
from crystalicl_jobflow.validation.summary import crystal_summary
from crystalicl_jobflow.validation.validate import build_candidates

LIMIT_SECONDS_PER_1000 = 60.0
"""Validation of 1,000 candidates on one core must stay below."""


def read_crystals(path: Path, rows: int) -> tuple[list[Structure], list[int | None]]:
    """Read crystals and, where the file has them, their space-group numbers."""
    table = pd.read_csv(path, nrows=rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        structures = [Structure.from_str(text, fmt="cif") for text in table["cif"]]
    column = table.get("spacegroup.number")
    numbers = [None] * len(structures) if column is None else column
    groups = [None if number is None else int(number) for number in numbers]
    return structures, groups


def as_generation(index: int, text: str, crystal: Structure, group: int | None) -> Generation:
    """Return the document a model that writes this text would have given."""
    completion = Completion(
        request_index=index, sample_index=0, text=text, finished=True, num_tokens=0
    )
    return Generation(
        condition=Condition(formula=crystal.composition.reduced_formula, space_group=group),
        prompt="",
        sampling=SamplingParams(),
        model=ModelInfo(engine="none", base_model="the file itself"),
        completions=[completion],
    )


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the processor seconds it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def measure(path: Path, rows: int) -> dict[str, Any]:
    """Run everything once and return figures."""
    crystals, groups = read_crystals(path, rows)
    count = len(crystals)
    texts = [SGS.encode(crystal) for crystal in crystals]
    generations = [
        as_generation(i, text, crystal, group)
        for i, (text, crystal, group) in enumerate(zip(texts, crystals, groups, strict=True))
    ]
    build_candidates(generations[:1])  # imports and tables
    candidates, validation = timed(lambda: build_candidates(generations))
    rebuilt = [c.structure for c in candidates if c.structure is not None]
    parts = {
        "reading the text": lambda: [read_text(text, "sgs") for text in texts],
        "group and formula": lambda: [crystal_summary(s) for s in rebuilt],
        "distances": lambda: [distance_report(s) for s in rebuilt],
        "composition": lambda: [composition_valid(s.composition) for s in rebuilt],
        "matching": lambda: match_many(list(zip(rebuilt, crystals, strict=True))),
        "uniqueness": lambda: unique_groups(rebuilt),
    }
    seconds = {"validation": validation} | {name: timed(work)[1] for name, work in parts.items()}
    evaluation = evaluate(candidates, references=crystals, unique=False)
    originals = [validate_structure(crystal) for crystal in crystals]
    return {
        "file": path.name,
        "rows": count,
        "seconds_per_1000": {name: 1000 * value / count for name, value in seconds.items()},
        "within_limit": 1000 * validation / count < LIMIT_SECONDS_PER_1000,
        "rates_of_texts": {name: r.model_dump() for name, r in evaluation.rates.items()},
        "rms": evaluation.metrics["rms"],
        "originals": {
            name: sum(bool(getattr(report.checks, name)) for report in originals)
            for name in ("structure_valid", "structure_valid_radii", "composition_valid")
        }
        | {
            "group_of_the_file": None
            if groups[:1] == [None]
            else sum(r.summary.space_group == g for r, g in zip(originals, groups, strict=True)),
            "of": count,
        },
    }


def show(figures: dict[str, Any]) -> None:
    """Print the figures."""
    console = Console()
    table = Table("What", "CPU s per 1,000", title=f"{figures['file']}, {figures['rows']} rows")
    for name, value in figures["seconds_per_1000"].items():
        table.add_row(name, f"{value:.2f}")
    console.print(table)
    table = Table("Rate", "Of the texts", "Count", "Of")
    for name, rate in figures["rates_of_texts"].items():
        share = "-" if rate["rate"] is None else f"{rate['rate']:.4f}"
        table.add_row(name, share, str(rate["count"]), str(rate["of"]))
    console.print(table)
    console.print(f"mean normalised RMS: {figures['rms']:.4f}")
    console.print(f"the file's own structures: {figures['originals']}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("csv", type=Path, help="crystals, in a column cif")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    figures = measure(arguments.csv, arguments.rows)
    show(figures)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")
    if not figures["within_limit"]:
        raise SystemExit(f"validation takes more than {LIMIT_SECONDS_PER_1000:g} s per 1,000")


if __name__ == "__main__":
    main()

"""How fast sets of crystals are compared, against the straightforward loops.

The crystals of the first file, written as SGS text and read back, stand for generated ones,
every fourth one twice (once as another cell); those of the second file are the reference.

    python performance/bench_evaluation.py mp_20_test.csv.gz mp_20_train.csv.gz --limit 150

compares, on so many crystals of either file and in the same run,

- fingerprints: matminer's featurizer at every site against one site per orbit, and the
  second run, which finds them in the cache; Magpie by matminer against one table,
- coverage: a distance for each pair in a loop against blocks of distances,
- uniqueness and novelty: ``StructureMatcher.fit`` for each pair against buckets of one
  reduced formula,

and that both ways give the same answer. ``--full`` adds 10,000 generated against 9,046
reference crystals: coverage with the time and memory it takes (fingerprints of the first
file's crystals, drawn again with noise up to these numbers: the cost does not depend on the
values), novelty and uniqueness of 10,000 crystals of both files. It computes the fingerprints
of the first file first, five minutes for MP-20's test file; keep them with ``--cache``.

Times are of the processor, one core: other work on the machine does not count.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import tracemalloc
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from rich.console import Console
from rich.table import Table

from crystalicl_jobflow.comparison.coverage import (
    StandardScaler,
    compare_coverage,
    coverage_cutoffs,
)
from crystalicl_jobflow.comparison.fingerprint_sets import (
    CrystalFingerprints,
    composition_fingerprint,
    crystal_fingerprints,
)
from crystalicl_jobflow.comparison.novelty import match_reference, unique_crystals
from crystalicl_jobflow.text import SGS

FULL_GENERATED = 10_000
FULL_REFERENCE = 9_046
MAX_BYTES = 4 * 2**30
SAME_FINGERPRINT = 1e-3
"""Fingerprints so near are the same: sites of one orbit differ by up to 0.001 Å in position."""
WANTED_RATIO = 10.0
"""Bucketed and vectorised parts must be so many times faster than their loops."""


def read_crystals(path: Path, rows: int | None) -> list[Structure]:
    table = pd.read_csv(path, nrows=rows)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [Structure.from_str(text, fmt="cif") for text in table["cif"]]


def as_generated(crystals: list[Structure]) -> list[Structure]:
    """Return the crystals as their texts give them, every fourth one in two cells."""
    generated = []
    for index, crystal in enumerate(crystals):
        rebuilt = SGS.decode(SGS.encode(crystal))
        generated.append(rebuilt)
        if index % 4 == 0:
            generated.append(rebuilt.get_reduced_structure())
    return generated


def timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return a result and the processor seconds it took."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def loop_structure_fingerprints(crystals: list[Structure]) -> np.ndarray:
    from matminer.featurizers.site import CrystalNNFingerprint

    featurizer = CrystalNNFingerprint.from_preset("ops")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return np.array(
            [np.mean([featurizer.featurize(c, i) for i in range(len(c))], axis=0) for c in crystals]
        )


def loop_composition_fingerprints(crystals: list[Structure]) -> np.ndarray:
    from matminer.featurizers.composition import ElementProperty

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        featurizer = ElementProperty.from_preset("magpie", impute_nan=False)
        return np.array([featurizer.featurize(c.composition) for c in crystals], dtype=float)


def loop_coverage(generated: CrystalFingerprints, reference: CrystalFingerprints) -> list[int]:
    """Return how many reference crystals are covered, and how many generated ones cover."""
    by_structure, by_composition = coverage_cutoffs("mp_20")
    scaler = StandardScaler.fit(reference.composition)
    first = scaler.transform(generated.composition)
    second = scaler.transform(reference.composition)
    covered, covering = set(), set()
    for i in np.flatnonzero(generated.ok):
        for j in np.flatnonzero(reference.ok):
            near = np.linalg.norm(generated.structure[i] - reference.structure[j]) <= by_structure
            if near and np.linalg.norm(first[i] - second[j]) <= by_composition:
                covered.add(j)
                covering.add(i)
    return [len(covered), len(covering)]


def loop_unique(crystals: list[Structure]) -> int:
    matcher = StructureMatcher()
    founders: list[Structure] = []
    for crystal in crystals:
        if not any(matcher.fit(founder, crystal) for founder in founders):
            founders.append(crystal)
    return len(founders)


def loop_novel(crystals: list[Structure], references: list[Structure]) -> int:
    matcher = StructureMatcher()
    return sum(not any(matcher.fit(c, other) for other in references) for c in crystals)


def measure(generated: list[Structure], reference: list[Structure]) -> dict[str, Any]:
    """Compare each part with its loop on the same crystals."""
    parts: dict[str, dict[str, Any]] = {}

    def record(name: str, loop: Callable[[], Any], ours: Callable[[], Any]) -> tuple[Any, Any]:
        slow, loop_seconds = timed(loop)
        fast, seconds = timed(ours)
        parts[name] = {
            "loop_seconds": loop_seconds,
            "seconds": seconds,
            "ratio": loop_seconds / max(seconds, 1e-9),
        }
        return slow, fast

    warm = generated[:1]
    loop_structure_fingerprints(warm), crystal_fingerprints(warm), unique_crystals(warm * 2)
    loop_composition_fingerprints(warm), loop_unique(warm * 2)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "fingerprints.sqlite"
        few = reference[: max(1, len(reference) // 5)]
        slow, prints = record(
            "structural fingerprints",
            lambda: loop_structure_fingerprints(few),
            lambda: crystal_fingerprints(few, cache=cache),
        )
        apart = np.linalg.norm(slow[prints.ok] - prints.structure[prints.ok], axis=1).max()
        parts["structural fingerprints"]["largest_distance"] = float(apart)
        parts["structural fingerprints"]["agree"] = bool(apart < SAME_FINGERPRINT)
        first = parts["structural fingerprints"]["loop_seconds"]
        again, seconds = timed(lambda: crystal_fingerprints(few, cache=cache))
        parts["structural fingerprints, second run"] = {
            "loop_seconds": first,
            "seconds": seconds,
            "ratio": first / max(seconds, 1e-9),
            "agree": again.computed == 0
            and np.array_equal(again.structure, prints.structure, equal_nan=True),
        }
    slow, fast = record(
        "composition fingerprints",
        lambda: loop_composition_fingerprints(reference),
        lambda: np.array([composition_fingerprint(c.composition) for c in reference]),
    )
    parts["composition fingerprints"]["agree"] = bool(
        np.allclose(slow, fast, rtol=1e-9, atol=1e-9, equal_nan=True)
    )
    rng = np.random.default_rng(0)
    known = spread_fingerprints(prints, len(reference), rng)
    drawn = spread_fingerprints(prints, len(generated), rng)
    slow, fast = record(
        "coverage", lambda: loop_coverage(drawn, known), lambda: compare_coverage(drawn, known)
    )
    parts["coverage"]["agree"] = slow == [fast.recall.count, fast.precision.count]
    slow, groups = record(
        "uniqueness", lambda: loop_unique(generated), lambda: unique_crystals(generated)
    )
    parts["uniqueness"]["agree"] = slow == len(set(groups))
    parts["uniqueness"]["unique"] = len(set(groups))
    slow, matched = record(
        "novelty",
        lambda: loop_novel(generated, reference),
        lambda: match_reference(generated, reference),
    )
    parts["novelty"]["agree"] = slow == sum(place is None for place in matched)
    parts["novelty"]["novel"] = sum(place is None for place in matched)
    return {"generated": len(generated), "reference": len(reference), "parts": parts}


def spread_fingerprints(
    prints: CrystalFingerprints, count: int, rng: np.random.Generator
) -> CrystalFingerprints:
    """Draw real fingerprints again, with noise, up to a number; the cost is the same."""
    chosen = prints.take(rng.choice(np.flatnonzero(prints.ok), count))
    noise = rng.normal(scale=0.02, size=chosen.structure.shape)
    return CrystalFingerprints(chosen.structure + noise, chosen.composition, chosen.errors)


def measure_full(
    first: list[Structure], second: list[Structure], cache: Path | None
) -> dict[str, Any]:
    """Compare 10,000 with 9,046 crystals, and say what memory the distances took."""
    console = Console(stderr=True)

    def progress(done: int, of: int) -> None:
        if done % 1024 == 0 or done == of:
            console.print(f"fingerprints {done}/{of}")

    prints, seconds = timed(lambda: crystal_fingerprints(first, cache=cache, progress=progress))
    figures: dict[str, Any] = {
        "fingerprints": {
            "crystals": len(prints),
            "computed": prints.computed,
            "failed": int(np.sum(~prints.ok)),
            "seconds": seconds,
        }
    }
    own = compare_coverage(prints, prints)
    figures["coverage of the first file by itself"] = {
        "recall": own.recall.model_dump(),
        "mean_distances": own.mean_distances,
    }
    half = compare_coverage(prints.take(range(0, len(prints), 2)), prints)
    figures["coverage of the first file by every other crystal of it"] = {
        name: getattr(half, name).model_dump()
        for name in ("recall", "precision", "recall_separate", "precision_separate")
    }
    rng = np.random.default_rng(0)
    drawn = spread_fingerprints(prints, FULL_GENERATED, rng)
    known = spread_fingerprints(prints, FULL_REFERENCE, rng)
    result, seconds = timed(lambda: compare_coverage(drawn, known))
    tracemalloc.start()
    compare_coverage(drawn, known)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    figures["coverage"] = {
        "generated": len(drawn),
        "reference": len(known),
        "seconds": seconds,
        "peak_bytes": peak,
        "recall": result.recall.model_dump(),
        "precision": result.precision.model_dump(),
    }
    reference = second[:FULL_REFERENCE]
    generated = as_generated((first + second)[:FULL_GENERATED])[:FULL_GENERATED]
    groups, seconds = timed(lambda: unique_crystals(generated))
    figures["uniqueness"] = {
        "generated": len(generated),
        "unique": len(set(groups)),
        "seconds": seconds,
    }
    matched, seconds = timed(lambda: match_reference(generated, reference))
    figures["novelty"] = {
        "generated": len(generated),
        "reference": len(reference),
        "novel": sum(place is None for place in matched),
        "seconds": seconds,
    }
    return figures


def show(figures: dict[str, Any]) -> None:
    """Print the figures."""
    console = Console()
    title = f"{figures['generated']} generated, {figures['reference']} reference crystals"
    table = Table("Part", "Loop, s", "Here, s", "Times faster", "Same answer", title=title)
    for name, part in figures["parts"].items():
        table.add_row(
            name,
            f"{part['loop_seconds']:.3f}",
            f"{part['seconds']:.3f}",
            f"{part['ratio']:.1f}",
            "yes" if part["agree"] else "no",
        )
    console.print(table)
    apart = figures["parts"]["structural fingerprints"]["largest_distance"]
    console.print(f"structural fingerprints are at most {apart:.1e} from those of all sites")
    for name, part in figures.get("full", {}).items():
        console.print(name, part)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("generated", type=Path, help="crystals, in a column cif")
    parser.add_argument("reference", type=Path, help="crystals, in a column cif")
    parser.add_argument("--limit", type=int, default=150, help="crystals of either file")
    parser.add_argument("--full", action="store_true", help="add 10,000 against 9,046 crystals")
    parser.add_argument("--cache", type=Path, help="fingerprints of --full: a .sqlite file")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    arguments = parser.parse_args()
    rows = None if arguments.full else arguments.limit
    first = read_crystals(arguments.generated, rows)
    second = read_crystals(arguments.reference, rows)
    limit = arguments.limit
    figures = measure(as_generated(first[:limit]), second[:limit])
    if arguments.full:
        figures["full"] = measure_full(first, second, arguments.cache)
    show(figures)
    if arguments.out is not None:
        arguments.out.write_text(json.dumps(figures, indent=2) + "\n")
    slow = [
        name
        for name in ("composition fingerprints", "coverage", "uniqueness", "novelty")
        if figures["parts"][name]["ratio"] < WANTED_RATIO
    ]
    if slow:
        raise SystemExit(f"less than {WANTED_RATIO:g} times faster: {', '.join(slow)}")
    if arguments.full and figures["full"]["coverage"]["peak_bytes"] > MAX_BYTES:
        raise SystemExit("coverage takes more than 4 GB")


if __name__ == "__main__":
    main()

"""How long it takes to write and to find candidates, against doing it by hand.

Made-up candidates go into the store as the Builder writes them, then questions of the
documentation are asked: the first page, filtered and sorted. The yardstick of asking is what
one does without a store: read every line of a JSON-lines file with the same documents, keep
those that meet the question, sort them, take the first. The yardstick of writing is the time
per document of the first half: a ratio near 1 is time in proportion. Ratios mean something
on any machine; times are of this one. CPU time of this process stands beside wall time, for
machines that have other work.

    python performance/bench_query.py --size 100000 --out query.json
    python performance/bench_query.py --uri mongodb://localhost:27017
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from crystalicl_jobflow.candidates import CandidateQuery, find_documents, open_candidate_store
from crystalicl_jobflow.candidates.candidate_query import field_name
from crystalicl_jobflow.candidates.contributions import Part
from crystalicl_jobflow.candidates.indexes import ensure_indexes, index_for
from crystalicl_jobflow.candidates.writing import write_parts
from made_up import synthetic_documents

PAGE = 20
MAX_SECONDS = 1.0
"""A filtered, sorted first page must not take longer, at any size up to 100,000."""

Keep = Callable[[dict[str, Any]], bool]

QUESTIONS: dict[str, tuple[dict[str, Any], str, Keep]] = {
    "CaTiO3": (
        {"formula": "CaTiO3"}, "energy_above_hull", lambda d: d["formula_pretty"] == "CaTiO3",
    ),
    "Ca-O-Ti": ({"chemsys": "Ca-Ti-O"}, "energy_above_hull", lambda d: d["chemsys"] == "Ca-O-Ti"),
    "Ca and O without Ti": (
        {"elements": "Ca,O", "without_elements": "Ti"},
        "energy_above_hull",
        lambda d: {"Ca", "O"} <= set(d["elements"]) and "Ti" not in d["elements"],
    ),
    "stable and novel": (
        {"stable": True, "novel": True},
        "energy_above_hull",
        lambda d: d["is_stable"] is True and d["is_novel"] is True,
    ),
    "valid Fm-3m": (
        {"space_group": "Fm-3m", "valid": True},
        "energy_above_hull",
        lambda d: d["symmetry"]["number"] == 225 and d["valid"],
    ),
    "gap of 1 to 3 eV": (
        {"properties": {"band_gap": (1, 3)}, "metastable": True},
        "energy_above_hull",
        lambda d: d["is_metastable"] is True and 1 <= (d["band_gap"] or 0.0) <= 3,
    ),
    "least dense of a run": (
        {"run": "run-3", "valid": True}, "density",
        lambda d: "run-3" in d["run_ids"] and d["valid"],
    ),
}  # fmt: skip
"""Question, field to sort by, and the same question in Python."""


def parts(count: int) -> Iterator[Part]:
    """Yield what jobs would say of made-up candidates."""
    energies = ("energy_above_hull", "formation_energy_per_atom", "band_gap")
    for document in synthetic_documents(count):
        generated = document["generated"]
        if generated is not None:
            generated = {
                **generated, "structure": document["structure"], "density": document["density"],
            }  # fmt: skip
        row = {name: document[name] for name in energies}
        row |= {"novel": document["is_novel"], "unique": document["is_unique"]}
        row |= {"stable": document["is_stable"], "metastable": document["is_metastable"]}
        origin = {
            "name": "evaluate", "job_uuid": document["run_ids"][1], "job_index": 1,
            "job_name": "evaluate", "completed_at": "2026-01-01T00:00:00",
        }  # fmt: skip
        kept = {name: value for name, value in row.items() if value is not None}
        yield Part(
            document["candidate_id"],
            stage="validated",
            text={
                name: document[name]
                for name in (
                    "formula_pretty", "formula_anonymous", "chemsys", "elements", "nelements",
                    "nsites", "nsites_primitive", "composition_reduced", "condition", "text",
                    "parsed", "valid", "joint_success", "failure_reason", "provenance",
                    "created_at",
                )
            } | {"generated": generated},
            evaluations=[{"origin": origin, "row": kept}],
            origins=[origin],
            run_ids=set(document["run_ids"]),
        )  # fmt: skip


def timed(call: Callable[[], Any]) -> tuple[Any, float, float]:
    """Return a result, and the wall and CPU seconds it took."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def write(store: Any, size: int) -> dict[str, float]:
    """Write candidates in tenths, as a Builder's chunks come; seconds per 1,000 documents."""
    source = parts(size)
    tenths = []
    tenth = max(1, size // 10)
    while chunk := list(islice(source, tenth)):
        _, _, cpu = timed(lambda: write_parts(chunk, store))
        tenths.append(1000 * cpu / len(chunk))
    return {
        "cpu_s_per_1000": statistics.fmean(tenths),
        "second_half_over_first": statistics.fmean(tenths[len(tenths) // 2 :])
        / statistics.fmean(tenths[: len(tenths) // 2] or tenths),
    }


def first_page(store: Any, asked: dict[str, Any], sort: str) -> list[dict[str, Any]]:
    """Return the first page as the command line's table gets it."""
    fields = ["formula_pretty", "symmetry", "energy_above_hull", "density", "valid"]
    return list(
        find_documents(store, CandidateQuery(**asked), sort=sort, limit=PAGE, fields=fields)
    )


def by_hand(path: Path, keep: Keep, sort: str) -> list[dict[str, Any]]:
    """Return the first page from a file of JSON lines."""
    with path.open("rb") as file:
        kept = [document for line in file if keep(document := orjson.loads(line))]
    kept.sort(key=lambda d: (d[sort] is None, d[sort] or 0.0))
    return kept[:PAGE]


def ask(store: Any, path: Path, repeat: int) -> list[dict[str, Any]]:
    """Time every question, against the file."""
    rows = []
    for name, (asked, sort, keep) in QUESTIONS.items():
        runs = [timed(lambda: first_page(store, asked, sort)) for _ in range(repeat)]  # noqa: B023
        expected, _, hand = timed(lambda: by_hand(path, keep, sort))  # noqa: B023
        found = runs[0][0]
        if [d[sort] for d in found] != [d[sort] for d in expected]:
            raise SystemExit(f"{name}: the store and the file answer differently")
        cpu = statistics.median(run[2] for run in runs)
        criteria = CandidateQuery(**asked).mongo_criteria
        index = index_for(criteria, {field_name(sort): 1}) or index_for(criteria)
        rows.append(
            {
                "question": name,
                "index": " ".join(index or ()),
                "first_wall_s": runs[0][1],
                "median_wall_s": statistics.median(run[1] for run in runs),
                "cpu_s": cpu,
                "file_cpu_s": hand,
                "ratio": hand / cpu,
            }
        )
    return rows


def main() -> int:
    """Run the benchmark; 1 where a page takes longer than it may."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=5000, help="candidates")
    parser.add_argument("--repeat", type=int, default=5, help="times each question is asked")
    parser.add_argument("--uri", help="a MongoDB server to measure, too")
    parser.add_argument("--out", type=Path, help="JSON file for the results")
    options = parser.parse_args()
    console = Console()
    results: dict[str, Any] = {"size": options.size, "page": PAGE}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "candidates.jsonl"
        specs = {"sqlite": str(Path(folder) / "candidates.sqlite")}
        if options.uri:
            specs["mongodb"] = f"{options.uri.rstrip('/')}/crystalicl_bench/candidates"
        for kind, spec in specs.items():
            store = open_candidate_store(spec)
            store.remove_docs({})
            ensure_indexes(store)
            written = write(store, options.size)
            if kind == "sqlite":
                with path.open("wb") as file:
                    for document in store.query():
                        file.write(orjson.dumps(document) + b"\n")
                written["bytes_per_document"] = Path(spec).stat().st_size / options.size
            rows = ask(store, path, options.repeat)
            results[kind] = {"write": written, "questions": rows}
            show(console, kind, options.size, written, rows)
            if kind == "mongodb":
                store._collection.drop()
    if options.out is not None:
        options.out.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    slow = [row for row in results["sqlite"]["questions"] if row["first_wall_s"] > MAX_SECONDS]
    for row in slow:
        console.print(f"{row['question']}: {row['first_wall_s']:.2f} s, more than {MAX_SECONDS} s")
    return 1 if slow else 0


def show(
    console: Console, kind: str, size: int, written: dict[str, float], rows: list[dict[str, Any]]
) -> None:
    """Print the results of one store."""
    console.print(
        f"{kind}: {size} candidates written, {written['cpu_s_per_1000']:.2f} CPU s per 1,000; the"
        f" second half took {written['second_half_over_first']:.2f} times the first"
    )
    table = Table("Question", "Index", "First page, ms", "CPU ms", "File, CPU ms", "Ratio")
    for row in rows:
        table.add_row(
            row["question"],
            row["index"],
            f"{1000 * row['first_wall_s']:.1f}",
            f"{1000 * row['cpu_s']:.1f}",
            f"{1000 * row['file_cpu_s']:.0f}",
            f"{row['ratio']:.0f}",
        )
    console.print(table)


if __name__ == "__main__":
    raise SystemExit(main())

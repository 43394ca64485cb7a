"""Speed of preparing whole data sets: texts of all crystals, and a pool of demonstrations.

``python performance/bench_preprocessing.py CSV... --pool CSV [--json FILE]``, processor time of
one process; the CSV files have a column ``cif``.

- *texts*: every crystal of the files is read and written as an SGS text; reading counts apart.
  Beside it on the same crystals: the one call of moyopy that every text needs.
- *pool*: `fill_pool` without fingerprints from the file behind ``--pool`` into a store that does
  not exist yet, with reading the CSV file and the CIF texts and writing the store. The
  yardstick in the same run: pymatgen's ``Structure.from_str`` and
  ``SpacegroupAnalyzer.get_symmetrized_structure`` (symprec 0.1) of a tenth of the crystals, in
  turns with the pool, so that a busy machine slows both alike. It writes no text and no store.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import moyopy
from pymatgen.core import Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from crystalicl_jobflow.datasets.records import read_crystal
from crystalicl_jobflow.datasets.sources import CsvSource
from crystalicl_jobflow.retrieval.pool import fill_pool
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.thresholds import SYMPREC

clock = time.process_time
#: One crystal in so many goes through pymatgen, so many at once.
EVERY, AT_ONCE = 10, 5
PUBLISHED = {
    "crystals": 43_000,
    "seconds": 142.57,
    "processes": 32,
    "source": "CrystalICL, table 6",
}


def measure_texts(files: list[Path]) -> dict[str, Any]:
    seconds = dict.fromkeys(("reading", "texts", "moyopy"), 0.0)
    crystals = refused = 0
    setting = moyopy.Setting.spglib()
    for file in files:
        for record in CsvSource(file).records():
            start = clock()
            try:
                structure = read_crystal(str(record.crystal))
            except ValueError:
                refused += 1
                continue
            read = clock()
            SGS.encode(structure)
            written = clock()
            kinds: dict[object, int] = {}
            labels = [kinds.setdefault(site.species, len(kinds)) for site in structure]
            matrix, coords = structure.lattice.matrix.tolist(), structure.frac_coords.tolist()
            searching = clock()
            moyopy.MoyoDataset(
                moyopy.Cell(matrix, coords, labels), symprec=SYMPREC, setting=setting
            )
            seconds["moyopy"] += clock() - searching
            seconds["reading"] += read - start
            seconds["texts"] += written - read
            crystals += 1
        print(f"{file.name}: {crystals} so far, {crystals / seconds['texts']:.0f} per second")
    return {
        "crystals": crystals,
        "refused": refused,
        "files": [file.name for file in files],
        **{name: rate(crystals, value) for name, value in seconds.items()},
        "reading_and_texts": rate(crystals, seconds["reading"] + seconds["texts"]),
    }


def measure_pool(file: Path) -> dict[str, Any]:
    cifs = [str(record.crystal) for record in CsvSource(file).records()]
    yardstick, in_pymatgen = 0.0, 0

    def in_turns(stage: str, done: int, total: int | None) -> None:  # noqa: ARG001
        nonlocal yardstick, in_pymatgen
        if done % (EVERY * AT_ONCE):
            return
        start = clock()
        for cif in cifs[done - AT_ONCE : done]:
            structure = Structure.from_str(cif, fmt="cif")
            SpacegroupAnalyzer(structure, symprec=SYMPREC).get_symmetrized_structure()
            in_pymatgen += 1
        yardstick += clock() - start

    with tempfile.TemporaryDirectory() as folder:
        start = clock()
        report = fill_pool(
            file, f"{folder}/pool.db", fingerprints=False, processes=1, progress=in_turns
        )
        seconds = clock() - start - yardstick
    pool, other = rate(report.added, seconds), rate(in_pymatgen, yardstick)
    return {
        "file": file.name,
        "crystals": report.added,
        "failed": len(report.failed),
        "pool": pool,
        "crystals_in_pymatgen": in_pymatgen,
        "pymatgen": other,
        "times_pymatgen": round(other["mean_ms"] / pool["mean_ms"], 2),
    }


def rate(crystals: int, seconds: float) -> dict[str, float]:
    return {
        "seconds": round(seconds, 2),
        "mean_ms": round(seconds / crystals * 1e3, 3),
        "per_second": round(crystals / seconds),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("csv", type=Path, nargs="*")
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    measured: dict[str, Any] = {}
    rows = []
    if arguments.pool is not None:
        measured["pool"] = pool = measure_pool(arguments.pool)
        rows.append(("pool, from CSV to store", pool["crystals"], pool["pool"]))
        name = "pymatgen: `from_str`, `get_symmetrized_structure`"
        rows.append((name, pool["crystals_in_pymatgen"], pool["pymatgen"]))
    if arguments.csv:
        measured["texts"] = texts = measure_texts(arguments.csv)
        rows.append(("texts of whole files", texts["crystals"], texts["texts"]))
        rows.append(("the same with reading CIF", texts["crystals"], texts["reading_and_texts"]))
        rows.append(("`MoyoDataset` alone", texts["crystals"], texts["moyopy"]))
    stored = {
        "kind": "table",
        "heads": ["", "crystals", "seconds", "ms per crystal", "crystals per second"],
        "rows": [
            [
                name,
                str(crystals),
                f"{times['seconds']:.1f}",
                f"{times['mean_ms']:.2f}",
                str(times["per_second"]),
            ]
            for name, crystals, times in rows
        ],
        "measured": measured,
        "settings": {"clock": "cpu", "processes": 1},
        "published": PUBLISHED,
    }
    for row in stored["rows"]:
        print(" | ".join(row))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(stored, indent=1) + "\n")


if __name__ == "__main__":
    main()

"""Speed of SGS texts against the ways through pymatgen alone.

``python performance/bench_text.py CSV [--limit N] [--seed S] [--clock wall|cpu] [--json
FILE]``; CSV has a column ``cif`` (MP-20's, for example). Every way does the whole job:
crystal in, text out, and back. The ways take turns on every crystal, so that a busy machine
slows all of them alike; on a shared one, ``--clock cpu`` says more than the clock on the wall.
``--json`` keeps what was measured as docs/results/stored/preprocessing.json does.

- *encode, SpacegroupAnalyzer*: one `SpacegroupAnalyzer` (symprec 0.1), its symmetrised
  structure for the orbits and its refined structure for the cell; one site of each orbit
  is written. (The sites are those of the input cell: to write them in the refined cell
  takes a second search, so this yardstick does less than the whole job.)
- *encode, MoyoDataset alone*: the one call of moyopy that every text needs, which bounds
  how fast texts can be written.
- *decode, from_spacegroup*: the same text read line by line into
  `Structure.from_spacegroup`.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import moyopy
import pandas as pd
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.text.numbers import format_angles, format_coords, format_lengths
from crystalicl_jobflow.thresholds import SYMPREC

#: What the table of docs/results/preprocessing.md calls the ways, and their names in the file.
STORED = {
    "encode, SGS": ("SGS, written", "written"),
    "encode, SpacegroupAnalyzer": ("`SpacegroupAnalyzer`, written", "analyzer"),
    "encode, MoyoDataset alone": ("`MoyoDataset` alone", "moyopy"),
    "decode, SGS": ("SGS, read", "read"),
    "decode, from_spacegroup": ("`from_spacegroup`, read", "from_spacegroup"),
}
CLOCKS: dict[str, Callable[[], float]] = {"wall": time.perf_counter, "cpu": time.process_time}


def encode_with_analyzer(structure: Structure) -> str:
    analyzer = SpacegroupAnalyzer(structure, symprec=0.1)
    symmetrized = analyzer.get_symmetrized_structure()
    refined = analyzer.get_refined_structure()
    lines = [
        analyzer.get_space_group_symbol(),
        format_lengths(refined.lattice.abc),
        format_angles(refined.lattice.angles),
    ]
    for sites in symmetrized.equivalent_sites:
        lines += [sites[0].species_string, format_coords(sites[0].frac_coords)]
    return "\n".join(lines)


def search_with_moyopy(cell: moyopy.Cell) -> moyopy.MoyoDataset:
    return moyopy.MoyoDataset(cell, symprec=SYMPREC, setting=moyopy.Setting.spglib())


def moyopy_cell(structure: Structure) -> moyopy.Cell:
    kinds: dict[object, int] = {}
    labels = [kinds.setdefault(site.species, len(kinds)) for site in structure]
    return moyopy.Cell(structure.lattice.matrix.tolist(), structure.frac_coords.tolist(), labels)


def decode_with_from_spacegroup(text: str) -> Structure:
    group, lengths, angles, *sites = text.split("\n")
    lattice = Lattice.from_parameters(*map(float, lengths.split()), *map(float, angles.split()))
    return Structure.from_spacegroup(
        group, lattice, sites[0::2], [[float(x) for x in s.split()] for s in sites[1::2]], tol=0.05
    )


def timed(
    clock: Callable[[], float], function: Callable[[Any], Any], argument: object
) -> tuple[float, Any]:
    start = clock()
    result = function(argument)
    return (clock() - start) * 1e3, result


def stored(times: dict[str, list[float]], settings: dict[str, Any]) -> dict[str, Any]:
    rows, measured = [], {}
    for way, (name, key) in STORED.items():
        values, own = times[way], times[f"{way.split(',')[0]}, SGS"]
        mean, median = statistics.fmean(values), statistics.median(values)
        rows.append([name, f"{mean:.2f}", f"{median:.2f}", f"{1e3 / mean:.0f}"])
        measured[key] = {
            "mean_ms": round(mean, 3),
            "median_ms": round(median, 3),
            "per_second": round(1e3 / mean),
            "times_sgs_in_total": round(mean / statistics.fmean(own), 2),
            "times_sgs_at_the_median": round(median / statistics.median(own), 2),
        }
    heads = ["", "mean, ms", "median, ms", "crystals per second"]
    return {
        "kind": "table", "heads": heads, "rows": rows, "measured": measured, "settings": settings,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("csv", type=Path)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    clock = CLOCKS[arguments.clock]
    warnings.simplefilter("ignore")

    cifs = pd.read_csv(arguments.csv, usecols=["cif"])["cif"].tolist()
    random.Random(arguments.seed).shuffle(cifs)
    structures = [Structure.from_str(cif, fmt="cif") for cif in cifs[: arguments.limit]]
    for structure in structures[:20]:  # tables are read and caches filled once per process
        encode_with_analyzer(structure)
        text = SGS.encode(structure)
        SGS.decode(text)
        with contextlib.suppress(ValueError):
            decode_with_from_spacegroup(text)

    times: dict[str, list[float]] = {
        "encode, SGS": [],
        "encode, SpacegroupAnalyzer": [],
        "encode, MoyoDataset alone": [],
        "decode, SGS": [],
        "decode, from_spacegroup": [],
    }
    refused = 0
    for structure in track(structures, description="crystals"):
        # a copy each: a structure remembers what was computed from it
        elapsed, text = timed(clock, SGS.encode, structure.copy())
        times["encode, SGS"].append(elapsed)
        times["encode, SpacegroupAnalyzer"].append(
            timed(clock, encode_with_analyzer, structure.copy())[0]
        )
        cell = moyopy_cell(structure)
        times["encode, MoyoDataset alone"].append(timed(clock, search_with_moyopy, cell)[0])
        own = timed(clock, SGS.decode, text)[0]
        try:
            elapsed = timed(clock, decode_with_from_spacegroup, text)[0]
        except ValueError:
            refused += 1
            continue
        times["decode, SGS"].append(own)
        times["decode, from_spacegroup"].append(elapsed)

    title = f"{len(structures)} of {arguments.csv.name}, seed {arguments.seed}"
    table = Table(title=f"{title}, {arguments.clock} clock, ms per crystal")
    for column in ("", "mean", "median", "crystals/s", "ratio of totals", "ratio of medians"):
        table.add_column(column, justify="left" if not column else "right", no_wrap=not column)
    for name, values in times.items():
        own_times = times[f"{name.split(',')[0]}, SGS"]
        mean, median = statistics.fmean(values), statistics.median(values)
        table.add_row(
            name,
            f"{mean:.2f}",
            f"{median:.2f}",
            f"{1e3 / mean:.0f}",
            f"{mean / statistics.fmean(own_times):.1f}",
            f"{median / statistics.median(own_times):.1f}",
        )
    Console().print(table)
    if arguments.json is not None:
        settings = {
            "file": arguments.csv.name,
            "crystals": len(structures),
            "seed": arguments.seed,
            "clock": arguments.clock,
            "cores": 1,
            "refused_by_from_spacegroup": refused,
        }
        arguments.json.write_text(json.dumps(stored(times, settings), indent=1) + "\n")
    if refused:
        print(
            f"from_spacegroup refused {refused} of {len(structures)} texts; they are in no "
            "decoding time"
        )


if __name__ == "__main__":
    main()

"""Speed of SGS texts against the ways through pymatgen alone.

``python benchmarks/bench_text.py CSV [--limit N] [--seed S]``; CSV has a column ``cif``
(MP-20's, for example). Every way does the whole job: crystal in, text out, and back.
Times are CPU times, and the ways take turns on every crystal, so that a busy machine
slows all of them alike.

- *encode, SpacegroupAnalyzer*: group and refined standard cell, then the orbits of that
  cell, each from one `SpacegroupAnalyzer` (symprec 0.1), one site of each orbit written.
- *decode, from_spacegroup*: the same text read line by line into
  `Structure.from_spacegroup`.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.text.numbers import format_angles, format_coords, format_lengths


def encode_with_analyzer(structure: Structure) -> str:
    refined = SpacegroupAnalyzer(structure, symprec=0.1).get_refined_structure()
    analyzer = SpacegroupAnalyzer(refined, symprec=0.1)
    lines = [
        analyzer.get_space_group_symbol(),
        format_lengths(refined.lattice.abc),
        format_angles(refined.lattice.angles),
    ]
    for sites in analyzer.get_symmetrized_structure().equivalent_sites:
        lines += [sites[0].specie.symbol, format_coords(sites[0].frac_coords)]
    return "\n".join(lines)


def decode_with_from_spacegroup(text: str) -> Structure:
    group, lengths, angles, *sites = text.split("\n")
    lattice = Lattice.from_parameters(*map(float, lengths.split()), *map(float, angles.split()))
    return Structure.from_spacegroup(
        group, lattice, sites[0::2], [[float(x) for x in s.split()] for s in sites[1::2]], tol=0.05
    )


def timed(function: Callable[[Any], Any], argument: object) -> tuple[float, Any]:
    start = time.process_time()
    result = function(argument)
    return (time.process_time() - start) * 1e3, result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    default = Path(__file__).resolve().parents[2] / "shared" / "data" / "mp_20_test.csv.gz"
    parser.add_argument("csv", nargs="?", type=Path, default=default)
    parser.add_argument("--limit", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")

    cifs = pd.read_csv(arguments.csv, usecols=["cif"])["cif"].tolist()
    random.Random(arguments.seed).shuffle(cifs)
    structures = [Structure.from_str(cif, fmt="cif") for cif in cifs[: arguments.limit]]
    for structure in structures[:20]:  # tables are read and caches filled once per process
        decode_with_from_spacegroup(encode_with_analyzer(structure))
        SGS.decode(SGS.encode(structure))

    times: dict[str, list[float]] = {
        "encode, SGS": [],
        "encode, SpacegroupAnalyzer": [],
        "decode, SGS": [],
        "decode, from_spacegroup": [],
    }
    failed = 0
    for structure in track(structures, description="crystals"):
        # a copy each: a structure remembers what was computed from it
        elapsed, text = timed(SGS.encode, structure.copy())
        times["encode, SGS"].append(elapsed)
        times["encode, SpacegroupAnalyzer"].append(timed(encode_with_analyzer, structure.copy())[0])
        times["decode, SGS"].append(timed(SGS.decode, text)[0])
        try:
            elapsed = timed(decode_with_from_spacegroup, text)[0]
        except ValueError:
            failed += 1
            continue
        times["decode, from_spacegroup"].append(elapsed)

    table = Table(title=f"{len(structures)} of {arguments.csv.name}, seed {arguments.seed}")
    for column in ("", "mean CPU ms", "median", "crystals/s", "ratio of means"):
        table.add_column(column, justify="left" if not column else "right")
    means = {name: statistics.fmean(values) for name, values in times.items()}
    for name, values in times.items():
        own = means[f"{name.split(',')[0]}, SGS"]
        table.add_row(
            name,
            f"{means[name]:.2f}",
            f"{statistics.median(values):.2f}",
            f"{1e3 / means[name]:.0f}",
            f"{means[name] / own:.1f}",
        )
    Console().print(table)
    if failed:
        print(f"from_spacegroup refused {failed} of {len(structures)} texts; they are not timed")


if __name__ == "__main__":
    main()

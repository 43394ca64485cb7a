"""A builder that is killed, two at once, and a worker that dies: nothing is lost or doubled."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.datasets.records import Record
from crystalicl_jobflow.retrieval import fill_pool
from crystalicl_jobflow.stores.opening import open_store

SCRIPT = Path(__file__).with_name("building.py")
ROCK_SALT = Structure.from_spacegroup(
    "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
)


def build(store: Path, *, first: int = 0, count: int = 40, die_at: int = -1) -> subprocess.Popen:
    words = [sys.executable, str(SCRIPT), str(store), str(first), str(count), str(die_at)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, text=True)


def ids(store: Path) -> list[str]:
    return sorted(item["demonstration_id"] for item in open_store(str(store)).query())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pool.sqlite", "pool.json", "pool.db"])
def test_after_kill_9_the_same_command_completes_the_pool(tmp_path: Path, name: str) -> None:
    store = tmp_path / name
    killed = build(store, die_at=23)
    killed.communicate(timeout=300)
    assert killed.returncode == -signal.SIGKILL
    kept = ids(store)
    assert len(set(kept)) == len(kept) < 40
    again = build(store)
    added = int(again.communicate(timeout=300)[0])
    assert again.returncode == 0
    assert added == 40 - len(kept)
    assert ids(store) == [f"salt-{number:04d}" for number in range(40)]
    assert not [path.name for path in tmp_path.glob(f".*{name}")]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pool.sqlite", "pool.json"])
def test_two_builders_at_once_undo_nothing_of_each_other(tmp_path: Path, name: str) -> None:
    store = tmp_path / name
    builders = [build(store, first=0), build(store, first=30)]
    for builder in builders:
        builder.communicate(timeout=300)
        assert builder.returncode == 0
    assert ids(store) == [f"salt-{number:04d}" for number in range(70)]


class DeadlyRecord(Record):
    """A record that ends the worker process that receives it, as a crash in C code would."""

    def __setstate__(self, state: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


class WithOneDeadly:
    """Sixty crystals, one of which kills whoever reads it in another process."""

    name = "deadly"

    def total(self) -> int:
        return 60

    def records(self) -> Iterator[Record]:
        for number in range(60):
            kind = DeadlyRecord if number == 37 else Record
            yield kind(f"salt-{number:02d}", ROCK_SALT.copy().scale_lattice(170 + number))


def test_a_worker_that_dies_costs_the_record_it_had_and_the_report_names_it() -> None:
    store = open_store("memory:")
    report = fill_pool(WithOneDeadly(), store, fingerprints=False, processes=2)
    ((record, reason),) = report.failed
    assert record == "salt-37"
    assert "a worker process ended" in reason
    assert report.added == 59
    assert store.count() == 59

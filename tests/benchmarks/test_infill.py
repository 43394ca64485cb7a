"""Masked orbits that are found again, by a model and by what needs none."""

from __future__ import annotations

from typing import Any

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.benchmarks.infill import BASELINES, InfillRow, infill_benchmark
from crystalicl_jobflow.datasets.records import Record
from crystalicl_jobflow.editing import Parent
from crystalicl_jobflow.generation import Writing
from crystalicl_jobflow.retrieval import DemonstrationIndex
from crystalicl_jobflow.retrieval.demonstrations import make_demonstration
from reciting import PEROVSKITE, RecitingGenerator

WRONG = PEROVSKITE.replace("Ti\n0.50 0.50 0.50", "Ti\n0.00 0.50 0.50").replace(
    "O\n0.00 0.50 0.50", "O\n0.50 0.50 0.50"
)


def cubic(length: float, a_site: str = "Ca") -> Structure:
    return Structure.from_spacegroup(
        "Pm-3m", Lattice.cubic(length), [a_site, "Ti", "O"], [[0] * 3, [0.5] * 3, [0.5, 0.5, 0]]
    )


def pool_of(*structures: Structure) -> DemonstrationIndex:
    records = [Record(f"known-{number}", item) for number, item in enumerate(structures)]
    documents = [make_demonstration(record, source="test") for record in records]
    return DemonstrationIndex.from_documents(
        document for document in documents if not isinstance(document, str)
    )


@pytest.fixture(scope="module")
def pool() -> DemonstrationIndex:
    return pool_of(cubic(3.9, "Sr"), cubic(3.85))


def measured(pool: DemonstrationIndex, *texts: str, samples: int = 1) -> list[InfillRow]:
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.6), ["Cu"], [[0] * 3])
    mixed = Structure(Lattice.cubic(4.0), [{"Na": 0.5, "K": 0.5}], [[0] * 3])
    parents = [Parent("perovskite", cubic(3.84)), Parent("copper", copper), Parent("mixed", mixed)]
    return infill_benchmark(
        parents, lambda: RecitingGenerator(texts), pool=pool, writing=Writing(), samples=samples
    )


def test_a_crystal_is_found_again_or_not(pool: DemonstrationIndex) -> None:
    (row,) = measured(pool, PEROVSKITE)  # neither one orbit nor a shared site can be masked
    assert row.parent_id == "perovskite"
    assert row.draws == (True,)
    assert set(row.baselines) == set(BASELINES)
    (wrong,) = measured(pool, WRONG)
    assert wrong.draws == (False,)
    assert (wrong.orbit, wrong.baselines) == (row.orbit, row.baselines)
    (several,) = measured(pool, PEROVSKITE, WRONG, samples=12)
    assert set(several.draws) == {True, False}


def test_the_most_similar_crystal_of_the_pool_is_not_the_parent_itself(
    pool: DemonstrationIndex,
) -> None:
    """The pool holds the parent as well; strontium's is what is substituted."""
    (row,) = measured(pool, PEROVSKITE)
    assert row.baselines["substitution"]
    (without,) = measured(pool_of(cubic(3.85)), PEROVSKITE)
    assert not without.baselines["substitution"]


def test_the_roomiest_place_of_an_emptied_perovskite_is_its_own(pool: DemonstrationIndex) -> None:
    (row,) = measured(pool, PEROVSKITE)
    assert row.baselines["roomiest place"]
    again: Any = measured(pool, PEROVSKITE)
    assert again == [row]

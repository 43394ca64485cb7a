"""A worker process that ends costs the crystals it held; all others are compared."""

from __future__ import annotations

import logging

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.comparison import (
    crystal_fingerprints,
    match_many,
    match_reference,
    novelty,
    unique_groups,
)
from deadly import DeadlyCrystal

METALS = ("Li", "Na", "K", "Rb", "Cs")


def chloride(metal: str, length: float = 4.0, kind: type[Structure] = Structure) -> Structure:
    return kind(Lattice.cubic(length), [metal, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


@pytest.fixture
def crystals() -> list[Structure]:
    """Return one crystal per metal; that of potassium is deadly."""
    kinds = {"K": DeadlyCrystal}
    return [chloride(metal, kind=kinds.get(metal, Structure)) for metal in METALS]


def test_a_pair_that_ends_its_process_does_not_match(
    crystals: list[Structure], caplog: pytest.LogCaptureFixture
) -> None:
    pairs = [(crystal, chloride(metal)) for metal, crystal in zip(METALS, crystals, strict=True)]
    found = match_many(pairs, processes=2)
    assert [item.matched for item in found] == [True, True, False, True, True]
    assert "K1 Cl1: the process that compared a crystal ended" in caplog.text


def test_one_deadly_sample_among_several_of_its_formula(
    crystals: list[Structure], caplog: pytest.LogCaptureFixture
) -> None:
    samples = [*crystals, chloride("K", 4.1), chloride("K", 4.2)]
    found = match_reference(samples, [chloride(metal) for metal in METALS], processes=2)
    assert found == [0, 1, None, 3, 4, 2, 2]
    assert caplog.text.count("the process that compared a crystal with the references") == 1


@pytest.mark.parametrize(("large", "shared"), [(10, True), (20, False)])
def test_a_formula_of_many_pairs_is_shared_even_where_it_is_the_only_one(
    monkeypatch: pytest.MonkeyPatch, large: int, shared: bool
) -> None:
    """Sixteen pairs; the deadly sample matches only where no other process compares it."""
    monkeypatch.setattr(novelty, "_LARGE", large)
    samples = [chloride("K", kind=DeadlyCrystal), *(chloride("K", a) for a in (4.1, 4.2, 4.3))]
    done: list[tuple[int, int]] = []
    found = match_reference(
        samples,
        [chloride("K", a) for a in (4.0, 4.1, 4.2, 4.3)],
        processes=2,
        progress=lambda *tasks: done.append(tasks),
    )
    assert found == [None if shared else 0, 0, 0, 0]
    assert done[-1] == ((4, 4) if shared else (1, 1))


def test_other_formulas_are_grouped_as_ever(
    crystals: list[Structure], caplog: pytest.LogCaptureFixture
) -> None:
    repeated = [*crystals, *(chloride(metal, 4.1) for metal in METALS), chloride("K", 4.1)]
    groups = unique_groups(repeated, processes=2)
    # of potassium only the two that are identical
    assert groups == [0, 1, 2, 3, 4, 0, 1, 7, 3, 4, 7]
    assert "KCl: the process that compared 3 crystals ended" in caplog.text


def test_the_others_have_fingerprints(
    crystals: list[Structure], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    found = crystal_fingerprints(crystals, processes=2)
    assert [error is None for error in found.errors] == [True, True, False, True, True]
    assert found.errors[2] == "structural fingerprint: the process that computed it ended"

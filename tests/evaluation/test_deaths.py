"""A worker process that ends costs an evaluation the crystal that it held, and no other."""

from __future__ import annotations

import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.evaluation.realism import judge_realism
from crystalicl_jobflow.evaluation.structure_prediction import gate_many
from deadly import DeadlyCrystal


def salts(kind: type[Structure]) -> list[Structure]:
    """Return five crystals; the third is of this kind."""
    kinds = [Structure, Structure, kind, Structure, Structure]
    return [
        made(Lattice.cubic(4.0), [metal, "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
        for made, metal in zip(kinds, ("Li", "Na", "K", "Rb", "Cs"), strict=True)
    ]


def test_what_cannot_be_judged_overlaps(caplog: pytest.LogCaptureFixture) -> None:
    found = judge_realism(salts(DeadlyCrystal), space_groups=[221] * 5, processes=2)
    assert found.overlap == [False, False, True, False, False]
    assert found.adherent == [True, True, False, True, True]
    assert "K1 Cl1: the process that judged a crystal ended" in caplog.text


def test_what_cannot_be_checked_is_not_valid(caplog: pytest.LogCaptureFixture) -> None:
    assert gate_many(salts(Structure), processes=2) == [True] * 5
    expected = [True, True, False, True, True]
    assert gate_many(salts(DeadlyCrystal), processes=2) == expected
    assert "K1 Cl1: the process that checked a prediction ended" in caplog.text

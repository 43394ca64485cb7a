"""Elemental references: arithmetic, the shipped tables, the fit."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymatgen.core import Composition, Structure

from crystalicl_jobflow.energies import (
    ElementalReferences,
    fit_references,
    load_references,
    own_references,
)
from crystalicl_jobflow.energies.references import KINDS

CHGNET: Any = SimpleNamespace(name="chgnet", version="0.3.0")


def test_formation_energy_by_hand() -> None:
    references = ElementalReferences("own", "m", "1", {"Al": -3.0, "O": -5.0})
    # (2 · -3 + 3 · -5) / 5 = -4.2
    assert references.mixture(Composition("Al2O3")) == pytest.approx(-4.2)
    assert references.formation_energy(Composition("Al4O6"), -7.0) == pytest.approx(-2.8)
    assert references.formation_energy(Composition("Al"), -3.0) == 0


def test_an_element_without_reference_is_named() -> None:
    references = ElementalReferences("own", "m", "1", {"Al": -3.0})
    assert references.missing(Composition("Al2O3")) == ["O"]
    with pytest.raises(ValueError, match=r"no elemental reference \(m 1, references own\) for O"):
        references.mixture(Composition("Al2O3"))


@pytest.mark.parametrize("kind", KINDS)
def test_shipped_tables(kind: str) -> None:
    table = load_references(CHGNET, kind)
    assert table.source
    assert len(table.energies) >= 80
    # PBE energies per atom of the Materials Project, known to everybody who computes there
    for symbol, energy in {"Si": -5.42, "Fe": -8.47, "O": -4.95, "Cu": -4.10}.items():
        assert table.energies[symbol] == pytest.approx(energy, abs=0.25)


def test_the_model_agrees_with_what_it_was_taught_for_the_elements() -> None:
    taught, own = load_references(CHGNET, "mp").energies, load_references(CHGNET, "own").energies
    differences = [abs(taught[symbol] - own[symbol]) for symbol in taught]
    assert np.mean(differences) < 0.06
    assert max(differences) < 0.25


def test_there_are_no_references_of_other_weights() -> None:
    with pytest.raises(ValueError, match="no references 'mp' for chgnet r2scan"):
        load_references(SimpleNamespace(name="chgnet", version="r2scan"), "mp")
    with pytest.raises(ValueError, match=r"'best' .*there are: mp, own, fitted"):
        load_references(CHGNET, "best")


def test_a_file_holds_what_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    saved = ElementalReferences("mine", "chgnet", "0.3.0", {"O": -4.9, "Al": -3.7}, "by hand")
    saved.save(path)
    assert load_references(CHGNET, path) == saved
    with pytest.raises(ValueError, match=r"references of chgnet 0\.3\.0, not of other 1"):
        load_references(SimpleNamespace(name="other", version="1"), path)
    path.write_text("[1]")
    with pytest.raises(ValueError, match="holds no elemental references"):
        ElementalReferences.load(path)


@given(
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 5)), min_size=6, max_size=20
    ),
    st.tuples(*[st.floats(-10, 0)] * 3),
)
def test_the_fit_finds_the_references_behind_exact_data(
    amounts: list[tuple[int, int, int]], behind: tuple[float, float, float]
) -> None:
    symbols = ("Al", "Fe", "O")
    # one of each element makes the answer unique
    every = [*amounts, (1, 0, 0), (0, 1, 0), (0, 0, 1)]
    compositions = [Composition(dict(zip(symbols, row, strict=True))) for row in every]
    true = ElementalReferences("x", "m", "1", dict(zip(symbols, behind, strict=True)))
    formation = np.linspace(-3, 1, len(every))
    energies = [
        true.mixture(item) + value for item, value in zip(compositions, formation, strict=True)
    ]
    fitted = fit_references(compositions, energies, list(formation), model=CHGNET)
    for symbol in symbols:
        assert fitted.energies[symbol] == pytest.approx(true.energies[symbol], abs=2e-5)


def test_an_outlier_does_not_move_an_element() -> None:
    compositions = [Composition("Al")] * 20
    energies = [-3.0] * 19 + [5.0]
    fitted = fit_references(compositions, energies, [0.0] * 20, model=CHGNET)
    # plain least squares would give -2.6
    assert fitted.energies["Al"] == pytest.approx(-3.0, abs=0.01)


def test_no_data_no_fit() -> None:
    with pytest.raises(ValueError, match="as many energies as crystals"):
        fit_references([], [], [], model=CHGNET)


def test_own_references_leave_out_what_the_model_cannot_do(
    lattice_model: Any, cscl: Structure
) -> None:
    found = own_references(lattice_model, {"Na": cscl, "Cl": None}, source="test")
    assert found.energies == {"Na": -0.4}
    assert (found.kind, found.model, found.model_version) == ("own", "lattice", "1")

"""Charge neutrality by CDVAE's rule, with the oxidation states CDVAE used."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pymatgen.core import Composition, Structure

from crystalicl_jobflow.crystal.formula import whole_composition
from crystalicl_jobflow.validation.composition import composition_valid


@pytest.mark.parametrize("formula", ["NaCl", "CsCl", "CaTiO3", "CO2", "Fe2O3", "LiCuCO3", "KFeSe2"])
def test_ordinary_compounds_are_valid(formula: str) -> None:
    assert composition_valid(formula)


@pytest.mark.parametrize("formula", ["He", "Fe", "C", "Pm", "Og"])
def test_single_elements_are_valid(formula: str) -> None:
    assert composition_valid(formula)


@pytest.mark.parametrize("formula", ["FeNi", "Ni3Fe", "LaNi5", "YbAu7Cu2"])
def test_alloys_of_metals_only_are_valid(formula: str) -> None:
    assert composition_valid(formula)


@pytest.mark.parametrize("formula", ["Na2Cl", "NaCl2", "HeNe", "KO7", "OgO2"])
def test_compounds_without_a_neutral_choice_are_invalid(formula: str) -> None:
    assert not composition_valid(formula)


def test_anions_must_be_more_electronegative_than_cations() -> None:
    assert composition_valid("H2Se")
    # neutral as Au3+ H-, but gold (2.54) is more electronegative than hydrogen (2.20)
    assert not composition_valid("AuH3")
    # Pd and H have one electronegativity (2.20): equal is not more
    assert not composition_valid("PdH")
    assert not composition_valid("PdH2")


def test_the_set_of_oxidation_states_decides() -> None:
    assert not composition_valid("LaNi5H6")  # smact14, CDVAE's
    assert composition_valid("LaNi5H6", oxidation_states_set="icsd24")


def test_an_unknown_set_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="smact99"):
        composition_valid("NaCl", oxidation_states_set="smact99")


def test_an_element_without_electronegativity_passes_the_comparison() -> None:
    # Pm has none in SMACT's data and is none of its metals; smact 4 itself says False
    assert composition_valid("Pm2O3")
    assert composition_valid("PmF3")


def test_only_ratios_count() -> None:
    assert composition_valid("Na4Cl4") == composition_valid("NaCl")
    assert not composition_valid("Na4Cl2")


def test_mixed_occupancy_counts_as_ratios() -> None:
    mixed = Composition({"Na": 0.5, "K": 0.5, "Cl": 1.0})
    assert whole_composition(mixed) == Composition("NaKCl2")
    assert composition_valid(mixed)
    assert not composition_valid(Composition({"Na": 0.5, "Cl": 1.0}))


def test_agrees_with_smact_where_both_follow_the_same_rule(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    from smact.screening import smact_validity

    # smact 4 rejects elements without electronegativity: there CDVAE's rule differs
    formulas = [f for _, _, f in mp_20(300) if "Pm" not in f]
    ours = [composition_valid(f) for f in formulas]
    theirs = [smact_validity(f, oxidation_states_set="smact14") for f in formulas]
    assert ours == theirs
    assert 0.8 < sum(ours) / len(ours) < 1.0


def test_mixed_valence_is_invalid_as_in_cdvae() -> None:
    # one oxidation state per element: magnetite needs two of iron
    assert not composition_valid("Fe3O4")


def test_equal_electronegativities_fail_the_pauling_test() -> None:
    """C and Se have 2.55 both: +4 and -2 would be neutral; SMACT refuses it as well."""
    from smact.screening import smact_validity

    assert not composition_valid("CSe2")
    assert composition_valid("CS2")
    assert not smact_validity("CSe2")


def test_many_elements_of_mixed_valence_are_answered() -> None:
    """Their combinations of states are too many to try: the answer is bounded, and no."""
    symbols = (
        "Mn Fe Co Ni Cu V Cr Ti Mo W Nb Ta Re Os Ir Ru Rh Pd Pt Au Ce Eu Sm Yb Sn Pb Tl In S O"
    )
    formula = "".join(f"{symbol}{place % 3 + 1}" for place, symbol in enumerate(symbols.split()))
    assert not composition_valid(formula)

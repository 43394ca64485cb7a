"""What is asked for becomes partial texts: what they keep and what they leave to the model."""

from __future__ import annotations

from typing import Any

import pytest
from pymatgen.core import Composition, Structure

from crystalicl_jobflow.editing import EditError, Parent
from crystalicl_jobflow.editing.ions import ions_of, same_charge, substitution_probability
from crystalicl_jobflow.editing.planning import PlannedEdit, plan
from crystalicl_jobflow.schemas import Condition, ConditionError
from crystalicl_jobflow.schemas.editing import EditRequest
from crystalicl_jobflow.text import parse_pattern
from reciting import PEROVSKITE


def planned(structure: Structure | None, *, text: str | None = None, **request: Any) -> list[Any]:
    return plan(Parent("parent", structure, text), EditRequest.build(**request))


def patterns(found: list[PlannedEdit]) -> list[str]:
    return [item.edit.pattern for item in found]


# -- substitute ------------------------------------------------------------------------------


def test_a_substitution_keeps_group_and_sites_and_scales_the_cell(perovskite: Structure) -> None:
    zirconate, hafnate = planned(perovskite, substitute={"Ti": ["Zr", "Hf"]})
    assert zirconate.condition == Condition(formula="CaZrO3", space_group=221)
    assert hafnate.condition == Condition(formula="CaHfO3", space_group=221)
    pattern = parse_pattern(zirconate.edit.pattern)
    assert pattern.groups == (221,)
    ((low, high),) = pattern.lengths[0] or ()
    assert 3.84 < (low + high) / 2 < 4.2  # Zr is larger than Ti
    assert high - low < 0.7
    assert [site.elements for site in pattern.sites] == [("Ca",), ("Zr",), ("O",)]
    assert [site.frac_coords for site in pattern.sites] == [
        site.frac_coords for site in parse_pattern(PEROVSKITE).sites
    ]
    assert zirconate.edit.change == "Ti → Zr"
    assert zirconate.edit.parent_id == "parent"
    assert zirconate.shows_parent


def test_several_elements_are_replaced_together(perovskite: Structure) -> None:
    found = planned(perovskite, substitute=["Ca=Sr,Ba", "Ti=Zr"])
    assert [item.condition.formula for item in found] == ["SrZrO3", "BaZrO3"]
    swapped = planned(perovskite, substitute={"Ca": ["Ti"], "Ti": ["Ca"]})
    assert [item.condition.formula for item in swapped] == ["CaTiO3"]
    sites = parse_pattern(swapped[0].edit.pattern).sites
    assert [site.elements for site in sites] == [("Ti",), ("Ca",), ("O",)]


def test_whatever_keeps_charge_is_ranked_by_the_probability_of_the_ions(
    perovskite: Structure,
) -> None:
    found = planned(perovskite, substitute="Ti=any", number=5)
    assert len(found) == 5
    known = [item.edit.substitution_probability for item in found]
    assert known == sorted(known, reverse=True)
    for item in found:
        (new,) = set(Composition(item.condition.formula).get_el_amt_dict()) - {"Ca", "O"}
        assert new in same_charge(ions_of(perovskite.composition)["Ti"])
    every = planned(perovskite, substitute="any", number=100)
    replaced = {item.edit.change.split(" → ")[0] for item in every}
    assert replaced == {"Ca", "Ti", "O"}
    assert not any("Ca → Ti" in item.edit.change for item in every)


def test_the_probability_is_pymatgens(perovskite: Structure) -> None:
    from pymatgen.analysis.structure_prediction.substitution_probability import (
        SubstitutionProbability,
    )
    from pymatgen.core import Species

    ions = ions_of(perovskite.composition)
    assert ions == {"Ca": Species("Ca", 2), "Ti": Species("Ti", 4), "O": Species("O", -2)}
    table = SubstitutionProbability()
    zirconium = table.cond_prob(Species("Zr", 4), Species("Ti", 4))
    strontium = table.cond_prob(Species("Sr", 2), Species("Ca", 2))
    assert substitution_probability(ions, {"Ti": "Zr"}) == pytest.approx(zirconium)
    both = substitution_probability(ions, {"Ti": "Zr", "Ca": "Sr"})
    assert both == pytest.approx(zirconium * strontium)
    assert substitution_probability(ions, {"Ti": "He"}) is None


def test_a_metal_has_no_charge_to_keep(rutile: Structure) -> None:
    alloy = rutile.copy()
    alloy.replace_species({"Ti": "Cu", "O": "Au"})
    with pytest.raises(EditError, match="oxidation states are unknown; name the elements"):
        planned(alloy, substitute="any")
    (named,) = planned(alloy, substitute="Cu=Ag")
    assert named.edit.substitution_probability is None


# -- infill ----------------------------------------------------------------------------------


def test_masked_orbits_are_left_out_and_all_others_kept(tilted: Structure) -> None:
    whole = parse_pattern(planned(tilted, mask="O 8d")[0].edit.pattern)
    assert [site.elements for site in whole.sites] == [("Ca",), ("Ti",), ("O",)]
    assert whole.is_open
    (both,) = planned(tilted, mask="O")
    assert both.edit.pattern.splitlines()[-1] == "..."
    assert len(parse_pattern(both.edit.pattern).sites) == 2
    assert both.condition == Condition(formula="CaTiO3", space_group=62)
    assert not both.shows_parent  # its prompt would hold the answer


@pytest.mark.parametrize("mask", ["O 8d", "O d", "O d, O 8d", "4", 4, [4], ["O 8d"]])
def test_an_orbit_has_several_names(tilted: Structure, mask: Any) -> None:
    assert patterns(planned(tilted, mask=mask)) == patterns(planned(tilted, mask="O8d"))


def test_elements_in_place_of_a_formula(rock_salt: Structure) -> None:
    (item,) = planned(rock_salt, mask="Cl", elements="F,Br")
    assert item.condition == Condition(elements=["Na"], space_group=225)
    assert item.edit.pattern.splitlines()[-3:] == ["F|Br", "?", "... F|Br"]


def test_the_cell_may_be_drawn_again(rock_salt: Structure) -> None:
    (item,) = planned(rock_salt, mask="Cl", formula="NaBr", redraw=["cell"])
    assert item.edit.pattern.splitlines()[1:3] == ["?", "?"]
    assert item.condition.formula == "NaBr"


# -- mutate ----------------------------------------------------------------------------------


def test_a_mutation_keeps_group_and_orbits_alone(tilted: Structure) -> None:
    (item,) = planned(tilted, mutate=True)
    assert item.edit.pattern == "Pnma\n?\n?\nCa c\n?\nTi a\n?\nO c\n?\nO d\n?"
    assert item.condition == Condition(formula="CaTiO3", space_group=62)
    (cell,) = planned(tilted, mutate=True, redraw=["cell"])
    assert parse_pattern(cell.edit.pattern).lengths == (None, None, None)
    assert all(None not in site.frac_coords for site in parse_pattern(cell.edit.pattern).sites)
    (points,) = planned(tilted, mutate=True, redraw=["coordinates"])
    assert None not in parse_pattern(points.edit.pattern).lengths


def test_a_new_formula_takes_the_places_of_the_old(spinel: Structure, rutile: Structure) -> None:
    first, *others = planned(spinel, mutate=True, formula="ZnGa2O4")
    assert first.edit.change == "Mg → Zn, Al → Ga"
    assert not others  # each amount occurs once
    (oxide,) = planned(rutile, mutate=True, formula="SnO2")
    assert oxide.edit.pattern == "P4_2/mnm\n?\n?\nSn a\n?\nO f\n?"


# -- complete --------------------------------------------------------------------------------


def test_a_beginning_is_kept_and_goes_on() -> None:
    beginning = PEROVSKITE.rsplit("\nTi")[0]
    (item,) = planned(None, text=beginning, complete=True, formula="CaTiO3")
    assert item.edit.pattern == beginning + "\n..."
    assert item.condition == Condition(formula="CaTiO3", space_group=221)
    (system,) = planned(None, text=beginning, complete=True, elements="Ti,O")
    assert system.edit.pattern == beginning + "\n... Ti|O"
    assert system.condition == Condition(chemsys="Ca-O-Ti", space_group=221)
    (free,) = planned(None, text="?\n?\n?\n...", complete=True)
    assert free.condition == Condition()


# -- refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"substitute": "Na=K"}, "parent: there is no Na to replace, only Ca, O, Ti"),
        ({"substitute": "Ti=Ti"}, "replaced by itself"),
        ({"mask": "Cl"}, "'Cl' names no orbit of parent: there are 1: Ca 1a, 2: Ti 1b, 3: O 3c"),
        ({"mask": "O 4c"}, "'O 4c' names no orbit"),
        ({"mask": "7"}, "'7' names no orbit"),
        ({"mask": "Ca,Ti,O"}, "every orbit is masked"),
        ({"mask": "O", "redraw": ["coordinates"]}, "mutate redraws them"),
        ({"mutate": True, "redraw": []}, "changes nothing"),
        ({"mutate": True, "formula": "NaCl"}, r"NaCl \(AB\) does not have the stoichiometry of"),
        ({"complete": True}, "is a whole crystal"),
        ({"substitute": "Ti=Xx"}, "'Xx' is not an element"),
        ({"substitute": "Ti="}, "replaced by nothing"),
        ({"substitute": "Ti=Zr,any"}, "'any' alone"),
        ({"substitute": ["Ti=Zr", "Ti=Hf"]}, "replaced twice"),
        ({"substitute": "Ti=Zr", "formula": "CaZrO3"}, "decides the formula itself"),
        ({"mask": ""}, "empty mask"),
        ({"mask": "O", "formula": "CaTiO3", "elements": "O"}, "not both"),
        ({"mutate": True, "elements": "O"}, "takes a formula"),
        ({"mutate": True, "formula": "Foo"}, "Foo"),
        ({"complete": True, "redraw": ["cell"]}, "nothing is drawn again"),
        ({}, "none is given"),
        ({"mutate": True, "mask": "O"}, "mask and mutate are given"),
    ],
)
def test_what_makes_no_sense_is_one_line(
    perovskite: Structure, request_: dict[str, Any], words: str
) -> None:
    with pytest.raises((EditError, ConditionError), match=words) as caught:
        planned(perovskite, **request_)
    assert "\n" not in str(caught.value)

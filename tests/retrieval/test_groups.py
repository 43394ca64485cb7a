"""The space groups that a pool tells for a formula."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from pymatgen.core import Composition

from crystalicl_jobflow.benchmarks.groups import fit_groups, measure_groups
from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.retrieval import DemonstrationIndex, retrieve
from crystalicl_jobflow.retrieval.groups import (
    GroupWeights,
    element_features,
    group_shares,
    group_weights,
    probable_groups,
)
from crystalicl_jobflow.schemas import Condition

ROCK_SALT = "Fm-3m\n5.6 5.6 5.6\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
CESIUM_CHLORIDE = "Pm-3m\n4.1 4.1 4.1\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.50 0.50 0.50"
ZINC_BLENDE = "F-43m\n5.4 5.4 5.4\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.25 0.25 0.25"
TEXTS = {225: ROCK_SALT, 221: CESIUM_CHLORIDE, 216: ZINC_BLENDE}

KNOWN = (
    *((formula, 225) for formula in ("NaBr", "KCl", "KF", "LiF", "MgO", "CaO", "SrS")),
    *((formula, 221) for formula in ("CsBr", "CsI", "TlBr", "TlCl")),
    *((formula, 216) for formula in ("ZnS", "GaAs", "InP", "CdTe", "AlAs")),
)


def pool(*crystals: tuple[str, int]) -> DemonstrationIndex:
    """Return a pool of crystals with one atom of each of two elements."""
    documents = []
    for number, (formula, group) in enumerate(crystals):
        first, second = (item.symbol for item in Composition(formula).elements)
        text = TEXTS[group].replace("Na", "?").replace("Cl", second).replace("?", first)
        documents.append(
            {
                "demonstration_id": f"k{number:03d}",
                "formula": Composition(formula).reduced_formula,
                "anonymous_formula": "AB",
                "chemsys": "-".join(sorted((first, second))),
                "elements": [first, second],
                "num_sites": 2,
                "space_group": group,
                "text": text,
            }
        )
    return DemonstrationIndex.from_documents(documents, label="by hand")


@pytest.mark.parametrize(
    ("formula", "group"), [("NaCl", 225), ("BaO", 225), ("CsCl", 221), ("GaP", 216), ("ZnSe", 216)]
)
def test_the_crystals_of_similar_elements_decide(formula: str, group: int) -> None:
    shares = group_shares(pool(*KNOWN), Condition(formula=formula))
    assert shares.shape == (230,)
    assert shares.sum() == pytest.approx(1)
    ((first, share), *_) = probable_groups(shares, 3)
    assert first == group
    assert share == pytest.approx(shares.max())


def test_crystals_of_the_formula_itself_do_not_count() -> None:
    asked = Condition(formula="NaCl")
    alone = group_shares(pool(*KNOWN), asked)
    others = group_shares(pool(*KNOWN, *[("NaCl", 221)] * 20), asked)
    assert others[224] == pytest.approx(alone[224], rel=0.2)  # only how often a group occurs at all
    assert others.argmax() == 224


def test_demonstrations_left_out_do_not_count() -> None:
    index = pool(*KNOWN)
    salts = [index.columns.ids[row] for row in np.flatnonzero(index.columns.space_group == 225)]
    shares = group_shares(index, Condition(formula="NaCl"), exclude_ids=salts)
    assert shares.argmax() != 224


def test_a_number_of_sites_that_is_asked_for_counts() -> None:
    shares = group_shares(pool(*KNOWN), Condition(formula="NaCl", num_sites=7))
    assert not shares.any()


def test_far_elements_leave_it_to_what_is_frequent() -> None:
    index = pool(("ZnS", 216), *[("NaBr", 225)] * 9)
    near = group_shares(index, Condition(formula="ZnSe"))
    far = group_shares(index, Condition(formula="HHe"))
    assert near[215] > 0.5 > far[215]
    assert far.argmax() == 224


def test_nothing_is_known_of_another_stoichiometry() -> None:
    index = pool(*KNOWN)
    assert not group_shares(index, Condition(formula="Na2Cl")).any()
    assert retrieve(index, Condition(formula="Na2Cl"), groups=5).groups == []


def test_a_retrieval_offers_groups_with_demonstrations_of_their_own() -> None:
    index = pool(*KNOWN, ("NaCl", 221))
    found = retrieve(
        index, Condition(formula="NaCl"), strategy="CE", shots=2, templates=4, groups=3
    )
    assert [item.space_group for item in found.groups] == [225, 221, 216]
    assert [item.share for item in found.groups] == sorted(
        (item.share for item in found.groups), reverse=True
    )
    for choice in found.groups:
        assert {item.space_group for item in choice.demonstrations} == {choice.space_group}
        assert {item.space_group for item in choice.templates} == {choice.space_group}
        assert "NaCl" not in {item.formula for item in choice.demonstrations}
    assert found.groups[0].demonstrations[0].formula in ("NaBr", "KCl")


@pytest.mark.parametrize(
    "condition",
    [
        Condition(formula="NaCl", space_group=225),
        Condition(formula="NaCl", space_group=[225, 221]),
        Condition(anonymous_formula="AB"),
        Condition(elements=["Na"]),
        Condition(),
    ],
)
def test_nothing_is_offered_where_a_group_or_no_formula_is_asked_for(condition: Condition) -> None:
    assert retrieve(pool(*KNOWN), condition, groups=5).groups == []


def test_a_retrieval_for_one_group_asks_for_it() -> None:
    asked = Condition(formula="NaCl")
    found = retrieve(pool(*KNOWN), asked, shots=1, groups=2)
    narrowed = found.in_group(found.groups[1])
    assert narrowed.condition == Condition(formula="NaCl", space_group=221)
    assert narrowed.demonstrations == found.groups[1].demonstrations
    assert narrowed.groups == []
    assert found.condition == asked


def test_every_element_has_features() -> None:
    features = element_features()
    assert np.isfinite(features).all()
    assert (features[1:104, 0] > 0).all()


def test_the_weights_of_the_package_say_what_they_were_fitted_on() -> None:
    weights = group_weights()
    assert weights.origin["measured"]["crystals"] > 500
    assert weights.origin["measured"]["first"] == pytest.approx(
        weights.origin["measured"]["first_share"], abs=0.05
    )


@pytest.mark.parametrize("text", ["[]", '{"scales": {}}', "no json", '{"shape": "one"}'])
def test_a_file_that_holds_no_weights_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "weights.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"weights\.json holds no weights of space groups"):
        GroupWeights.load(path)


def test_a_fit_tells_the_groups_better_than_equal_weights() -> None:
    metals, halogens = ("Li", "Na", "K", "Rb"), ("F", "Cl", "Br", "I")
    thirds, fifths = ("B", "Al", "Ga", "In"), ("N", "P", "As", "Sb")
    index = pool(
        *((a + b, 225) for a in metals for b in halogens),
        *((a + b, 216) for a in thirds for b in fifths),
    )
    flat = GroupWeights(dict.fromkeys(group_weights().scales, 0.0), 1.0, 1.0, 1.0)
    fitted, measured = fit_groups(index, held_out=6, steps=60, seed=1)
    everything = np.arange(len(index))
    assert measured["crystals"] == 6
    assert (
        measure_groups(index, everything, fitted)["log_share"]
        > measure_groups(index, everything, flat)["log_share"] + 0.3
    )


def test_a_pool_of_one_formula_is_too_small_to_fit() -> None:
    with pytest.raises(ValueError, match="by hand holds too few crystals"):
        fit_groups(pool(("NaCl", 225)))


def test_the_command_writes_weights_that_are_read(tmp_path: Path) -> None:
    out = tmp_path / "weights.json"
    result = CliRunner().invoke(
        cli,
        ["benchmark", "groups", "--pool", "prototypes", "--held-out", "20", "--steps", "5",
         "--out", str(out)],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text())["origin"]["steps"] == 5
    assert set(GroupWeights.load(out).scales) == set(group_weights().scales)

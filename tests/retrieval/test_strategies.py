"""The strategies: what is chosen, in which order, and what is given up to find enough."""

from __future__ import annotations

import random
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maggma.core import Store

from crystalicl_jobflow.retrieval import (
    RELAXATION_ORDER,
    DemonstrationIndex,
    retrieve,
    retrieve_many,
)
from crystalicl_jobflow.retrieval.criteria import criteria, element_distances, rank_sum, tiers
from crystalicl_jobflow.schemas import Condition, Range, Strategy
from crystalicl_jobflow.stores import write_documents
from crystalicl_jobflow.stores.opening import open_store

STRATEGIES = get_args(Strategy)


def document(
    name: str,
    formula: str = "NaCl",
    anonymous: str = "AB",
    elements: str = "Cl-Na",
    group: int = 225,
    **extra: object,
) -> dict[str, object]:
    return {
        "demonstration_id": name,
        "source": "test",
        "formula": formula,
        "anonymous_formula": anonymous,
        "chemsys": elements,
        "elements": elements.split("-"),
        "num_sites": 2,
        "space_group": group,
        "properties": {},
        "text": f"text of {name}",
        "fingerprint": None,
        **extra,
    }


def index_of(*documents: dict[str, object]) -> DemonstrationIndex:
    return DemonstrationIndex.from_documents(documents)


def ids(retrieval: object) -> list[str]:
    return [item.demonstration_id for item in retrieval.demonstrations]  # type: ignore[attr-defined]


def gaps(*values: float | None) -> DemonstrationIndex:
    return index_of(
        *(
            document(f"d{i}", properties={} if value is None else {"band_gap": value})
            for i, value in enumerate(values)
        )
    )


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("shots", range(6))
def test_every_strategy_gives_as_many_as_asked_for(
    fingerprinted: DemonstrationIndex, strategy: Strategy, shots: int
) -> None:
    found = retrieve(
        fingerprinted, Condition(anonymous_formula="AB2"), strategy=strategy, shots=shots
    )
    assert len(set(ids(found))) == shots
    assert (found.strategy, found.shots, found.pool_size) == (strategy, shots, 60)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_same_seed_gives_the_same_choice_and_another_one_another(
    fingerprinted: DemonstrationIndex, strategy: Strategy
) -> None:
    def choices(seed: int) -> list[str]:
        condition = Condition(anonymous_formula="AB")
        return ids(retrieve(fingerprinted, condition, strategy=strategy, seed=seed, shots=3))

    assert choices(7) == choices(7)
    assert len({tuple(choices(seed)) for seed in range(12)}) > 1


@given(order=st.permutations(range(12)), seed=st.integers(0, 2**63))
def test_the_order_of_the_store_does_not_matter(order: list[int], seed: int) -> None:
    rng = np.random.default_rng(0)
    documents = [
        document(f"d{i}", properties={"band_gap": i // 4}, fingerprint=rng.random(3).tolist())
        for i in range(12)
    ]
    condition = Condition(anonymous_formula="AB", properties={"band_gap": 1})
    straight, shuffled = index_of(*documents), index_of(*(documents[i] for i in order))
    for strategy in STRATEGIES:
        first = retrieve(straight, condition, strategy=strategy, seed=seed)
        assert first == retrieve(shuffled, condition, strategy=strategy, seed=seed)


def test_formulas_match_by_their_anonymised_form(prototypes: Store) -> None:
    found = retrieve(prototypes, Condition(formula="BaTiO3"), strategy="C", shots=5)
    assert {item.anonymous_formula for item in found.demonstrations} == {"ABC3"}
    assert found.relaxed == []


def test_groups_match_by_equality_and_several_by_any(prototypes: Store) -> None:
    found = retrieve(prototypes, Condition(space_group=225), shots=5)
    assert {item.space_group for item in found.demonstrations} == {225}
    both = retrieve(prototypes, Condition(space_group=(221, 225)), shots=5)
    assert both.num_matching > found.num_matching
    assert {item.space_group for item in both.demonstrations} <= {221, 225}


def test_elements_are_contained_and_systems_exact() -> None:
    index = index_of(
        document("ternary", "NaClO3", "ABC3", "Cl-Na-O"),
        document("binary"),
        document("heavy", "OgCl", "AB", "Cl-Og"),
    )
    assert retrieve(index, Condition(elements=("Na", "Cl"))).num_matching == 2
    assert retrieve(index, Condition(chemsys="Na-Cl")).num_matching == 1
    assert retrieve(index, Condition(elements=("Og",))).num_matching == 1


def test_numbers_of_sites_are_values_or_ranges() -> None:
    index = index_of(*(document(f"d{n}", num_sites=n) for n in (1, 2, 3, 4)))
    assert ids(retrieve(index, Condition(num_sites=3), shots=1)) == ["d3"]
    assert set(ids(retrieve(index, Condition(num_sites=Range(min=2, max=3)), shots=2))) == {
        "d2",
        "d3",
    }


def test_continuous_values_rank_by_distance_to_the_target() -> None:
    index = gaps(0.0, 0.9, 1.3, 5.0, None, 1.0)
    found = retrieve(index, Condition(properties={"band_gap": 1.0}), shots=3)
    assert ids(found) == ["d5", "d1", "d2"]
    assert found.relaxed == []


def test_unknown_values_come_last() -> None:
    index = gaps(0.0, 9.0, None)
    found = retrieve(index, Condition(properties={"band_gap": 0.1}), shots=3)
    assert ids(found) == ["d0", "d1", "d2"]
    assert found.num_matching == 2
    assert found.relaxed == ["properties.band_gap"]


def test_values_within_a_range_are_equal_and_others_rank_by_their_distance_to_it() -> None:
    index = gaps(0.0, 1.1, 1.9, 2.6, 9.0)
    condition = Condition(properties={"band_gap": Range(min=1, max=2)})
    assert retrieve(index, condition).num_matching == 2
    drawn = {tuple(ids(retrieve(index, condition, shots=2, seed=seed))) for seed in range(20)}
    assert drawn == {("d1", "d2"), ("d2", "d1")}
    found = retrieve(index, condition, shots=4)
    assert ids(found)[2:] == ["d3", "d0"]
    assert found.relaxed == ["properties.band_gap"]


def test_ties_are_drawn_by_the_seed() -> None:
    index = gaps(*[0.0] * 30)
    condition = Condition(properties={"band_gap": 0})
    drawn = [tuple(ids(retrieve(index, condition, seed=seed))) for seed in range(60)]
    assert len(set(drawn)) > 50
    assert len({name for names in drawn for name in names}) == 30


def test_several_continuous_values_rank_by_the_sum_of_their_ranks() -> None:
    values = {"a": (1.0, -1.0), "b": (1.0, -9.0), "c": (9.0, -1.0), "d": (1.1, -1.1)}
    index = index_of(
        *(
            document(name, properties={"band_gap": gap, "formation_energy_per_atom": energy})
            for name, (gap, energy) in values.items()
        )
    )
    asked = {"band_gap": 1.0, "formation_energy_per_atom": -1.0}
    assert ids(retrieve(index, Condition(properties=asked), shots=1)) == ["a"]
    # ranks of (b, c, d): gap 0, 3, 2; energy 3, 0, 2
    assert set(ids(retrieve(index, Condition(properties=asked), shots=3))[1:]) == {"b", "c"}


def test_too_few_are_filled_up_from_weaker_conditions_in_the_stated_order() -> None:
    index = index_of(
        document("all", "KBr", "AB", "Br-K", 225, num_sites=2),
        document("other size", "KBr", "AB", "Br-K", 225, num_sites=4),
        document("other system", "LiF", "AB", "F-Li", 225, num_sites=4),
        document("other group", "LiF", "AB", "F-Li", 1, num_sites=4),
        document("nothing", "LiF2", "AB2", "F-Li", 1, num_sites=4),
    )
    condition = Condition(anonymous_formula="AB", chemsys="K-Br", space_group=225, num_sites=2)
    found = retrieve(index, condition, shots=5)
    assert ids(found) == ["all", "other size", "other system", "other group", "nothing"]
    assert found.num_matching == 1
    assert found.relaxed == ["num_sites", "chemsys", "space_group", "formula"]
    # nothing is given up that need not be
    assert retrieve(index, condition, shots=2).relaxed == ["num_sites"]
    assert retrieve(index, condition, shots=1).relaxed == []


def test_relaxation_follows_the_documented_order() -> None:
    condition = Condition(
        formula="NaCl", chemsys="Na-Cl", elements=("Na",), space_group=1, num_sites=2,
        wyckoff="Na:a Cl:a",
        properties={"band_gap": 1, "energy_above_hull": Range(max=0.1)},
    )  # fmt: skip
    steps = tiers(criteria(gaps(1.0), condition))
    given_up = [name.split(".")[0] for _, name in steps if name]
    assert list(dict.fromkeys(given_up)) == list(RELAXATION_ORDER)
    assert [len(parts) for parts, _ in steps] == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_property_that_the_pool_does_not_know_is_given_up() -> None:
    found = retrieve(gaps(1.0, 2.0, 3.0), Condition(properties={"energy_above_hull": 0.0}))
    assert len(found.demonstrations) == 3
    assert found.num_matching == 0
    assert found.relaxed == ["properties.energy_above_hull"]


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_asked_for_crystal_is_never_its_own_demonstration(strategy: Strategy) -> None:
    print_ = [0.0, 1.0]
    index = index_of(
        document("itself", group=225, fingerprint=print_),
        document("itself again", group=225, fingerprint=print_),
        document("polymorph", group=221, fingerprint=print_),
        document("other", "KBr", "AB", "Br-K", 225, fingerprint=print_),
        document("far", "KBr2", "AB2", "Br-K", 225, fingerprint=print_),
    )

    def every(condition: Condition, **more: object) -> set[str]:
        return {
            name
            for seed in range(10)
            for name in ids(
                retrieve(index, condition, strategy=strategy, shots=5, seed=seed, **more)  # type: ignore[arg-type]
            )
        }

    # with formula and group: that formula in that group; its polymorphs may be shown
    assert every(Condition(formula="NaCl", space_group=225)) == {"polymorph", "other", "far"}
    # with the formula alone any polymorph would be an answer
    assert every(Condition(formula="Na2Cl2")) == {"other", "far"}
    # without a formula nothing says which crystal is meant
    assert len(every(Condition(space_group=225))) == 5
    assert "far" not in every(Condition(space_group=225), exclude_ids=("far", "unknown"))


def test_f_gives_the_nearest_neighbours_of_a_random_anchor() -> None:
    rng = np.random.default_rng(1)
    points = rng.random((40, 5))
    index = index_of(
        *(document(f"d{i:02d}", fingerprint=point.tolist()) for i, point in enumerate(points))
    )
    anchors = set()
    for seed in range(20):
        chosen = [
            int(name[1:])
            for name in ids(retrieve(index, Condition(), strategy="F", seed=seed, shots=4))
        ]
        distance = np.linalg.norm(points - points[chosen[0]], axis=1)
        assert chosen[1:] == np.argsort(distance)[1:4].tolist()
        anchors.add(chosen[0])
    assert len(anchors) > 10


def test_cf_stays_among_those_that_meet_the_condition() -> None:
    rng = np.random.default_rng(2)
    points = rng.random((40, 5))
    index = index_of(
        *(
            document(f"d{i:02d}", group=225 if i % 2 else 1, fingerprint=point.tolist())
            for i, point in enumerate(points)
        )
    )
    for seed in range(10):
        found = retrieve(index, Condition(space_group=225), strategy="CF", seed=seed, shots=4)
        chosen = [int(name[1:]) for name in ids(found)]
        assert all(i % 2 for i in chosen)
        distance = np.linalg.norm(points - points[chosen[0]], axis=1)
        distance[::2] = np.inf
        assert chosen[1:] == np.argsort(distance)[1:4].tolist()


def test_equal_fingerprints_are_drawn_not_ordered_by_rounding() -> None:
    point = (np.random.default_rng(3).random(61) * 3).tolist()
    index = index_of(*(document(f"d{i:02d}", fingerprint=point) for i in range(30)))
    second = {ids(retrieve(index, Condition(), strategy="F", seed=seed))[1] for seed in range(80)}
    assert len(second) > 20


def test_f_and_cf_use_what_has_fingerprints() -> None:
    index = index_of(
        *(document(f"d{i}", fingerprint=[float(i)] if i < 3 else None) for i in range(9))
    )
    for strategy in ("F", "CF"):
        found = retrieve(index, Condition(anonymous_formula="AB"), strategy=strategy, shots=5)
        assert set(ids(found)) == {"d0", "d1", "d2"}


@pytest.mark.parametrize("strategy", ["F", "CF", "FR", "CFR"])
def test_without_any_fingerprint_they_say_how_to_get_them(
    prototypes: Store, strategy: Strategy
) -> None:
    with pytest.raises(ValueError, match="crystalicl pool fingerprints") as caught:
        retrieve(prototypes, Condition(), strategy=strategy)
    assert "\n" not in str(caught.value)
    assert retrieve(prototypes, Condition(), strategy=strategy, shots=0).demonstrations == []


@pytest.mark.parametrize("plain", ["C", "F", "CF"])
def test_r_shuffles_the_same_choice(fingerprinted: DemonstrationIndex, plain: Strategy) -> None:
    orders = set()
    for seed in range(12):
        condition = Condition(anonymous_formula="AB2")
        straight = ids(retrieve(fingerprinted, condition, strategy=plain, seed=seed, shots=4))
        shuffled = ids(
            retrieve(fingerprinted, condition, strategy=plain + "R", seed=seed, shots=4)  # type: ignore[arg-type]
        )
        assert sorted(straight) == sorted(shuffled)
        orders.add(tuple(straight.index(name) for name in shuffled))
    assert len(orders) > 3


def test_many_at_once_are_the_same_as_one_by_one(prototypes: Store) -> None:
    asked = [Condition(formula="CaTiO3"), Condition(space_group=225), Condition()]
    together = retrieve_many(prototypes, asked, strategy="C", shots=3, seed=5)
    assert together == [retrieve(prototypes, one, strategy="C", shots=3, seed=5) for one in asked]
    seeds = retrieve_many(prototypes, asked, strategy="R", seed=[1, 2, 3])
    assert [item.seed for item in seeds] == [1, 2, 3]
    with pytest.raises(ValueError, match="2 seeds were given for 3 conditions"):
        retrieve_many(prototypes, asked, seed=[1, 2])


def test_what_does_not_exist_is_refused_in_one_line(prototypes: Store) -> None:
    with pytest.raises(ValueError, match="strategy 'X' does not exist; choose C, F, CF"):
        retrieve(prototypes, Condition(), strategy="X")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="shots must be from 0 to 5, got 6"):
        retrieve(prototypes, Condition(), shots=6)


def test_an_empty_pool_gives_nothing() -> None:
    found = retrieve(open_store("memory:"), Condition(formula="NaCl"))
    assert (found.demonstrations, found.num_matching, found.pool_size) == ([], 0, 0)


def test_every_kind_of_store_gives_the_same_choice(any_store: Store, prototypes: Store) -> None:
    documents = [{k: v for k, v in doc.items() if k != "_id"} for doc in prototypes.query()]
    random.Random(4).shuffle(documents)
    write_documents(any_store, documents)
    condition = Condition(formula="SrTiO3", space_group=221)
    for strategy in ("C", "R", "CR"):
        here = retrieve(any_store, condition, strategy=strategy, seed=3)
        there = retrieve(prototypes, condition, strategy=strategy, seed=3)
        assert here.demonstrations == there.demonstrations
        assert here.relaxed == there.relaxed


def test_demonstrations_from_the_training_set_for_conditions_of_the_test_set(shared_data) -> None:  # type: ignore[no-untyped-def]
    import csv
    import gzip
    from itertools import islice

    from crystalicl_jobflow.retrieval import fill_pool

    store = open_store("memory:")
    fill_pool(shared_data / "mp_20_train.csv.gz", store, fingerprints=False, limit=400)
    with gzip.open(shared_data / "mp_20_test.csv.gz", "rt", newline="") as file:
        rows = list(islice(csv.DictReader(file), 60))
    conditions = [
        Condition(formula=row["pretty_formula"], space_group=int(float(row["spacegroup.number"])))
        for row in rows
    ]
    for condition, found in zip(conditions, retrieve_many(store, conditions), strict=True):
        assert len(found.demonstrations) == 3
        meets = [
            item
            for item in found.demonstrations
            if item.anonymous_formula == condition.anonymized
            and item.space_group == condition.space_group
        ]
        assert len(meets) == min(found.num_matching, 3)
        assert bool(found.relaxed) == (found.num_matching < 3)
        for item in found.demonstrations:
            assert set(item.properties) == {
                "band_gap",
                "energy_above_hull",
                "formation_energy_per_atom",
            }


def test_ce_shows_the_most_similar_elements_first() -> None:
    index = index_of(
        document("far", "HgTe", elements="Hg-Te"),
        document("nearest", "KCl", elements="Cl-K"),
        document("near", "RbBr", elements="Br-Rb"),
        document("other group", "NaBr", elements="Br-Na", group=221),
        document("other stoichiometry", "MgCl2", "AB2", elements="Cl-Mg"),
        document("itself"),
    )
    condition = Condition(formula="NaCl", space_group=225)
    chosen = retrieve(index, condition, strategy="CE", shots=3, seed=5)
    assert ids(chosen) == ["nearest", "near", "far"]
    # where too few meet the condition, similar elements come first among the others too
    assert ids(retrieve(index, condition, strategy="CE", shots=5, seed=5))[3] == "other group"


def test_ce_adds_up_the_differences_of_the_elements() -> None:
    # Mendeleev numbers: Na 11, Cl 99; At 96 (differences 0 and 3), Rb 9 and I 97 (2 and 2)
    index = index_of(
        document("both a little", "RbI", elements="I-Rb"),
        document("one the same", "NaAt", elements="At-Na"),
    )
    chosen = retrieve(index, Condition(formula="NaCl"), strategy="CE", shots=2, seed=0)
    assert ids(chosen) == ["one the same", "both a little"]
    rows = np.array([index.row("both a little"), index.row("one the same")])
    assert list(element_distances(index, Condition(formula="NaCl"), rows)) == [4.0, 3.0]  # type: ignore[arg-type]


def test_ce_matches_elements_within_equal_amounts() -> None:
    # Ca and Ti change places with Ti and Ca: the assignment that costs least counts
    index = index_of(
        document("swapped", "TiCaS3", "ABC3", "Ca-S-Ti", 221),
        document("barium", "BaHfO3", "ABC3", "Ba-Hf-O", 221),
    )
    condition = Condition(formula="CaTiS3", space_group=62)
    chosen = retrieve(index, condition, strategy="CE", shots=1, seed=0)
    assert ids(chosen) == ["swapped"]


def test_ce_without_a_formula_is_c() -> None:
    index = gaps(0.1, 0.5, 0.9, 2.0)
    condition = Condition(space_group=225, properties={"band_gap": 0.8})
    assert ids(retrieve(index, condition, strategy="CE", shots=2)) == ids(
        retrieve(index, condition, strategy="C", shots=2)
    )


def test_two_distances_count_by_the_sum_of_their_ranks() -> None:
    first, second = np.array([0.0, 0.1, 5.0]), np.array([90.0, 0.0, np.inf])
    assert rank_sum(first, second).tolist() == [1, 1, 4]  # type: ignore[union-attr]
    assert rank_sum(first, None) is first
    assert rank_sum(None, second) is second

"""Fingerprints of sets of crystals: the numbers, the failures, the cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from maggma.stores import JSONStore, MemoryStore, MontyStore
from matminer.featurizers.composition import ElementProperty
from matminer.featurizers.site import CrystalNNFingerprint
from pymatgen.core import Composition, Element, Lattice, Structure

from crystalicl_jobflow.comparison import fingerprint_sets as module
from crystalicl_jobflow.comparison.fingerprint_cache import (
    SqliteFingerprints,
    open_fingerprint_cache,
)
from crystalicl_jobflow.comparison.fingerprint_sets import (
    composition_fingerprint,
    crystal_fingerprints,
)
from crystalicl_jobflow.crystal.structure_hash import structure_hash

MAGPIE = ElementProperty.from_preset("magpie", impute_nan=False)
KNOWN = sorted(e.symbol for e in Element if e.Z <= 103 and e.symbol not in ("D", "T"))


def heap() -> Structure:
    """Atoms on top of each other: nothing a fingerprint could be made of."""
    return Structure(Lattice.cubic(0.5), ["Cs", "Cl"], [[0, 0, 0], [0, 0, 0]])


@pytest.fixture
def count_computed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Record the formula of every structural fingerprint that is computed."""
    module.check_featurizer()  # made once, at the first failure
    done: list[str] = []
    original = module.structure_fingerprint

    def counting(task: tuple[Structure, float | None]) -> np.ndarray | str:
        done.append(task[0].composition.reduced_formula)
        return original(task)

    monkeypatch.setattr(module, "structure_fingerprint", counting)
    return done


# --- the numbers


@given(
    st.dictionaries(st.sampled_from(KNOWN), st.integers(1, 12), min_size=1, max_size=6).map(
        Composition
    )
)
def test_composition_fingerprints_are_those_of_matminer(composition: Composition) -> None:
    expected = np.array(MAGPIE.featurize(composition), dtype=float)
    found = composition_fingerprint(composition)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


def test_composition_fingerprint_by_hand() -> None:
    # atomic numbers of NaCl: 11 and 17; minimum, maximum, range, mean, mean deviation, mode
    np.testing.assert_allclose(
        composition_fingerprint(Composition("NaCl"))[:6], [11, 17, 6, 14, 3, 11]
    )
    # of Al2O3: 13 and 8, the mean (2 · 13 + 3 · 8) / 5 = 10, the mode oxygen's
    np.testing.assert_allclose(
        composition_fingerprint(Composition("Al2O3"))[:6], [8, 13, 5, 10, 2.4, 8]
    )


def test_oxidation_states_and_size_of_the_cell_do_not_change_a_composition() -> None:
    plain = composition_fingerprint(Composition("Fe3O4"))
    ions = Composition({"Fe2+": 1, "Fe3+": 2, "O2-": 4})
    np.testing.assert_allclose(composition_fingerprint(ions), plain)
    np.testing.assert_allclose(composition_fingerprint(Composition("Fe12O16")), plain)


def test_missing_properties_of_an_element_stay_missing() -> None:
    """Newer versions of matminer would fill in the mean of all elements (impute_nan)."""
    found = composition_fingerprint(Composition("ArF"))
    assert np.isnan(found).sum() == 6  # six statistics of the one property that argon lacks
    with pytest.raises(ValueError, match="no data for Og"):
        composition_fingerprint(Composition("OgF2"))
    with pytest.raises(ValueError, match="no atoms"):
        composition_fingerprint(Composition({}))


def test_structural_fingerprints_average_over_all_sites(
    mp_20: Callable[[int], list[tuple[Structure, int, str]]],
) -> None:
    crystals = [structure for structure, _, _ in mp_20(6)]
    found = crystal_fingerprints(crystals)
    featurizer = CrystalNNFingerprint.from_preset("ops")
    for row, crystal in zip(found.structure, crystals, strict=True):
        sites = [featurizer.featurize(crystal, index) for index in range(len(crystal))]
        np.testing.assert_allclose(row, np.mean(sites, axis=0), atol=1e-5)
    assert found.ok.all()


def test_several_processes_give_the_same(nacl: Structure, cscl: Structure) -> None:
    crystals = [nacl, cscl, heap(), cscl * (2, 1, 1)]
    one, two = crystal_fingerprints(crystals), crystal_fingerprints(crystals, processes=2)
    np.testing.assert_array_equal(one.structure, two.structure)
    assert one.errors == two.errors
    with pytest.raises(ValueError, match="at least 1"):
        crystal_fingerprints(crystals, processes=0)


def test_pools_and_evaluation_mean_the_same_fingerprint() -> None:
    from crystalicl_jobflow.crystal import fingerprints as retrieval

    assert module.STRUCTURE_FINGERPRINT_SIZE == retrieval.FINGERPRINT_SIZE


# --- failures


def test_failures_keep_their_place_and_say_why(nacl: Structure) -> None:
    og = Structure(Lattice.cubic(4), ["Og"], [[0, 0, 0]])
    flat = Structure(Lattice([[1, 0, 0], [2, 0, 0], [0, 0, 1]]), ["Cs"], [[0, 0, 0]])
    found = crystal_fingerprints([None, nacl, heap(), og, flat])
    assert found.ok.tolist() == [False, True, False, False, False]
    assert found.errors[0] == "no crystal"
    assert found.errors[1] is None
    assert found.errors[2] == "structural fingerprint: less than 0.5 Å³ per atom"
    assert found.errors[3] == "composition fingerprint: no data for Og"
    assert np.isnan(found.structure[[0, 2, 3, 4]][:, 0]).sum() >= 3
    assert np.isfinite(found.structure[1]).all()
    assert len(crystal_fingerprints([])) == 0


@pytest.mark.parametrize(("per_atom", "looked_at"), [(0.49, False), (0.51, True), (0.99, True)])
def test_only_crystals_below_half_a_cubic_angstrom_per_atom_are_not_looked_at(
    monkeypatch: pytest.MonkeyPatch, per_atom: float, looked_at: bool
) -> None:
    from crystalicl_jobflow.crystal import fingerprints as retrieval

    monkeypatch.setattr(retrieval, "crystal_fingerprint", lambda _: np.zeros(61))
    dense = Structure(Lattice.cubic((2 * per_atom) ** (1 / 3)), ["H", "H"], [[0] * 3, [0.5] * 3])
    assert crystal_fingerprints([dense]).ok.tolist() == [looked_at]


@pytest.mark.parametrize(
    ("answer", "doubted"),
    [
        (np.zeros(61), False),
        ("structural fingerprint: took longer than 60 s", False),
        ("structural fingerprint: no bonds", True),
    ],
    ids=["a fingerprint", "a time-out", "a failure"],
)
def test_only_a_failure_that_is_no_time_out_casts_doubt_on_the_library(
    nacl: Structure, monkeypatch: pytest.MonkeyPatch, answer: object, doubted: bool
) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(module, "structure_fingerprint", lambda _: answer)
    monkeypatch.setattr(module, "check_featurizer", lambda: asked.append(True))
    crystal_fingerprints([nacl])
    assert bool(asked) is doubted


def test_a_library_at_fault_is_an_error_and_not_a_set_of_bad_crystals(
    cscl: Structure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Evaluation code that swallows every exception reports 0 when a library changes."""
    from crystalicl_jobflow.crystal import fingerprints as retrieval

    def changed(_: Structure) -> np.ndarray:
        raise TypeError("featurize() got an unexpected keyword argument")

    module.check_featurizer.cache_clear()
    monkeypatch.setattr(retrieval, "crystal_fingerprint", changed)
    cache = tmp_path / "prints.sqlite"
    with pytest.raises(RuntimeError, match=r"library is at fault.*unexpected keyword"):
        crystal_fingerprints([cscl], cache=cache)
    monkeypatch.undo()
    module.check_featurizer.cache_clear()
    assert crystal_fingerprints([cscl], cache=cache).ok.all()  # nothing wrong was kept


# --- the hash


def test_the_hash_is_of_cell_and_sites(nacl: Structure, cscl: Structure) -> None:
    name = structure_hash(nacl)
    shuffled = Structure.from_sites(list(reversed(nacl.sites)))
    elsewhere = nacl.frac_coords + np.array([1, -2, 0])
    turned = Structure(Lattice.from_parameters(*nacl.lattice.parameters), nacl.species, elsewhere)
    through_json = Structure.from_dict(json.loads(json.dumps(nacl.as_dict())))
    for same in (shuffled, turned, through_json):
        assert structure_hash(same) == name
    moved = nacl.copy()
    moved.translate_sites([0], [0.001, 0, 0])
    others = [moved, cscl, nacl * (1, 1, 2), nacl.get_primitive_structure()]
    assert len({name, *map(structure_hash, others)}) == 5


def test_coordinates_at_the_border_of_the_cell_have_one_hash(cscl: Structure) -> None:
    names = {
        structure_hash(Structure(cscl.lattice, ["Cs", "Cl"], [[x, 0, 0], [0.5, 0.5, 0.5]]))
        for x in (0.0, -0.0, 1.0, 1e-12, -1e-12, 1 - 1e-9)
    }
    assert len(names) == 1


# --- the cache


def _cache(kind: str, folder: Path) -> Any:
    if kind == "sqlite":
        return folder / "new" / "prints.sqlite"
    if kind == "memory":
        return MemoryStore(key="fingerprint_id")
    if kind == "json":
        file = str(folder / "prints.json")
        return JSONStore(file, read_only=False, key="fingerprint_id")
    if kind == "monty":
        path = str(folder)
        return MontyStore("prints", database_path=path, storage="sqlite", key="fingerprint_id")
    return str(folder / "prints.json")


@pytest.mark.parametrize("kind", ["sqlite", "memory", "json", "json path", "monty"])
def test_a_second_run_computes_nothing(
    kind: str, tmp_path: Path, nacl: Structure, cscl: Structure, count_computed: list[str]
) -> None:
    cache = _cache(kind, tmp_path)
    crystals = [nacl, cscl, None, nacl.copy(), heap()]
    first = crystal_fingerprints(crystals, cache=cache)
    assert (first.computed, first.cached) == (3, 0)
    assert count_computed == ["NaCl", "CsCl", "CsCl"]  # no work for the copy
    count_computed.clear()
    again = crystal_fingerprints(crystals, cache=cache)
    assert (again.computed, again.cached) == (0, 3)
    assert count_computed == []
    np.testing.assert_array_equal(again.structure, first.structure)
    assert again.errors == first.errors
    more = crystal_fingerprints([cscl * (1, 1, 2), cscl], cache=cache)
    assert (more.computed, more.cached) == (1, 1)


def test_embedded_stores_are_never_written_one_by_one(
    nacl: Structure, cscl: Structure, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``update`` of maggma's memory, JSON and Monty stores is quadratic."""
    store = MemoryStore(key="fingerprint_id")

    def quadratic(*_: object, **__: object) -> None:
        raise AssertionError("Store.update is quadratic in the number of documents")

    monkeypatch.setattr(MemoryStore, "update", quadratic)
    assert crystal_fingerprints([nacl, cscl], cache=store).ok.all()
    assert crystal_fingerprints([nacl, cscl], cache=store).cached == 2


def test_time_outs_are_tried_again_and_other_failures_are_not(
    cscl: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "prints.sqlite"
    slow = "structural fingerprint: took longer than 60 s"
    with monkeypatch.context() as patch:
        patch.setattr(module, "structure_fingerprint", lambda _: slow)
        assert crystal_fingerprints([cscl], cache=cache).errors == (slow,)
    again = crystal_fingerprints([cscl], cache=cache)
    assert (again.computed, again.ok.tolist()) == (1, [True])
    crystal_fingerprints([heap()], cache=cache)
    assert crystal_fingerprints([heap()], cache=cache).computed == 0


def test_other_versions_have_other_values(tmp_path: Path) -> None:
    path = tmp_path / "prints.sqlite"
    with open_fingerprint_cache(path, kind="matminer 1") as old:
        assert old is not None
        old.put_many({"a": np.arange(3.0), "b": "too flat"})
    with open_fingerprint_cache(path, kind="matminer 2") as new:
        assert new is not None
        assert new.get_many(["a", "b"]) == {}
    with SqliteFingerprints.open(path, kind="matminer 1") as old:
        found = old.get_many(["a", "b", "c"])
        np.testing.assert_array_equal(found["a"], [0, 1, 2])
        assert found["b"] == "too flat"
        assert set(found) == {"a", "b"}


def test_many_keys_are_read_and_written_at_once(tmp_path: Path) -> None:
    values = {f"{number:05d}": np.full(61, float(number)) for number in range(3000)}
    with open_fingerprint_cache(tmp_path / "prints.sqlite", kind="k") as cache:
        assert cache is not None
        cache.put_many(values)
        found = cache.get_many([*values, "unknown"])
    assert found.keys() == values.keys()
    assert all(np.array_equal(found[key], values[key]) for key in values)


def test_a_cache_that_cannot_be_opened_is_named(tmp_path: Path, nacl: Structure) -> None:
    broken = tmp_path / "broken.sqlite"
    broken.write_text("this is no database, but a longer text than its header would be" * 30)
    with pytest.raises(ValueError, match=r"broken\.sqlite cannot be used"):
        crystal_fingerprints([nacl], cache=broken)
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be opened"):
        crystal_fingerprints([nacl], cache=tmp_path / "file" / "prints.sqlite")


def test_what_was_done_is_kept_when_the_work_is_interrupted(
    nacl: Structure, cscl: Structure, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "prints.sqlite"
    original = module.structure_fingerprint
    calls = 0

    def interrupted(task: tuple[Structure, float | None]) -> np.ndarray | str:
        nonlocal calls
        calls += 1
        if calls == 66:
            raise KeyboardInterrupt
        return original(task) if calls < 3 else np.zeros(61)

    crystals = [nacl] + [
        Structure(Lattice.cubic(4 + 0.01 * step), ["Cs", "Cl"], cscl.frac_coords)
        for step in range(70)
    ]
    with monkeypatch.context() as patch:
        patch.setattr(module, "structure_fingerprint", interrupted)
        with pytest.raises(KeyboardInterrupt):
            crystal_fingerprints(crystals, cache=cache)
    with open_fingerprint_cache(cache, kind=module.fingerprint_kind) as kept:
        assert kept is not None
        assert len(kept.get_many([structure_hash(crystal) for crystal in crystals])) == 64

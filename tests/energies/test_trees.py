"""Boosted trees without pickle: the numbers of scikit-learn, and safe files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pymatgen.core import Lattice, Structure
from sklearn.ensemble import HistGradientBoostingRegressor

from crystalicl_jobflow.comparison.fingerprint_sets import composition_fingerprint
from crystalicl_jobflow.energies.features import (
    NUM_FEATURES,
    STRUCTURE_FEATURES,
    crystal_features,
    feature_matrix,
)
from crystalicl_jobflow.energies.trees import BoostedTrees
from crystalicl_jobflow.validation.distances import min_distance


def make_data(seed: int, rows: int = 400) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(rows, 6))
    features[rng.random(features.shape) < 0.1] = np.nan
    values = np.nan_to_num(features[:, 0]) ** 2 + np.nan_to_num(features[:, 1])
    return features, values


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_the_same_numbers_as_scikit_learn(loss: str, tmp_path: Path) -> None:
    features, values = make_data(0)
    model = HistGradientBoostingRegressor(loss=loss, max_iter=40, random_state=0)
    model.fit(features, values)
    trees = BoostedTrees.from_sklearn(model, meta={"property": "x"})
    unseen, _ = make_data(1)
    assert trees.predict(unseen) == pytest.approx(model.predict(unseen), abs=1e-5)
    trees.save(tmp_path / "trees.npz")
    read = BoostedTrees.load(tmp_path / "trees.npz")
    assert read.meta == {"property": "x"}
    assert np.array_equal(read.predict(unseen), trees.predict(unseen))


def test_no_rows() -> None:
    features, values = make_data(0)
    model = HistGradientBoostingRegressor(max_iter=2).fit(features, values)
    assert BoostedTrees.from_sklearn(model).predict(np.empty((0, 6))).shape == (0,)


def test_a_file_cannot_bring_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (print, ("executed",))

    path = tmp_path / "evil.npz"
    np.savez(path, meta=np.array([Evil()], dtype=object), baseline=np.array(0.0))
    with pytest.raises(ValueError, match="holds no trees"):
        BoostedTrees.load(path)
    path.write_bytes(b"not a zip")
    with pytest.raises(ValueError, match="holds no trees"):
        BoostedTrees.load(path)


def features_of(structure: Structure) -> dict[str, float]:
    values = crystal_features(structure)
    assert values.shape == (NUM_FEATURES,)
    return dict(zip(STRUCTURE_FEATURES, values[132:], strict=True))


def test_features_by_hand(nacl: Structure) -> None:
    found = features_of(nacl)
    assert found["space_group"] == 225
    assert found["num_sites_primitive"] == 2
    assert found["volume_per_atom"] == pytest.approx(5.69**3 / 8)
    assert found["shortest_distance"] == pytest.approx(5.69 / 2)
    # Slater's radii: Na 1.80, Cl 1.00 Å; the mean diameter is 2.8 Å
    assert found["shortest_over_radii"] == pytest.approx(2.845 / 2.8)
    assert found["packing"] == pytest.approx(4 * 4 / 3 * np.pi * (1.8**3 + 1.0**3) / 5.69**3)
    # 11 + 17 electrons; valence 1 and 7
    assert found["electrons_are_odd"] == 0
    assert found["valence_electrons_per_atom"] == 4
    assert found["composition_valid"] == 1


def test_an_odd_number_of_electrons_is_seen_in_any_cell() -> None:
    copper = Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.6), ["Cu"], [[0, 0, 0]])
    for cell in (copper, copper * (2, 1, 1), copper.get_primitive_structure()):
        found = features_of(cell)
        assert found["electrons_are_odd"] == 1
        assert found["num_sites_primitive"] == 1


def test_composition_features_are_magpies(nacl: Structure) -> None:
    expected = composition_fingerprint(nacl.composition)
    assert np.allclose(crystal_features(nacl)[:132], expected, equal_nan=True)


def test_the_cell_chosen_does_not_matter(nacl: Structure) -> None:
    whole, primitive = crystal_features(nacl), crystal_features(nacl.get_primitive_structure())
    assert np.allclose(whole, primitive, equal_nan=True)
    assert min_distance(nacl) == pytest.approx(2.845)


def test_what_has_no_features_has_a_reason(nacl: Structure) -> None:
    matrix, errors = feature_matrix([nacl, None, Structure(nacl.lattice, [], [])])
    assert errors[0] is None
    assert errors[1] == errors[2] == "There is no crystal."
    assert np.isnan(matrix[1:]).all()

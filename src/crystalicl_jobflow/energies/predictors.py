"""Values of properties for generated crystals, each by a model with a name and a version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import numpy as np
from pymatgen.core import Structure

from crystalicl_jobflow.energies.answers import Answer, PropertyPredictor, answers_of
from crystalicl_jobflow.energies.energy_model import EnergyModel
from crystalicl_jobflow.energies.features import FEATURES_VERSION, feature_matrix
from crystalicl_jobflow.energies.loading import TENSORNET, is_energy_model
from crystalicl_jobflow.energies.references import ElementalReferences, load_references
from crystalicl_jobflow.energies.trees import BoostedTrees


@dataclass(frozen=True)
class TreePredictor:
    """Boosted trees over :func:`~crystalicl_jobflow.energies.features`.

    Parameters
    ----------
    trees
        The trees; what they predict, and on what they were fitted, stands in their ``meta``.
    name
        Name of the predictor.
    """

    trees: BoostedTrees
    name: str = "trees"

    @property
    def property_name(self) -> str:
        """Name of the property."""
        return str(self.trees.meta["property"])

    @property
    def version(self) -> str:
        """Version of the trees."""
        return str(self.trees.meta["version"])

    def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
        """Return a value for each crystal, in order; None where there is no crystal."""
        return [answer.value for answer in self.answers(structures)]

    def answers(self, structures: Sequence[Structure | None]) -> list[Answer]:
        """Return a value, or why there is none, for each crystal, in order."""
        features, errors = feature_matrix(structures)
        values = self.trees.predict(features)
        low = self.trees.meta.get("minimum")
        if low is not None:
            values = np.maximum(values, low)
        return [
            Answer(round(float(value), 4)) if error is None else Answer(None, error)
            for value, error in zip(values, errors, strict=True)
        ]


@dataclass(frozen=True)
class FormationEnergyPredictor:
    """Formation energy of each crystal as it is, by an energy model and its references.

    Parameters
    ----------
    model
        The energy model.
    references
        Its elemental references.
    """

    model: EnergyModel
    references: ElementalReferences
    property_name: str = "formation_energy_per_atom"

    @property
    def name(self) -> str:
        """Name of the energy model."""
        return self.model.name

    @property
    def version(self) -> str:
        """Version of the weights, and the references."""
        return f"{self.model.version} references {self.references.kind}"

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages of the energy model, whose versions belong to its results."""
        return tuple(getattr(self.model, "packages", ()))

    def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
        """Return eV/atom for each crystal, in order; None where there is no energy."""
        return [answer.value for answer in self.answers(structures)]

    def answers(self, structures: Sequence[Structure | None]) -> list[Answer]:
        """Return eV/atom, or why there is no energy, for each crystal, in order."""
        found: list[Answer] = []
        energies = self.model.energies(structures)
        for structure, energy in zip(structures, energies, strict=True):
            if structure is None or energy.energy_per_atom is None:
                found.append(Answer(None, energy.message or "There is no energy."))
                continue
            plain = structure.composition.element_composition
            missing = self.references.missing(plain)
            if missing:
                reason = f"There is no elemental reference for {', '.join(missing)}."
                found.append(Answer(None, reason))
                continue
            found.append(Answer(self.references.formation_energy(plain, energy.energy_per_atom)))
        return found


@dataclass(frozen=True)
class Boosting:
    """Size of an ensemble of boosted trees.

    Parameters
    ----------
    iterations
        Number of trees.
    learning_rate
        Weight of each tree.
    leaves
        Most leaves of a tree.
    """

    iterations: int = 400
    learning_rate: float = 0.06
    leaves: int = 31


def fit_trees(
    property_name: str,
    structures: Sequence[Structure | None],
    values: Sequence[float],
    *,
    source: str = "",
    version: str = "user",
    boosting: Boosting | None = None,
    minimum: float | None = None,
    seed: int = 0,
) -> TreePredictor:
    """Fit trees to a property of the user's, with scikit-learn's histogram boosting.

    The loss is the absolute error: a band gap is zero for half of all crystals, and the
    median of a leaf then is zero too, where the mean would be a small gap that none has.

    Parameters
    ----------
    property_name
        What the values are.
    structures, values
        n crystals, and their values; crystals without features are left out.
    source
        Name of the data, kept with the trees.
    version
        Version of the predictor.
    boosting
        How many trees of what size; None for the defaults.
    minimum
        Smallest physical value; predictions are lifted to it.
    seed
        Of the binning.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor

    boosting = boosting or Boosting()
    features, errors = feature_matrix(structures)
    usable = np.array([error is None for error in errors])
    model = HistGradientBoostingRegressor(
        loss="absolute_error",
        max_iter=boosting.iterations,
        learning_rate=boosting.learning_rate,
        max_leaf_nodes=boosting.leaves,
        min_samples_leaf=10,
        l2_regularization=1.0,
        max_features=0.3,
        early_stopping=False,
        random_state=seed,
    )
    model.fit(features[usable], np.asarray(values, dtype=float)[usable])
    meta = {
        "property": property_name,
        "version": version,
        "features": FEATURES_VERSION,
        "source": source,
        "crystals": int(usable.sum()),
        "minimum": minimum,
    }
    return TreePredictor(BoostedTrees.from_sklearn(model, meta=meta))


def _shipped_trees(property_name: str) -> TreePredictor:
    folder = resources.files("crystalicl_jobflow.energies.data")
    with resources.as_file(folder / f"{property_name}.npz") as path:
        return load_trees(path)


def load_trees(path: str | Path) -> TreePredictor:
    """Read trees from a file.

    Raises
    ------
    ValueError
        If it holds none, or they were grown on other features; one line.
    """
    trees = BoostedTrees.load(path)
    if trees.meta.get("features") != FEATURES_VERSION:
        raise ValueError(
            f"{path}: trees over {trees.meta.get('features')!r}, this version has"
            f" {FEATURES_VERSION!r}; fit them anew"
        )
    return TreePredictor(trees)


def _formation_energy(name: str) -> FormationEnergyPredictor:
    from crystalicl_jobflow.energies.loading import load_energy_model

    model = load_energy_model(name)
    return FormationEnergyPredictor(model, load_references(model))


def _megnet(property_name: str, place: str | None = None) -> PropertyPredictor:
    from crystalicl_jobflow.energies.megnet import MegnetPredictor

    return MegnetPredictor(property_name, place)


PREDICTORS: dict[str, dict[str, Callable[[], PropertyPredictor]]] = {
    "formation_energy_per_atom": {
        "chgnet": lambda: _formation_energy("chgnet"),
        "trees": lambda: _shipped_trees("formation_energy_per_atom"),
        "megnet": lambda: _megnet("formation_energy_per_atom"),
        TENSORNET: lambda: _formation_energy(TENSORNET),
    },
    "band_gap": {
        "trees": lambda: _shipped_trees("band_gap"),
        "megnet": lambda: _megnet("band_gap"),
    },
}
"""Property → name → predictor; the first name is the default. MEGNet is the paper's."""


def load_predictor(property_name: str, name: str | None = None) -> PropertyPredictor:
    """Load a predictor.

    Parameters
    ----------
    property_name
        What to predict.
    name
        Which predictor, see :data:`PREDICTORS`; ``megnet:FOLDER`` or ``megnet:HUB_NAME`` for
        other weights; any energy model of
        :func:`~crystalicl_jobflow.energies.loading.load_energy_model` for formation energies;
        the path of an ``.npz`` of :func:`fit_trees`. Each with ``+FILE.json`` for a correction
        of :func:`~crystalicl_jobflow.energies.corrections.fit_correction`. None for the first
        whose packages are installed.

    Raises
    ------
    ValueError
        If there is none of that name; one line.
    ImportError
        If it needs a package that is missing, with what to install.
    """
    known = PREDICTORS.get(property_name, {})
    if name is not None and name.endswith(".npz"):
        found: PropertyPredictor = load_trees(name)
        if found.property_name != property_name:
            raise ValueError(f"{name} predicts {found.property_name}, not {property_name}")
        return found
    if not known and (name is None or "+" not in name):
        raise ValueError(
            f"no predictor of {property_name}; there are some of {', '.join(PREDICTORS)}"
        )
    if name is not None:
        return _named(property_name, name)
    missing: ImportError | None = None
    for load in known.values():
        try:
            return load()
        except ImportError as error:
            missing = missing or error
    assert missing is not None
    raise missing


def _named(property_name: str, name: str) -> PropertyPredictor:
    plain, plus, correction = name.rpartition("+")
    if plus and plain and correction.endswith(".json"):
        from crystalicl_jobflow.energies.corrections import CorrectedPredictor, Correction

        fitted = Correction.load(correction)
        return CorrectedPredictor(load_predictor(property_name, plain), fitted)
    known = PREDICTORS.get(property_name, {})
    if name in known:
        return known[name]()
    family, _, place = name.partition(":")
    if family == "megnet" and family in known and place:
        return _megnet(property_name, place)
    if property_name == "formation_energy_per_atom" and is_energy_model(name):
        return _formation_energy(name)
    listed = ", ".join(known) or "none"
    raise ValueError(f"no predictor {name!r} of {property_name} (there are: {listed})")


def predict_properties(
    structures: Sequence[Structure | None],
    predictors: Sequence[PropertyPredictor],
) -> list[dict[str, float]]:
    """Return the predicted values of each crystal, by property; without those there are none of."""
    return [
        {name: answer.value for name, answer in found.items() if answer.value is not None}
        for found in property_answers(structures, predictors)
    ]


def property_answers(
    structures: Sequence[Structure | None], predictors: Sequence[PropertyPredictor]
) -> list[dict[str, Answer]]:
    """Return the value, or why there is none, of each property for each crystal.

    Parameters
    ----------
    structures
        Crystals; None where a text was none.
    predictors
        One per property.
    """
    found: list[dict[str, Answer]] = [{} for _ in structures]
    for predictor in predictors:
        for place, answer in enumerate(answers_of(predictor, structures)):
            found[place][predictor.property_name] = answer
    return found


def predictor_versions(predictors: Sequence[PropertyPredictor]) -> dict[str, str]:
    """Return ``predictor:<property>`` → name and version, for provenance."""
    return {f"predictor:{item.property_name}": f"{item.name} {item.version}" for item in predictors}

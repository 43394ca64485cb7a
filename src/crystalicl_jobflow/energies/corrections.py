"""A predictor's bias, fitted on known values and taken out.

MEGNet's formation energies are those of the Materials Project of 2018, potentials know no
corrections for anions: what separates them from today's values is, for the most part, one number
for each atom of an anion. The Materials Project's own corrections have this form (Wang et al.,
Sci. Rep. 2021).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pymatgen.core import Composition, Structure

from crystalicl_jobflow.energies.answers import Answer, PropertyPredictor, answers_of
from crystalicl_jobflow.utils.files import write_json
from crystalicl_jobflow.utils.robust import robust_lstsq

CorrectionKind = Literal["offset", "anion"]

ANIONS = ("O", "S", "F", "Cl", "Br", "I", "N", "Se", "Si", "Sb", "Te", "H")
"""Anions that the corrections of 2020 know (pymatgen's ``MP2020Compatibility.yaml``); here an
element is one where it is the most electronegative of its crystal."""

FEWEST = 5
"""Crystals of an anion below which it gets no correction of its own."""


@dataclass(frozen=True)
class Correction:
    """What is added to a predictor's values.

    Parameters
    ----------
    property_name
        Of the values.
    predictor, version
        Whose values.
    kind
        ``offset``: one number for all; ``anion``: another one for each anion, times its share
        of the atoms.
    offset
        Added to every value, in its unit.
    anions
        Anion → added to the value of a crystal of that anion alone.
    minimum
        Smallest physical value; corrected ones are lifted to it.
    origin
        Data, rows, seed and errors of the fit.
    """

    property_name: str
    predictor: str
    version: str
    kind: CorrectionKind
    offset: float
    anions: Mapping[str, float] = field(default_factory=dict)
    minimum: float | None = None
    origin: Mapping[str, Any] = field(default_factory=dict)

    def apply(self, value: float, composition: Composition) -> float:
        """Return a corrected value.

        Parameters
        ----------
        value
            The predictor's.
        composition
            Of the crystal.
        """
        anion, share = anion_of(composition)
        corrected = value + self.offset + share * self.anions.get(anion, 0.0)
        return corrected if self.minimum is None else max(corrected, self.minimum)

    @property
    def label(self) -> str:
        """Kind and origin, in a few words."""
        of = self.origin.get("dataset", "unknown data")
        return f"{self.kind} fitted on {self.origin.get('crystals', '?')} crystals of {of}"

    def save(self, path: str | Path) -> None:
        """Write the correction as JSON, see :meth:`load`."""
        write_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | Path) -> Correction:
        """Read a correction that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file is missing or holds something else; one line.
        """
        try:
            found = cls(**json.loads(Path(path).read_text(encoding="utf-8")))
            numbers = [found.offset, *found.anions.values()]
            if not all(np.isfinite(float(number)) for number in numbers):
                raise ValueError("a number is not finite")
        except OSError as error:
            raise ValueError(f"{path} cannot be read ({error.strerror})") from None
        except (TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"{path} holds no correction of a predictor: {error}") from None
        return found


@dataclass(frozen=True)
class CorrectedPredictor:
    """A predictor without its bias.

    Parameters
    ----------
    predictor
        The predictor.
    correction
        What is added.

    Raises
    ------
    ValueError
        If the correction was fitted to another predictor or version; one line.
    """

    predictor: PropertyPredictor
    correction: Correction

    def __post_init__(self) -> None:
        ours, theirs = self.predictor, self.correction
        if (ours.property_name, ours.name, ours.version) != (
            theirs.property_name,
            theirs.predictor,
            theirs.version,
        ):
            raise ValueError(
                f"the correction is of {theirs.property_name} by {theirs.predictor}"
                f" {theirs.version}, not of {ours.property_name} by {ours.name} {ours.version}"
            )

    @property
    def property_name(self) -> str:
        """Name of the property."""
        return self.predictor.property_name

    @property
    def name(self) -> str:
        """Name of the predictor."""
        return self.predictor.name

    @property
    def version(self) -> str:
        """Version of the predictor, and the correction."""
        return f"{self.predictor.version}, {self.correction.label}"

    @property
    def packages(self) -> tuple[str, ...]:
        """Packages of the predictor, whose versions belong to its results."""
        return tuple(getattr(self.predictor, "packages", ()))

    def predict(self, structures: Sequence[Structure | None]) -> list[float | None]:
        """Return a corrected value for each crystal, in order; None where there is none."""
        return [answer.value for answer in self.answers(structures)]

    def answers(self, structures: Sequence[Structure | None]) -> list[Answer]:
        """Return a corrected value, or why there is none, for each crystal, in order."""
        return [
            answer
            if answer.value is None or structure is None
            else Answer(self.correction.apply(answer.value, structure.composition))
            for answer, structure in zip(
                answers_of(self.predictor, structures), structures, strict=True
            )
        ]


def anion_of(composition: Composition) -> tuple[str, float]:
    """Return the anion of a composition and its share of the atoms; '' and 0 where it has none."""
    plain = composition.element_composition
    if len(plain) < 2:
        return "", 0.0
    # an element without a value (Pm among them) is no anion
    most = max(plain.elements, key=lambda el: -1.0 if np.isnan(el.X) else el.X)
    if most.symbol not in ANIONS:
        return "", 0.0
    return most.symbol, float(plain.get_atomic_fraction(most))


def fit_correction(
    predictor: PropertyPredictor,
    structures: Sequence[Structure | None],
    known: Sequence[float],
    *,
    kind: CorrectionKind = "anion",
    predicted: Sequence[Answer] | None = None,
    minimum: float | None = None,
    origin: Mapping[str, Any] | None = None,
) -> Correction:
    """Fit what is missing between a predictor's values and known ones.

    Least squares in which errors beyond 0.1 count linearly: a few crystals that a model gets
    wrong by an electronvolt must not move the others.

    Parameters
    ----------
    predictor
        The predictor.
    structures, known
        n crystals, none of a test, and their values.
    kind
        See `Correction`.
    predicted
        What the predictor answered, where it was asked already.
    minimum
        Smallest physical value.
    origin
        Where the known values come from, kept with the correction.

    Raises
    ------
    ValueError
        If nothing is predicted, or the lengths differ; one line.
    """
    if len(structures) != len(known):
        raise ValueError(f"{len(structures)} crystals for {len(known)} known values")
    answers = answers_of(predictor, structures) if predicted is None else predicted
    rows = [
        (structure.composition, answer.value, truth)
        for structure, answer, truth in zip(structures, answers, known, strict=True)
        if structure is not None and answer.value is not None
    ]
    if not rows:
        raise ValueError(f"{predictor.name} predicts none of {len(known)} crystals")
    found = [anion_of(composition) for composition, _, _ in rows]
    counts = Counter(anion for anion, _ in found if anion)
    fitted = [name for name in ANIONS if kind == "anion" and counts[name] >= FEWEST]
    shares = np.zeros((len(rows), 1 + len(fitted)))
    shares[:, 0] = 1.0
    for row, (anion, share) in enumerate(found):
        if anion in fitted:
            shares[row, 1 + fitted.index(anion)] = share
    values = np.array([value for _, value, _ in rows])
    truths = np.array([truth for _, _, truth in rows], dtype=float)
    numbers = robust_lstsq(shares, truths - values)
    corrected = values + shares @ numbers
    if minimum is not None:
        corrected = np.maximum(corrected, minimum)
    return Correction(
        predictor.property_name,
        predictor.name,
        predictor.version,
        kind,
        round(float(numbers[0]), 5),
        {name: round(float(value), 5) for name, value in zip(fitted, numbers[1:], strict=True)},
        minimum,
        {
            **(origin or {}),
            "crystals": len(rows),
            "not_predicted": len(known) - len(rows),
            "of_anion": {name: counts[name] for name in fitted},
            "mae_before": round(float(np.abs(values - truths).mean()), 5),
            "mae_after": round(float(np.abs(corrected - truths).mean()), 5),
            "mean_before": round(float((values - truths).mean()), 5),
        },
    )

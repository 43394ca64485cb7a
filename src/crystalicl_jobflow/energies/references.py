"""Energies of the elements, against which a potential's energies are formation energies."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Composition

from crystalicl_jobflow.energies.elements import elemental_structures
from crystalicl_jobflow.energies.energy_model import EnergyModel
from crystalicl_jobflow.utils.files import write_text
from crystalicl_jobflow.utils.robust import robust_lstsq

TABLE = "elemental_references.json"
"""The shipped tables, made by ``data/build_references.py``."""

DEFAULT_KIND = "mp"

STRUCTURES = "Materials Project PBE ground states (Yb: MatPES-PBE) within matcalc"
"""Where :func:`~crystalicl_jobflow.energies.elements.elemental_structures` has them."""

KINDS = {
    "mp": "PBE energies of the Materials Project's ground state of each element",
    "own": "the model's own energies of those ground states, as they are",
    "fitted": "least squares of model energies on formation energies of a data set",
}
"""Kinds of elemental references, and where their energies come from.

``mp``
    The scale on which a model trained on the Materials Project's corrected energies
    (MP2020) was taught: those corrections shift no element. Not for models trained on
    other data.
``own``
    Consistent within the model, whatever it was trained on: an error that it makes for an
    element and for its compounds alike cancels.
``fitted``
    The references under which a model's energies agree best with given formation energies;
    they absorb what is linear in the composition, be it the model's error or another
    choice of corrections. Elements that the data do not hold have none.
"""


@dataclass(frozen=True)
class ElementalReferences:
    """Energies per atom of the elements, on the scale of one model.

    Parameters
    ----------
    kind
        One of :data:`KINDS`, or a name of the user's.
    model, model_version
        Whose scale it is.
    energies
        Element symbol → eV/atom.
    source
        Where the energies come from, in a sentence.
    """

    kind: str
    model: str
    model_version: str
    energies: Mapping[str, float] = field(repr=False)
    source: str = ""

    @property
    def label(self) -> str:
        """Model, version and kind in one string, as results state it."""
        return f"{self.model} {self.model_version}, references {self.kind}"

    def missing(self, composition: Composition) -> list[str]:
        """Return the elements of a composition that have no reference, sorted."""
        return sorted({el.symbol for el in composition.elements} - set(self.energies))

    def mixture(self, composition: Composition) -> float:
        """Return the energy of the unmixed elements, eV/atom.

        Raises
        ------
        ValueError
            If an element has no reference.
        """
        missing = self.missing(composition)
        if missing:
            raise ValueError(f"no elemental reference ({self.label}) for {', '.join(missing)}")
        shares = composition.fractional_composition.get_el_amt_dict()
        return sum(share * self.energies[symbol] for symbol, share in shares.items())

    def formation_energy(self, composition: Composition, energy_per_atom: float) -> float:
        """Return the formation energy per atom, eV/atom.

        Parameters
        ----------
        composition
            Of the crystal; only the shares count.
        energy_per_atom
            The model's energy, eV/atom.

        Raises
        ------
        ValueError
            If an element has no reference.
        """
        return energy_per_atom - self.mixture(composition)

    def save(self, path: str | Path) -> None:
        """Write the references as JSON, see :meth:`load`."""
        write_text(
            path,
            json.dumps(
                {
                    "kind": self.kind,
                    "model": self.model,
                    "model_version": self.model_version,
                    "source": self.source,
                    "energies": dict(sorted(self.energies.items())),
                },
                indent=1,
            )
            + "\n",
        )

    @classmethod
    def load(cls, path: str | Path) -> ElementalReferences:
        """Read references that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file holds something else; one line.
        """
        try:
            return _from_dict(json.loads(Path(path).read_text(encoding="utf-8")))
        except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} holds no elemental references: {error!r}") from None


def load_references(model: EnergyModel, kind: str | Path | None = None) -> ElementalReferences:
    """Return the references of a model: shipped, from a file, or computed.

    Parameters
    ----------
    model
        The energy model.
    kind
        One of :data:`KINDS`, or the path of a file that :meth:`ElementalReferences.save`
        wrote. None for ``mp`` where it ships for this model and version, else for ``own``.
        ``own`` is computed where it does not ship, from the structures within matcalc.

    Raises
    ------
    ValueError
        If there are none for this model and version; one line.
    ImportError
        If they have to be computed and matcalc is missing, with what to install.
    """
    if kind is not None and str(kind).endswith(".json"):
        read = ElementalReferences.load(kind)
        if (read.model, read.model_version) != (model.name, model.version):
            raise ValueError(
                f"{kind} holds references of {read.model} {read.model_version},"
                f" not of {model.name} {model.version}"
            )
        return read
    of_model = [
        item
        for item in _tables()
        if (item.model, item.model_version) == (model.name, model.version)
    ]
    if kind is None:
        kind = DEFAULT_KIND if of_model else "own"
    for item in of_model:
        if item.kind == str(kind):
            return item
    if kind == "own":
        key = (model.name, model.version)
        if key not in _computed:
            elements = elemental_structures()
            _computed[key] = own_references(
                model,
                {symbol: item.structure for symbol, item in elements.items()},
                source=f"{KINDS['own']}; {STRUCTURES}",
            )
        return _computed[key]
    known = ", ".join(item.kind for item in of_model) or "none"
    raise ValueError(
        f"no references {str(kind)!r} for {model.name} {model.version} (there are: {known});"
        " build them with own_references or fit_references"
    )


def pbe_references() -> ElementalReferences:
    """Return PBE energies of the elements, for DFT on the Materials Project's scale.

    Formation energies against them need energies with the corrections MP2020, which shift
    compounds and no element.
    """
    table = next(item for item in _tables() if item.kind == DEFAULT_KIND)
    return ElementalReferences(DEFAULT_KIND, "VASP GGA(+U)", "MP2020", table.energies, table.source)


def fit_references(
    compositions: Sequence[Composition],
    energies: Sequence[float],
    formation_energies: Sequence[float],
    *,
    model: EnergyModel,
    source: str = "",
    huber: float = 0.1,
    iterations: int = 20,
) -> ElementalReferences:
    """Fit the references under which energies become given formation energies.

    Least squares of ``energy - formation energy = Σ share · reference``, reweighted so that
    errors beyond ``huber`` count linearly: a few crystals that a model gets wrong by an
    electronvolt must not move an element.

    Parameters
    ----------
    compositions
        Of n crystals.
    energies
        The model's energies, (n,), eV/atom.
    formation_energies
        What they should become, (n,), eV/atom.
    model
        Whose energies they are.
    source
        Name of the data, kept in the references.
    huber
        Error in eV/atom beyond which a crystal counts less.
    iterations
        Rounds of reweighting.

    Raises
    ------
    ValueError
        If there are no data or of different lengths.
    """
    if not compositions or not len(compositions) == len(energies) == len(formation_energies):
        raise ValueError("references are fitted to as many energies as crystals, at least one")
    symbols = sorted({el.symbol for item in compositions for el in item.elements})
    places = {symbol: place for place, symbol in enumerate(symbols)}
    shares = np.zeros((len(compositions), len(symbols)))
    for row, item in enumerate(compositions):
        for symbol, share in item.fractional_composition.get_el_amt_dict().items():
            shares[row, places[symbol]] = share
    target = np.asarray(energies, dtype=float) - np.asarray(formation_energies, dtype=float)
    found = robust_lstsq(shares, target, huber=huber, iterations=iterations)
    return ElementalReferences(
        "fitted",
        model.name,
        model.version,
        {symbol: round(float(value), 5) for symbol, value in zip(symbols, found, strict=True)},
        source,
    )


def own_references(
    model: EnergyModel,
    structures: Mapping[str, Any],
    *,
    source: str = "",
) -> ElementalReferences:
    """Compute a model's own energies of the elements' reference structures.

    Parameters
    ----------
    model
        The energy model.
    structures
        Element symbol → its reference structure.
    source
        Where the structures come from.

    Returns
    -------
    ElementalReferences
        Without the elements for which the model gave no energy.
    """
    symbols = list(structures)
    energies = model.energies([structures[symbol] for symbol in symbols])
    return ElementalReferences(
        "own",
        model.name,
        model.version,
        {
            symbol: round(energy.energy_per_atom, 5)
            for symbol, energy in zip(symbols, energies, strict=True)
            if energy.energy_per_atom is not None
        },
        source,
    )


_computed: dict[tuple[str, str], ElementalReferences] = {}
"""Name and version of a model → its own energies of the elements, computed in this process."""


@lru_cache(maxsize=1)
def _tables() -> tuple[ElementalReferences, ...]:
    folder = resources.files("crystalicl_jobflow.energies.data")
    documents = json.loads((folder / TABLE).read_text(encoding="utf-8"))
    return tuple(_from_dict(document) for document in documents)


def _from_dict(document: dict[str, Any]) -> ElementalReferences:
    return ElementalReferences(
        document["kind"],
        document["model"],
        document["model_version"],
        {str(symbol): float(value) for symbol, value in document["energies"].items()},
        document.get("source", ""),
    )

"""Energy above the convex hull of known crystals."""

from __future__ import annotations

import json
import warnings
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from pymatgen.core import Composition, Element, Structure

from crystalicl_jobflow.datasets.crystal_data import read_data_set
from crystalicl_jobflow.energies.energy_model import EnergyModel
from crystalicl_jobflow.energies.references import ElementalReferences
from crystalicl_jobflow.utils.files import write_text
from crystalicl_jobflow.utils.progress import Progress

if TYPE_CHECKING:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

FORMATION_ENERGY = "formation_energy_per_atom"


NO_KNOWN_CRYSTALS = "no known crystals to compare with"
"""Why there is no energy above the hull where there is no hull."""

CACHED_SYSTEMS = 4096
"""Phase diagrams kept, one per chemical system."""


@dataclass(frozen=True)
class HullEntry:
    """One known crystal of the hull.

    Parameters
    ----------
    entry_id
        Its name, e.g. ``mp-149``.
    composition
        Its composition.
    formation_energy_per_atom
        eV/atom.
    """

    entry_id: str
    composition: Composition
    formation_energy_per_atom: float


def why_no_verdict(elements: Iterable[str], systems: Collection[frozenset[str]]) -> str | None:
    """Return which competing phases a reference set lacks for a verdict; None if it has them.

    Against the elements alone every compound of negative formation energy is on the hull,
    and most known and unknown ones have that. So a compound is judged where known compounds
    of its elements (two or more of them, and no others) together hold all of its elements;
    a pure element where another known crystal of it is in the set.

    Parameters
    ----------
    elements
        Symbols of the crystal's elements.
    systems
        The chemical systems of the reference set's crystals, as sets of symbols.

    Examples
    --------
    >>> known = [frozenset({"Ca", "O"}), frozenset({"Na"})]
    >>> why_no_verdict(["Cl", "Na"], known)
    'no competing phase of Na-Cl in the reference set, only elements'
    >>> why_no_verdict(["Ca", "O", "Ti"], known)
    'no competing phase of Ca-Ti-O with Ti in the reference set'
    >>> why_no_verdict(["Ca", "O"], known) is None
    True
    """
    wanted = frozenset(elements)
    if 2 ** len(wanted) < len(systems):
        within: Iterable[frozenset[str]] = (s for s in _subsets(wanted) if s in systems)
    else:
        within = (system for system in systems if system <= wanted)
    found = set(within)
    compounds = [system for system in found if len(system) > 1]
    missing = wanted.difference(*(found if len(wanted) == 1 else compounds))
    if not missing:
        return None
    what = f"no competing phase of {_chemical_system(wanted)}"
    if missing == wanted:
        return f"{what} in the reference set{', only elements' if found else ''}"
    return f"{what} with {', '.join(sorted(missing))} in the reference set"


def _chemical_system(elements: frozenset[str]) -> str:
    """Return a chemical system in words, the least electronegative element first."""
    with warnings.catch_warnings():  # pymatgen warns for the elements without an electronegativity
        warnings.simplefilter("ignore")
        return "-".join(element.symbol for element in sorted(map(Element, elements)))


class ConvexHull:
    """Convex hull of formation energies, one phase diagram per chemical system on demand.

    A diagram is built only from the entries within the crystal's chemical system, and
    kept. Every element takes part with formation energy 0, its elemental reference: a
    hull needs no entries of pure elements. It does need competing compounds, see
    :func:`why_no_verdict`.

    Parameters
    ----------
    entries
        Known crystals.
    scale
        On which scale their formation energies are, in words: a model with its version and
        references, or the column of a data set. What is measured against the hull must be
        on the same one.
    relaxed
        Whether the method of that scale relaxed the crystals.

    Notes
    -----
    In formation energies the hull does not depend on the elemental references as long as
    the crystals measured use the same ones: they are linear in the composition.
    """

    def __init__(
        self, entries: Iterable[HullEntry], *, scale: str = "", relaxed: bool = False
    ) -> None:
        self.scale = scale
        self.relaxed = relaxed
        self._by_system: dict[frozenset[str], list[HullEntry]] = {}
        for entry in entries:
            system = frozenset(el.symbol for el in entry.composition.elements)
            self._by_system.setdefault(system, []).append(entry)
        self._diagram = lru_cache(maxsize=CACHED_SYSTEMS)(self._build)

    def __len__(self) -> int:
        return sum(map(len, self._by_system.values()))

    @property
    def entries(self) -> list[HullEntry]:
        """All entries."""
        return [entry for entries in self._by_system.values() for entry in entries]

    def within(self, elements: Iterable[str]) -> list[HullEntry]:
        """Return the entries of a chemical system and of its subsystems."""
        wanted = frozenset(elements)
        if 2 ** len(wanted) < len(self._by_system):
            systems: Iterable[frozenset[str]] = _subsets(wanted)
        else:
            systems = [system for system in self._by_system if system <= wanted]
        return [entry for system in systems for entry in self._by_system.get(system, ())]

    def phase_diagram(self, elements: Iterable[str]) -> PhaseDiagram:
        """Return pymatgen's phase diagram of a chemical system, over formation energies."""
        return self._diagram(frozenset(elements))

    def why_not_judged(self, elements: Iterable[str]) -> str | None:
        """Return why there is no energy above the hull in a chemical system; None where there is.

        See :func:`why_no_verdict`.

        Parameters
        ----------
        elements
            Symbols of the crystal's elements.
        """
        return why_no_verdict(elements, self._by_system)

    def energy_above_hull(
        self, composition: Composition, formation_energy_per_atom: float
    ) -> float | None:
        """Return how far a crystal lies above the hull of the known ones, eV/atom.

        Negative where it lies below, that is, where it would make a new corner. None where
        no known crystal competes: :meth:`why_not_judged` says which is missing.

        Parameters
        ----------
        composition
            Of the crystal.
        formation_energy_per_atom
            eV/atom, on the hull's scale.
        """
        plain = composition.element_composition
        if self.why_not_judged(el.symbol for el in plain.elements) is not None:
            return None
        diagram = self.phase_diagram(el.symbol for el in plain.elements)
        return float(formation_energy_per_atom - diagram.get_hull_energy_per_atom(plain))

    def decomposition(self, composition: Composition) -> dict[str, float]:
        """Return the known crystals into which a composition falls apart on the hull.

        Returns
        -------
        dict
            Entry id → share of the atoms; pure elements by their symbols where the
            elemental reference is the corner.
        """
        plain = composition.element_composition
        diagram = self.phase_diagram(el.symbol for el in plain.elements)
        return {
            str(getattr(entry, "name", entry)): float(share)
            for entry, share in diagram.get_decomposition(plain).items()
        }

    def _build(self, elements: frozenset[str]) -> PhaseDiagram:
        from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

        def entry(composition: Composition, energy: float, name: str) -> PDEntry:
            return PDEntry(composition, energy * composition.num_atoms, name=name)

        entries = [
            entry(item.composition, item.formation_energy_per_atom, item.entry_id)
            for item in self.within(elements)
        ]
        entries += [entry(Composition(symbol), 0.0, symbol) for symbol in sorted(elements)]
        return PhaseDiagram(entries, elements=[Element(symbol) for symbol in sorted(elements)])

    def save(self, path: str | Path) -> None:
        """Write the hull as JSON: its energies are computed once, see :meth:`load`."""
        document = {
            "scale": self.scale,
            "relaxed": self.relaxed,
            "entries": [
                [item.entry_id, item.composition.formula.replace(" ", ""), energy]
                for item in self.entries
                for energy in [round(item.formation_energy_per_atom, 6)]
            ],
        }
        write_text(path, json.dumps(document) + "\n")

    @classmethod
    def load(cls, path: str | Path) -> ConvexHull:
        """Read a hull that :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file holds something else; one line.
        """
        try:
            document = json.loads(Path(path).read_text(encoding="utf-8"))
            entries = [
                HullEntry(str(name), Composition(formula), float(energy))
                for name, formula, energy in document["entries"]
            ]
            relaxed = bool(document.get("relaxed", False))
            return cls(entries, scale=str(document["scale"]), relaxed=relaxed)
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path} holds no convex hull: {error}") from None

    @classmethod
    def from_structures(
        cls,
        structures: Sequence[Structure | None],
        *,
        model: EnergyModel,
        references: ElementalReferences,
        ids: Sequence[str] | None = None,
        relax: bool = False,
        progress: Progress | None = None,
    ) -> ConvexHull:
        """Build the hull from structures with the energies that a model gives them.

        Structures without an energy, or with an element without reference, are left out.

        Parameters
        ----------
        structures
            Known crystals.
        model
            The energy model, the same that the crystals measured will be given to.
        references
            Its elemental references.
        ids
            Names of the structures; their places otherwise.
        relax
            Whether the model relaxes them first, as the crystals measured will be: what is in
            the minimum of another method is a little above this model's own, and a crystal
            found again would lie that little below the hull. One whose relaxation does not
            count keeps its energy as it is.
        progress
            Called with (done, of).
        """
        names = list(map(str, ids if ids is not None else range(len(structures))))
        energies = [
            item.energy_per_atom
            for item in model.energies(structures, progress=None if relax else progress)
        ]
        if relax:
            for place, item in enumerate(model.relax(structures, progress=progress)):
                if item.converged and item.failure is None:
                    energies[place] = item.energy_per_atom
        entries = [
            HullEntry(name, plain, references.formation_energy(plain, energy))
            for name, structure, energy in zip(names, structures, energies, strict=True)
            if structure is not None and energy is not None
            for plain in [structure.composition.element_composition]
            if not references.missing(plain)
        ]
        return cls(entries, scale=references.label, relaxed=relax)


def _subsets(elements: frozenset[str]) -> list[frozenset[str]]:
    found = [frozenset[str]()]
    for element in sorted(elements):
        found += [subset | {element} for subset in found]
    return found[1:]


def reference_hull(
    source: str | Path,
    *,
    model: EnergyModel | None = None,
    references: ElementalReferences | None = None,
    chemical_systems: Sequence[frozenset[str]] | None = None,
    relax: bool = False,
    progress: Progress | None = None,
) -> ConvexHull:
    """Return the convex hull of known crystals.

    Parameters
    ----------
    source
        A ``.json`` that :meth:`ConvexHull.save` wrote, a CSV with CIFs, a store, or whatever
        else a pool can be filled from.
    model, references
        The model that gives the known crystals their energies, and its references. Without
        a model the source's own ``formation_energy_per_atom`` are taken: crystals measured
        by a model are comparable with those only as far as its formation energies agree
        with them (``crystalicl benchmark energies`` says how far), since what a model gets
        wrong for similar crystals does not cancel.
    chemical_systems
        Systems of the crystals to measure: crystals outside all of them are left out, so
        that a model need not compute them.
    relax
        Whether the model relaxes the known crystals first, see
        :meth:`ConvexHull.from_structures`; a saved hull stays as it is.
    progress
        Called with (done, of) while the model works.

    Raises
    ------
    ValueError
        If the source cannot be read, is on another scale than wanted, or a model comes
        without references; one line.
    """
    if str(source).endswith(".json") and _is_hull(Path(source)):
        hull = ConvexHull.load(source)
        wanted = references.label if references is not None else f"{FORMATION_ENERGY} of the data"
        if model is not None and hull.scale != wanted:
            raise ValueError(
                f"{source} is a hull of energies by {hull.scale!r}, asked for was {wanted!r}"
            )
        return hull
    if model is None:
        data = read_data_set(source, required=[FORMATION_ENERGY], chemical_systems=chemical_systems)
        return ConvexHull(
            (
                HullEntry(name, structure.composition.element_composition, values[FORMATION_ENERGY])
                for name, structure, values in zip(
                    data.ids, data.structures, data.properties, strict=True
                )
            ),
            scale=f"{FORMATION_ENERGY} of the data",
        )
    if references is None:
        raise ValueError("a hull of a model's energies needs elemental references")
    data = read_data_set(source, chemical_systems=chemical_systems)
    return ConvexHull.from_structures(
        data.structures,
        model=model,
        references=references,
        ids=data.ids,
        relax=relax,
        progress=progress,
    )


def _is_hull(path: Path) -> bool:
    """Tell a saved hull from a JSON store by its first characters."""
    if not path.is_file():
        raise ValueError(f"{path} does not exist")
    with path.open(encoding="utf-8") as file:
        return file.read(10).startswith('{"scale":')

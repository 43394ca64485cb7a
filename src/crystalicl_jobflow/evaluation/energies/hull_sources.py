"""The hull of known crystals from a CSV, a store or a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from crystalicl_jobflow.evaluation.energies.base import EnergyModel, Progress
from crystalicl_jobflow.evaluation.energies.data_sets import read_data_set
from crystalicl_jobflow.evaluation.energies.hull import ConvexHull, HullEntry
from crystalicl_jobflow.evaluation.energies.references import ElementalReferences

FORMATION_ENERGY = "formation_energy_per_atom"


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
        Systems that will be asked about: crystals outside all of them are passed over, so
        that a model need not be asked about them.
    relax
        Whether the model relaxes the known crystals first, see
        :meth:`ConvexHull.from_structures`; a saved hull stays as it is.
    progress
        Called with (done, of) while the model works.

    Raises
    ------
    ValueError
        If the source cannot be read, is on another scale than asked for, or a model comes
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

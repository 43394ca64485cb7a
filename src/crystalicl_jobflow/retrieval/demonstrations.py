"""From a crystal to a demonstration of the pool."""

from __future__ import annotations

from typing import Any

from crystalicl_jobflow.crystal.formula import crystal_composition
from crystalicl_jobflow.crystal.ordered import OrderedCrystal
from crystalicl_jobflow.crystal.structure_documents import structure_as_dict
from crystalicl_jobflow.datasets.records import Record, naive_utc, read_arrays
from crystalicl_jobflow.schemas import Demonstration, utcnow
from crystalicl_jobflow.utils.messages import first_line


def make_demonstration(
    record: Record, *, source: str, symprec: float = 0.1
) -> dict[str, Any] | str:
    """Turn a record into a demonstration document.

    Parameters
    ----------
    record
        The crystal and what is known about it.
    source
        Name of the source, kept in the document.
    symprec
        Symmetry tolerance in Å.

    Returns
    -------
    dict or str
        The document as stores hold it, or the reason why there is none, in one line.
    """
    from crystalicl_jobflow.crystal.wyckoff import centring_multiplicity
    from crystalicl_jobflow.text.sgs import SGS

    if record.error is not None or record.crystal is None:
        return record.error or "the record holds no crystal"
    try:
        structure, remarks = read_arrays(record.crystal)
        crystal = SGS.analyze(structure, symprec)
        text = SGS.format(crystal)
    except Exception as error:  # one bad crystal must not end the filling
        return first_line(error)
    if isinstance(structure, OrderedCrystal):
        composition, dictionary = structure.composition(), structure.as_dict()
    else:
        composition, dictionary = crystal_composition(structure), structure_as_dict(structure)
    elements = tuple(sorted(element.symbol for element in composition.elements))
    conventional = sum(site.multiplicity or 0 for site in crystal.sites)
    demonstration = Demonstration(
        demonstration_id=record.record_id,
        source=source,
        formula=composition.reduced_formula,
        anonymous_formula=composition.anonymized_formula,
        chemsys="-".join(elements),
        elements=elements,
        num_sites=conventional // centring_multiplicity(crystal.space_group_number),
        space_group=crystal.space_group_number,
        properties=record.properties,
        text=text,
        remarks=[*record.remarks, *remarks],
        structure_hash=record.digest(symprec),
        symprec=symprec,
        source_updated=record.updated,
        last_updated=utcnow(),
    )
    document = demonstration.model_dump()
    # as stores hold it: lists, naive UTC times, the structure as a plain dict
    document["elements"] = list(elements)
    document["structure"] = {**dictionary, "properties": {}}
    for name in ("last_updated", "source_updated"):
        document[name] = naive_utc(document[name])
    return document

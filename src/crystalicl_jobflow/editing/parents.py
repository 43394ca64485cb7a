"""The crystals that are edited, from whatever holds them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pymatgen.core import Composition, Structure

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.datasets.crystal_data import read_data_set
from crystalicl_jobflow.datasets.files import (
    crystal_file_kind,
    crystal_name,
    read_file,
    read_text_file,
)
from crystalicl_jobflow.datasets.records import Record, read_crystal
from crystalicl_jobflow.retrieval.demonstrations import make_demonstration
from crystalicl_jobflow.schemas import Candidate, Demonstration
from crystalicl_jobflow.text import SGS, PatternError, SGSCrystal, TextError, parse_pattern
from crystalicl_jobflow.text.alignment import with_positions
from crystalicl_jobflow.text.asymmetric_unit import SGSSite
from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.hashing import text_hash
from crystalicl_jobflow.utils.messages import first_line


class EditError(CrystalICLError, ValueError):
    """A crystal that cannot be edited as asked; the message is one line."""


@dataclass(frozen=True, eq=False)
class Parent:
    """A crystal that is edited, or the beginning of a text that is completed.

    Parameters
    ----------
    parent_id
        Its name, or the id that it was stored under.
    structure
        The crystal; None where there is only a text.
    text
        The beginning; None where there is a crystal.
    """

    parent_id: str
    structure: Structure | None = None
    text: str | None = None

    @cached_property
    def crystal(self) -> SGSCrystal:
        """Group, cell and orbits as its SGS text has them, with Wyckoff positions.

        Raises
        ------
        EditError
            If it is disordered or cannot be written as text; one line.
        """
        if self.structure is None:
            raise EditError(
                f"{self.parent_id} is the text of no whole crystal: it can only be completed"
            )
        shared = next((site for site in self.structure if not site.is_ordered), None)
        if shared is not None:
            raise EditError(
                f"{self.parent_id} is disordered ({shared.species_string} share a site): order it"
                " first"
            )
        try:
            found = with_positions(SGS.parse(SGS.encode(self.structure)))
        except TextError as error:
            raise EditError(f"{self.parent_id}: {error}") from None
        if found is None:
            raise EditError(f"{self.parent_id}: an orbit lies on no Wyckoff position")
        return found

    @property
    def composition(self) -> Composition:
        """Atoms of the conventional cell."""
        return composition_of(self.crystal)

    @property
    def formula(self) -> str:
        """Reduced formula."""
        return str(self.composition.reduced_formula)

    @property
    def atoms(self) -> int:
        """Atoms in the primitive cell."""
        number = self.crystal.space_group_number
        return round(self.composition.num_atoms) // wyckoff.centring_multiplicity(number)

    def orbits(self) -> str:
        """Return the orbits in words: number, element, Wyckoff position."""
        return ", ".join(
            f"{number}: {orbit_name(site)}"
            for number, site in enumerate(self.crystal.sites, start=1)
        )

    def demonstration(self) -> Demonstration:
        """Return the crystal as prompts show known crystals."""
        made = make_demonstration(Record(self.parent_id, self.structure), source="parent")
        if isinstance(made, str):
            raise EditError(f"{self.parent_id}: {made}")
        shown = {"text": SGS.format(self.crystal), "structure": None}
        return Demonstration.model_validate(made).model_copy(update=shown)


def composition_of(crystal: SGSCrystal) -> Composition:
    """Return the atoms of a crystal's conventional cell."""
    atoms: Counter[str] = Counter()
    for site in crystal.sites:
        atoms[site.species] += site.multiplicity or 0
    return Composition(dict(atoms))


def orbit_name(site: SGSSite) -> str:
    """Return element and Wyckoff position of an orbit."""
    return f"{site.species} {site.multiplicity}{site.wyckoff_letter}"


def read_parents(source: Any, *, as_texts: bool = False) -> list[Parent]:
    """Return the crystals that are named or given.

    Parameters
    ----------
    source
        A structure, ASE atoms, a candidate, a mapping of one of these or of a name to each; the
        name of a file, folder, CSV or store of crystals; or a list of any.
    as_texts
        Whether texts and files hold beginnings of crystal texts.

    Raises
    ------
    EditError, ValueError
        If there is no crystal; one line.
    """
    if isinstance(source, list | tuple):
        found = [parent for item in source for parent in read_parents(item, as_texts=as_texts)]
    else:
        found = list(_read(source, as_texts=as_texts))
    twice = [name for name, times in Counter(p.parent_id for p in found).items() if times > 1]
    if not found:
        raise EditError("there is no crystal to edit")
    if twice:
        raise EditError(f"two crystals are called {twice[0]!r}: their results could not be told")
    return found


def _read(source: Any, *, as_texts: bool) -> Iterator[Parent]:
    if isinstance(source, Parent):
        yield source
    elif isinstance(source, str | Path):
        yield from _named(source, as_texts=as_texts)
    elif isinstance(source, Structure):
        yield _parent(None, source)
    elif isinstance(source, Candidate):
        yield _parent(source.candidate_id, _crystal_of(source.candidate_id, source.structure))
    elif isinstance(source, Mapping):
        yield from _of_mapping(source, as_texts=as_texts)
    elif hasattr(source, "get_scaled_positions"):
        from pymatgen.io.ase import AseAtomsAdaptor

        yield _parent(None, AseAtomsAdaptor.get_structure(source))
    elif isinstance(getattr(source, "structure", None), Structure):
        candidate = getattr(source, "candidate", None)
        yield _parent(getattr(candidate, "candidate_id", None), source.structure)
    else:
        raise EditError(f"{type(source).__name__} is no crystal and names none")


def _of_mapping(source: Mapping[str, Any], *, as_texts: bool) -> Iterator[Parent]:
    if "lattice" in source and "sites" in source:
        yield _parent(None, read_crystal(source))
    elif "candidate_id" in source or "structure" in source:
        name = source.get("candidate_id") or source.get("material_id")
        structure = source.get("structure")
        yield _parent(name, _crystal_of(name or "a document", structure))
    else:
        for name, item in source.items():
            if not str(name).startswith("@"):
                for parent in _read(item, as_texts=as_texts):
                    yield Parent(str(name), parent.structure, parent.text)


def _crystal_of(name: str, structure: Any) -> Structure:
    if structure is None:
        raise EditError(f"{name} has no crystal")
    return structure if isinstance(structure, Structure) else read_crystal(structure)


def _named(source: str | Path, *, as_texts: bool) -> Iterator[Parent]:
    text = str(source)
    if as_texts:
        yield _text_parent(text)
        return
    if "\n" in text:
        yield _parent(None, _structure_of_text(text))
        return
    path = Path(text).expanduser()
    if path.is_file() and not text.lower().endswith((".csv", ".csv.gz")):
        kind = crystal_file_kind(path)
        if kind != "json" or _is_structure(path):
            yield _parent(path.stem if kind is None else crystal_name(path), _read_one(path))
            return
    data = read_data_set(text)
    for name, structure in zip(data.ids, data.structures, strict=True):
        yield Parent(name, structure)


def _is_structure(path: Path) -> bool:
    return '"lattice"' in read_text_file(path)[:4000]


def _read_one(path: Path) -> Structure:
    """Read a file with one crystal: as pymatgen or ASE do, or an SGS text."""
    try:
        if crystal_file_kind(path) is None:
            text = read_text_file(path)
            try:
                return SGS.decode(text)
            except TextError as error:
                if _is_beginning(text):
                    reason = f"it is no whole crystal, so it can only be completed ({error})"
                    raise EditError(reason) from None
        return read_file(path).structure
    except ValueError as error:
        raise EditError(f"{path}: {first_line(error)}") from None


def _is_beginning(text: str) -> bool:
    try:
        parse_pattern(text)
    except PatternError:
        return False
    return True


def _structure_of_text(text: str) -> Structure:
    if text.lstrip().startswith(("data_", "#")) and "_cell_length_a" in text:
        return read_crystal(text)
    return SGS.decode(text)


def _text_parent(text: str) -> Parent:
    path = Path(text).expanduser() if "\n" not in text and len(text) < 1000 else None
    if path is not None and path.is_dir():
        raise EditError(f"{text} is a folder: give the file of one text that is to be completed")
    if path is not None and path.is_file():
        if crystal_file_kind(path) is not None:
            raise EditError(f"{text} is a whole crystal: only an SGS text is completed")
        return Parent(path.stem, text=read_text_file(path))
    if path is not None and (path.suffix or "/" in text) and " " not in text:
        raise EditError(f"{text} does not exist")
    return Parent(f"text-{text_hash(text)[:8]}", text=text)


def _parent(name: str | None, structure: Structure) -> Parent:
    if name is None:
        content = f"{structure.composition.formula} {structure.lattice} {structure.frac_coords}"
        name = f"{structure.composition.reduced_formula}-{text_hash(content)[:8]}"
    return Parent(name, structure)

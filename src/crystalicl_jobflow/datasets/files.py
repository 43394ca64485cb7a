"""Files that hold one crystal: CIF, POSCAR, JSON and ASE's formats, gzipped or not."""

from __future__ import annotations

import gzip
import io
import json
import re
import tempfile
import warnings
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from pymatgen.core import Element, Structure

from crystalicl_jobflow.datasets.cif_atoms import ISOTOPES
from crystalicl_jobflow.datasets.cif_block import plain_lines
from crystalicl_jobflow.datasets.cif_reader import ReadCrystal, read_cif_block
from crystalicl_jobflow.datasets.structure_checks import check_structure, structure_of_mapping
from crystalicl_jobflow.thresholds import MAX_SITES, MAX_TEXT_SIZE
from crystalicl_jobflow.utils.messages import one_line

MAX_BYTES = 50_000_000
"""Bytes of one crystal's file, unpacked, at most."""

CIF_ENDINGS = (".cif", ".mcif")

ASE_FORMATS = {
    ".cell": "castep-cell", ".extxyz": "extxyz", ".gen": "gen", ".res": "res", ".xsf": "xsf",
    ".xyz": "extxyz", ".in": "aims", ".struct": "struct", ".cfg": "cfg",
}  # fmt: skip
"""Ending of a file's name → ASE's name of the format. Formats that are read as Python
(``py``, pickles) are not among them."""


def crystal_file_kind(path: Path) -> str | None:
    """Return how a file that holds one crystal is read, by its name; None where it holds none.

    Returns
    -------
    str or None
        ``cif``, ``poscar``, ``json`` or one of ASE's formats.
    """
    name = path.name.removesuffix(".gz")
    ending = Path(name).suffix.lower()
    if ending in CIF_ENDINGS:
        return "cif"
    if re.match(r"(POSCAR|CONTCAR)($|[._-])", name, re.IGNORECASE) or ending in (
        ".vasp", ".poscar", ".contcar",
    ):  # fmt: skip
        return "poscar"
    if ending == ".json":
        return "json"
    if ending == ".in" and not name.lower().startswith("geometry"):
        return None
    return ASE_FORMATS.get(ending)


def crystal_name(path: Path) -> str:
    """Return a file's name without the endings that say its format."""
    name = path.name.removesuffix(".gz")
    ending = Path(name).suffix
    known = (*CIF_ENDINGS, *ASE_FORMATS, ".vasp", ".poscar", ".json")
    return name.removesuffix(ending) if ending.lower() in known else name


def read_file(path: str | Path) -> ReadCrystal:
    """Read the crystal in a file: CIF, POSCAR, JSON or one of ASE's formats.

    Parameters
    ----------
    path
        Gzipped or not; the name says the format. A file with another name is taken for a
        CIF, a structure as JSON or a POSCAR by what it begins with.

    Raises
    ------
    ValueError
        Where it holds no crystal that can be trusted; one line, without the file's name.
    """
    path = Path(path)
    text = read_text_file(path)
    kind = crystal_file_kind(path) or _kind_of(text)
    try:
        if kind == "cif":
            return read_cif_block(text)
        if kind == "json":
            return structure_of_mapping(_document(text))
        if kind == "poscar":
            return read_poscar(text)
        return _with_ase(text, kind)
    except ValueError as error:
        raise ValueError(one_line(error, limit=300)) from None


def read_text_file(path: Path) -> str:
    """Return the text of a file: gzipped or not, in UTF-8, UTF-16 with a mark, or Latin-1.

    Raises
    ------
    ValueError
        Where it cannot be read, is cut off, too large or no text; one line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        packed = data[:2] == b"\x1f\x8b"
        if path.suffix.lower() == ".gz" and not packed:
            raise ValueError("it is no gzip file")
        if packed:
            with gzip.GzipFile(fileobj=io.BytesIO(data)) as unpacked:
                data = unpacked.read(MAX_BYTES + 1)
    except EOFError:
        raise ValueError("the gzip file is cut off") from None
    except zlib.error as error:
        raise ValueError(f"the gzip file is damaged: {one_line(error)}") from None
    except OSError as error:
        raise ValueError(error.strerror or one_line(error)) from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"the file has more than {MAX_BYTES} bytes")
    return decode_text(data)


def decode_text(data: bytes) -> str:
    """Return the text of bytes, with line feeds at the line ends.

    Raises
    ------
    ValueError
        Where they are no text.
    """
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        try:
            return plain_lines(data.decode("utf-16"))
        except UnicodeDecodeError:
            raise ValueError("the file is no text: it begins like UTF-16") from None
    if b"\0" in data:
        raise ValueError("the file is not a text file")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return plain_lines(text)


def _kind_of(text: str) -> str:
    head = text.lstrip()
    if head.startswith("{"):
        return "json"
    if re.search(r"^\s*(data_|_cell_|loop_)", head, re.MULTILINE | re.IGNORECASE):
        return "cif"
    if not head:
        raise ValueError("the file is empty")
    return "poscar"


def _document(text: str) -> dict[str, Any]:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the JSON cannot be read: {one_line(error)}") from None
    if isinstance(document, dict) and "lattice" not in document:
        document = document.get("structure", document)
    if not isinstance(document, dict) or "lattice" not in document or "sites" not in document:
        raise ValueError("the JSON holds no structure: it needs lattice and sites")
    return document


def read_poscar(text: str) -> ReadCrystal:
    """Read a POSCAR or CONTCAR that names its elements.

    Parameters
    ----------
    text
        Of VASP 5 or later, or of VASP 4 with the elements behind the coordinates or, as many
        as there are numbers of atoms, in the first line (with a remark).

    Raises
    ------
    ValueError
        Where it names no elements, or is no POSCAR; one line.
    """
    from pymatgen.io.vasp import Poscar

    if len(text) > MAX_TEXT_SIZE:
        raise ValueError(f"the POSCAR has {len(text)} characters, more than {MAX_TEXT_SIZE}")
    lines = text.split("\n")
    counts = [token for line in lines[5:25] for token in line.split() if token.isdecimal()]
    if any(len(token) > 6 or int(token) > MAX_SITES for token in counts):
        raise ValueError(f"the POSCAR has more than {MAX_SITES} atoms")
    numbers = lines[5].split() if len(lines) > 5 else []
    names: list[str] | None = None
    remarks: tuple[str, ...] = ()
    if numbers and all(token.isdecimal() for token in numbers):  # VASP 4
        names = _names_in_comment(lines[0], len(numbers))
        if names is not None:
            remarks = (f"the elements are those of the first line: {' '.join(names)}",)
    elif numbers:
        for symbol in numbers:
            element = re.split(r"[_/]", symbol)[0]
            if not Element.is_valid_symbol(ISOTOPES.get(element, element)):
                raise ValueError(f"line 6: the species {symbol[:20]} is no element")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            poscar = Poscar.from_str(text, default_names=names, read_velocities=False)
    except Exception as error:
        # pymatgen's reader raises whatever a malformed line makes it stumble over
        raise ValueError(f"the POSCAR cannot be read: {one_line(error)}") from None
    if not poscar.true_names:
        raise ValueError("the POSCAR names no elements")
    checked = check_structure(poscar.structure)
    return ReadCrystal(checked.structure, (*remarks, *checked.remarks))


def _names_in_comment(comment: str, number: int) -> list[str] | None:
    names = comment.split()
    if len(names) != number or not all(Element.is_valid_symbol(name) for name in names):
        return None
    return names


def _with_ase(text: str, kind: str) -> ReadCrystal:
    """Read one of ASE's formats; what it guesses (a cell, elements) is checked."""
    try:
        from ase.io import read
        from ase.io.formats import ioformats
        from pymatgen.io.ase import AseAtomsAdaptor
    except ImportError:
        raise ValueError(f"files of the kind {kind} need ase: pip install ase") from None
    if len(text) > MAX_TEXT_SIZE:
        raise ValueError(f"the file has {len(text)} characters, more than {MAX_TEXT_SIZE}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if ioformats[kind].acceptsfd:
                atoms: Any = read(io.StringIO(text), format=kind, index=0)
            else:
                with tempfile.TemporaryDirectory() as folder:
                    copy = Path(folder, "crystal")
                    copy.write_text(text, encoding="utf-8")
                    atoms = read(copy, format=kind, index=0)
    except Exception as error:
        # ASE's readers raise whatever a malformed file makes them stumble over
        raise ValueError(f"the file cannot be read as {kind}: {one_line(error)}") from None
    if abs(np.linalg.det(np.array(atoms.cell))) < 1e-3:
        raise ValueError("the file holds no crystal: it has no cell")
    if not all(atoms.pbc) and kind != "cfg":
        raise ValueError("the file holds no crystal: it is not periodic in three directions")
    if any(number == 0 for number in atoms.numbers):
        raise ValueError("the species X is no element")
    structure = Structure(np.array(atoms.cell), list(atoms.symbols), atoms.get_scaled_positions())
    try:
        properties = AseAtomsAdaptor.get_structure(atoms).site_properties
    except Exception as error:
        # for whatever pymatgen cannot take over: the crystal itself is known
        lost = f"the site properties are left out: {one_line(error)}"
        return replace(check_structure(structure), remarks=(lost,))
    for name, values in properties.items():
        structure.add_site_property(name, values)
    return check_structure(structure)

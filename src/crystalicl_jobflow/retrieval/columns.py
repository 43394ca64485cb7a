"""Columns of the demonstration index, in memory and on disk."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from crystalicl_jobflow.schemas.properties import by_property_names
from crystalicl_jobflow.utils.files import temporary_name

FORMAT = 1
"""Version of the files; an index of another one is rebuilt."""


@dataclass(frozen=True)
class Blob:
    """Many texts in one array of bytes.

    Parameters
    ----------
    data
        UTF-8 bytes of all texts, shape (total bytes,).
    offsets
        Text i is ``data[offsets[i]:offsets[i + 1]]``, shape (n + 1,).
    """

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]

    @classmethod
    def pack(cls, texts: Iterable[str]) -> Blob:
        """Put texts into one array."""
        encoded = [text.encode() for text in texts]
        offsets = np.zeros(len(encoded) + 1, dtype=np.int64)
        np.cumsum([len(item) for item in encoded], out=offsets[1:])
        return cls(np.frombuffer(b"".join(encoded), dtype=np.uint8), offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> str:
        return bytes(self.data[self.offsets[i] : self.offsets[i + 1]]).decode()


@dataclass(frozen=True, eq=False)
class Codes:
    """A column of repeating texts: a number each, and the texts they stand for.

    Parameters
    ----------
    codes
        Shape (n,).
    vocabulary
        Distinct texts, sorted; ``vocabulary[codes[i]]`` is the value of row i.
    """

    codes: NDArray[np.integer[Any]]
    vocabulary: tuple[str, ...]

    @classmethod
    def pack(cls, values: Sequence[str]) -> Codes:
        """Give each distinct value a number."""
        vocabulary = sorted(set(values))
        number = {value: i for i, value in enumerate(vocabulary)}
        kind = np.uint16 if len(vocabulary) <= 1 << 16 else np.uint32
        return cls(np.array([number[value] for value in values], dtype=kind), tuple(vocabulary))

    def __len__(self) -> int:
        return len(self.codes)

    def __getitem__(self, i: int) -> str:
        return self.vocabulary[int(self.codes[i])]

    def equal(self, value: str) -> NDArray[np.bool_]:
        """Return where the column has this value, shape (n,)."""
        from bisect import bisect_left

        place = bisect_left(self.vocabulary, value)
        if place == len(self.vocabulary) or self.vocabulary[place] != value:
            return np.zeros(len(self.codes), dtype=bool)
        return np.asarray(self.codes == self.codes.dtype.type(place))


@dataclass(frozen=True)
class Columns:
    """Everything about the demonstrations that selecting and prompting need.

    Rows are sorted by id, so that the order in the store does not matter.

    Parameters
    ----------
    ids, text
        Demonstration ids and SGS texts.
    formula, anonymous_formula, chemsys, source
        Texts by number, each of length n.
    elements
        Bit Z - 1 of the two 64-bit words is set where element Z is present, shape (n, 2).
    space_group
        Numbers, shape (n,).
    num_sites
        Atoms in the primitive cell, shape (n,).
    updated
        Milliseconds since 1970 in UTC, shape (n,).
    symprec
        Å, shape (n,).
    properties
        Values by name, NaN where unknown, each of shape (n,).
    fingerprints
        Shape (n, 61), float32; NaN rows where there is none. None without any.
    fingerprinted
        Rows that have a fingerprint, shape (n,).
    """

    ids: Blob
    text: Blob
    formula: Codes
    anonymous_formula: Codes
    chemsys: Codes
    source: Codes
    elements: NDArray[np.uint64]
    space_group: NDArray[np.uint8]
    num_sites: NDArray[np.uint16]
    updated: NDArray[np.int64]
    symprec: NDArray[np.float32]
    properties: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    fingerprints: NDArray[np.float32] | None = None
    fingerprinted: NDArray[np.bool_] | None = None

    def __len__(self) -> int:
        return len(self.space_group)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return every array by the name of its file."""
        found: dict[str, NDArray[Any]] = {}
        for name in ("ids", "text"):
            blob: Blob = getattr(self, name)
            found[f"{name}.data"], found[f"{name}.offsets"] = blob.data, blob.offsets
        for name in _CODED:
            found[name] = getattr(self, name).codes
        for name in _PLAIN:
            found[name] = getattr(self, name)
        for name, values in self.properties.items():
            found[f"property.{name}"] = values
        if self.fingerprints is not None and self.fingerprinted is not None:
            found["fingerprints"] = self.fingerprints
            found["fingerprinted"] = self.fingerprinted
        return found

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, texts of the vocabularies included."""
        words = sum(sum(map(len, getattr(self, name).vocabulary)) for name in _CODED)
        return sum(array.nbytes for array in self.arrays().values()) + words

    def save(self, folder: Path, meta: Mapping[str, Any]) -> None:
        """Write the columns into a folder, replacing it in one step."""
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary, old = temporary_name(folder), temporary_name(folder)
        temporary.mkdir(mode=0o700)
        try:
            for name, array in self.arrays().items():
                np.save(temporary / f"{name}.npy", array)
            content = {
                **meta,
                "format": FORMAT,
                "rows": len(self),
                "properties": sorted(self.properties),
                "fingerprints": self.fingerprints is not None,
                "vocabularies": {name: getattr(self, name).vocabulary for name in _CODED},
            }
            (temporary / "meta.json").write_text(json.dumps(content), encoding="utf-8")
            temporary.chmod(0o755)
            if folder.exists():
                folder.rename(old)  # open memory maps of the old files stay valid
            temporary.rename(folder)
            shutil.rmtree(old, ignore_errors=True)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)

    @classmethod
    def load(cls, folder: Path, meta: Mapping[str, Any]) -> Columns:
        """Map the columns of a folder into memory.

        Raises
        ------
        OSError, ValueError
            If a file is missing or damaged.
        """

        def read(name: str) -> NDArray[Any]:
            path = folder / f"{name}.npy"
            # an empty file cannot be mapped
            array: NDArray[Any] = np.load(
                path, mmap_mode="r" if meta["rows"] else None, allow_pickle=False
            )
            return array

        words = meta["vocabularies"]
        has_fingerprints = meta["fingerprints"]
        coded: dict[str, Any] = {n: Codes(read(n), tuple(words[n])) for n in _CODED}
        plain: dict[str, Any] = {name: read(name) for name in _PLAIN}
        return cls(
            ids=Blob(read("ids.data"), read("ids.offsets")),
            text=Blob(read("text.data"), read("text.offsets")),
            **coded,
            **plain,
            properties=by_property_names(
                {name: read(f"property.{name}") for name in meta["properties"]}
            ),
            fingerprints=read("fingerprints") if has_fingerprints else None,
            fingerprinted=read("fingerprinted") if has_fingerprints else None,
        )


_CODED = ("formula", "anonymous_formula", "chemsys", "source")
_PLAIN = ("elements", "space_group", "num_sites", "updated", "symprec")


def element_bits(symbols: Iterable[str]) -> tuple[int, int]:
    """Return the two 64-bit words that stand for a set of elements."""
    bits = 0
    for symbol in symbols:
        bits |= 1 << (Element(symbol).Z - 1)
    return bits & 0xFFFF_FFFF_FFFF_FFFF, bits >> 64

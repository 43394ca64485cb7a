"""The demonstration index: columns and fingerprints, kept beside the store."""

from __future__ import annotations

import json
import logging
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from crystalicl_jobflow.crystal.fingerprints import FINGERPRINT_SIZE
from crystalicl_jobflow.retrieval.columns import FORMAT, Blob, Codes, Columns, element_bits
from crystalicl_jobflow.retrieval.index_files import (
    index_folder,
    store_state,
    stored_documents,
)
from crystalicl_jobflow.schemas import Demonstration
from crystalicl_jobflow.schemas.properties import by_property_names
from crystalicl_jobflow.stores import StoreSpec, open_store, store_label

_LOGGER = logging.getLogger(__name__)

_FIELDS = (
    "demonstration_id", "source", "formula", "anonymous_formula", "chemsys", "elements",
    "num_sites", "space_group", "properties", "text", "fingerprint", "symprec", "last_updated",
)  # fmt: skip


@dataclass(frozen=True)
class CrystalColumns:
    """What the crystals of an index are, one row each.

    Parameters
    ----------
    formula, anonymous_formula, chemsys
        Coded columns of length n.
    elements
        Element bits, shape (n, 2); see
        :func:`crystalicl_jobflow.retrieval.columns.element_bits`.
    space_group, num_sites
        Number of the group, and atoms in the primitive cell, shape (n,).
    """

    formula: Codes
    anonymous_formula: Codes
    chemsys: Codes
    elements: ArrayLike
    space_group: ArrayLike
    num_sites: ArrayLike


@dataclass
class DemonstrationIndex:
    """All that selecting demonstrations and writing them into prompts needs.

    A prompt needs no query: the index holds the texts and properties themselves.

    Parameters
    ----------
    columns
        One row per demonstration, sorted by id.
    label
        The pool's store, in words.

    Examples
    --------
    >>> index = DemonstrationIndex.from_store(open_store("pool.json"))  # doctest: +SKIP
    >>> len(index), index.num_fingerprints  # doctest: +SKIP
    (288, 287)
    """

    columns: Columns
    label: str = ""
    _norms: NDArray[np.float32] | None = field(default=None, repr=False)
    _scales: dict[str, float] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.columns)

    def __repr__(self) -> str:
        properties = ", ".join(sorted(self.columns.properties)) or "none"
        return (
            f"DemonstrationIndex({self.label or 'in memory'}: {len(self)} demonstrations,"
            f" {self.num_fingerprints} with a fingerprint; properties: {properties})"
        )

    @property
    def num_fingerprints(self) -> int:
        """Number of demonstrations that have a fingerprint."""
        if self.columns.fingerprinted is None:
            return 0
        return int(np.count_nonzero(self.columns.fingerprinted))

    @property
    def nbytes(self) -> int:
        """Bytes of all columns, whether they are in memory or mapped from disk."""
        return self.columns.nbytes + (0 if self._norms is None else self._norms.nbytes)

    @property
    def squared_norms(self) -> NDArray[np.float32]:
        """Squared lengths of the fingerprints, shape (n,)."""
        if self._norms is None:
            matrix = self.columns.fingerprints
            if matrix is None:
                self._norms = np.zeros(len(self), dtype=np.float32)
            else:
                self._norms = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float32)
        return self._norms

    def scale(self, name: str) -> float:
        """Return a property's standard deviation over the pool; 1 where it has none."""
        if name not in self._scales:
            values = self.columns.properties[name]
            known = values[~np.isnan(values)]
            spread = float(known.std()) if len(known) else 0.0
            self._scales[name] = spread if spread > 0 else 1.0
        return self._scales[name]

    def row(self, demonstration_id: str) -> int | None:
        """Return the row of an id, or None."""
        # rows are sorted by the ids' UTF-8 bytes, which is the order of code points
        ids = self.columns.ids
        place = bisect_left(range(len(ids)), demonstration_id, key=lambda i: ids[i])
        return place if place < len(ids) and ids[place] == demonstration_id else None

    def demonstration(self, row: int) -> Demonstration:
        """Return one row as a document, as a prompt needs it: without the structure."""
        columns = self.columns
        chemsys = columns.chemsys[row]
        return Demonstration(
            demonstration_id=columns.ids[row],
            source=columns.source[row],
            formula=columns.formula[row],
            anonymous_formula=columns.anonymous_formula[row],
            chemsys=chemsys,
            elements=tuple(chemsys.split("-")),
            num_sites=int(columns.num_sites[row]),
            space_group=int(columns.space_group[row]),
            properties={
                name: float(values[row])
                for name, values in columns.properties.items()
                if not np.isnan(values[row])
            },
            text=columns.text[row],
            symprec=round(float(columns.symprec[row]), 6),
            last_updated=datetime.fromtimestamp(int(columns.updated[row]) / 1000, UTC),
        )

    @classmethod
    def from_documents(
        cls, documents: Iterable[Mapping[str, Any]], *, label: str = ""
    ) -> DemonstrationIndex:
        """Build an index from demonstration documents; others are passed over."""
        good = [document for document in documents if document.get("text")]
        good.sort(key=lambda document: str(document["demonstration_id"]))
        valued = [by_property_names(document.get("properties") or {}) for document in good]
        properties = {}
        for name in sorted({name for item in valued for name in item}):
            values = (item.get(name) for item in valued)
            properties[name] = np.array(
                [np.nan if value is None else float(value) for value in values]
            )
        prints = [document.get("fingerprint") for document in good]
        matrix = has = None
        if any(prints):
            has = np.array([item is not None and len(item) > 0 for item in prints])
            size = next(len(item) for item in prints if item)
            matrix = np.full((len(good), size), np.nan, dtype=np.float32)
            for i, item in enumerate(prints):
                if item:
                    matrix[i] = item
        return cls(
            Columns(
                ids=Blob.pack(str(document["demonstration_id"]) for document in good),
                text=Blob.pack(document["text"] for document in good),
                formula=Codes.pack([document["formula"] for document in good]),
                anonymous_formula=Codes.pack([doc["anonymous_formula"] for doc in good]),
                chemsys=Codes.pack([document["chemsys"] for document in good]),
                source=Codes.pack([str(document.get("source", "")) for document in good]),
                elements=np.array(
                    [element_bits(document["elements"]) for document in good], dtype=np.uint64
                ).reshape(-1, 2),
                space_group=np.array([doc["space_group"] for doc in good], dtype=np.uint8),
                num_sites=np.array([min(doc["num_sites"], 65535) for doc in good], dtype=np.uint16),
                updated=np.array(
                    [_milliseconds(doc.get("last_updated")) for doc in good], dtype=np.int64
                ),
                symprec=np.array([doc.get("symprec", 0.1) for doc in good], dtype=np.float32),
                properties=properties,
                fingerprints=matrix,
                fingerprinted=has,
            ),
            label=label,
        )

    @classmethod
    def from_arrays(
        cls,
        ids: Iterable[str],
        text: Iterable[str],
        crystals: CrystalColumns,
        *,
        properties: Mapping[str, ArrayLike] | None = None,
        fingerprints: ArrayLike | None = None,
        label: str = "arrays",
    ) -> DemonstrationIndex:
        """Build an index from columns, as benchmarks do.

        Parameters
        ----------
        ids, text
            Sorted ids, and the SGS texts.
        crystals
            What each crystal is.
        properties
            Values by name, NaN where unknown, shape (n,) each.
        fingerprints
            Shape (n, 61); rows of NaN where there is none.
        label
            The pool in words.

        Raises
        ------
        ValueError
            If the ids are not sorted, or lengths differ.
        """
        names = list(ids)
        if any(first >= second for first, second in pairwise(names)):
            raise ValueError("the ids of an index must be sorted and unique")
        n = len(names)
        matrix = None if fingerprints is None else np.asarray(fingerprints, dtype=np.float32)
        columns = Columns(
            ids=Blob.pack(names),
            text=Blob.pack(text),
            formula=crystals.formula,
            anonymous_formula=crystals.anonymous_formula,
            chemsys=crystals.chemsys,
            source=Codes(np.zeros(n, dtype=np.uint16), (label,)),
            elements=np.asarray(crystals.elements, dtype=np.uint64),
            space_group=np.asarray(crystals.space_group, dtype=np.uint8),
            num_sites=np.asarray(crystals.num_sites, dtype=np.uint16),
            updated=np.zeros(n, dtype=np.int64),
            symprec=np.full(n, 0.1, dtype=np.float32),
            properties={k: np.asarray(v, dtype=float) for k, v in (properties or {}).items()},
            fingerprints=matrix,
            fingerprinted=None if matrix is None else ~np.isnan(matrix[:, 0]),
        )
        lengths = {name: len(array) for name, array in columns.arrays().items() if "." not in name}
        wrong = sorted(name for name, length in lengths.items() if length != n)
        if wrong:
            raise ValueError(f"column {wrong[0]} has {lengths[wrong[0]]} rows, not {n}")
        return cls(columns, label=label)

    @classmethod
    def from_store(
        cls, store: StoreSpec, path: str | Path | None = None, *, rebuild: bool = False
    ) -> DemonstrationIndex:
        """Open the index of a pool, building it where it is missing or older than the store.

        Parameters
        ----------
        store
            The pool; see :func:`crystalicl_jobflow.stores.opening.open_store`.
        path
            Folder of the index. By default it lies beside a file store
            (``pool.json`` → ``pool.index``) and, for a database, below the user's cache
            folder (``$CRYSTALICL_CACHE_DIR`` or ``~/.cache/crystalicl``); a memory store's
            index stays in memory.
        rebuild
            Build it anew in any case.

        Raises
        ------
        ValueError
            If the store cannot be opened; one line.
        """
        target = open_store(store, must_exist=True, connect=False)
        token = store_state(target)
        kept: tuple[Any, DemonstrationIndex] | None = getattr(target, _ATTRIBUTE, None)
        if kept is not None and kept[0] == (token, path) and not rebuild:
            return kept[1]
        folder = Path(path) if path is not None else index_folder(target)
        index = None if rebuild or folder is None else _load(folder, token)
        if index is None:
            index = cls.from_documents(stored_documents(target, _FIELDS), label=store_label(target))
            if folder is not None:
                index.save(folder, token)
        index.label = store_label(target)
        setattr(target, _ATTRIBUTE, ((token, path), index))
        return index

    def save(self, folder: str | Path, token: Mapping[str, Any] | None = None) -> bool:
        """Write the index to disk; returns False, with a warning, where that fails."""
        meta = {"token": dict(token or {}), "label": self.label}
        try:
            self.columns.save(Path(folder), meta)
        except OSError as error:
            _LOGGER.warning(
                "the index cannot be kept in %s (%s); CRYSTALICL_CACHE_DIR names another folder",
                folder,
                error.strerror or error,
            )
            return False
        return True


_ATTRIBUTE = "_crystalicl_index"


def _load(folder: Path, token: Mapping[str, Any]) -> DemonstrationIndex | None:
    try:
        meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
        if meta.get("format") != FORMAT or meta.get("token") != json.loads(json.dumps(token)):
            return None
        return DemonstrationIndex(Columns.load(folder, meta), label=meta.get("label", ""))
    except (OSError, ValueError, KeyError, EOFError):
        return None


def _milliseconds(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return 0
    if not isinstance(value, datetime):
        return 0
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


__all__ = ["FINGERPRINT_SIZE", "DemonstrationIndex"]

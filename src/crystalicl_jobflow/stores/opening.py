"""Stores that users name by a path, a URI or a configuration."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import maggma.stores
from maggma.core import Store
from maggma.stores import MongoStore

from crystalicl_jobflow.stores.configured import expanded, from_mapping, load_file
from crystalicl_jobflow.stores.documents import connect_store
from crystalicl_jobflow.stores.embedded import JSONStore, MemoryStore, MontyStore, only_read
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore
from crystalicl_jobflow.utils.redaction import redact

StoreSpec = str | Path | Mapping[str, Any] | Store
"""What :func:`open_store` accepts."""

DEMONSTRATIONS = "demonstrations"
"""Name of the collection that holds the pool."""

DEMONSTRATION_KEY = "demonstration_id"
"""Key field of the pool."""

_FORMS = (
    "a *.sqlite file, a *.json file, a folder or *.db file (MontyDB), mongodb://host/database/collection,"
    " memory:, a *.yaml configuration, a dict or a maggma Store"
)


def open_store(
    spec: StoreSpec,
    collection: str = DEMONSTRATIONS,
    *,
    key: str = DEMONSTRATION_KEY,
    must_exist: bool = False,
    read_only: bool = False,
    connect: bool = True,
) -> Store:
    """Open the maggma store that a user names.

    Parameters
    ----------
    spec
        ``memory:``; a path ending in ``.sqlite`` (SQLiteStore: indexed, one file); one ending
        in ``.json`` or ``.json.gz`` (JSONStore); an existing
        folder, or a path ending in ``.db`` or a slash (MontyStore on sqlite);
        ``mongodb://`` or ``mongodb+srv://`` followed by ``host/database[/collection]``
        (MongoStore); a ``.yaml`` or ``.yml`` file or a dict that holds a serialised store
        (``as_dict()``), a store by type (``type: MongoStore`` and its arguments) or a
        whole job store as ``jobflow.yaml`` has it (``docs_store: …``, of which the
        collection is used beside the job outputs); or a maggma Store, taken as it is.
        ``${NAME}`` in URIs and configurations is taken from the environment.
    collection
        Collection (or sibling file of a JSON job store) where the spec names none.
    key
        Key field of the store, where the spec names none.
    must_exist
        Refuse a file or folder that does not exist instead of creating it.
    read_only
        Open for reading only: nothing is written, and what does not exist is refused. A
        maggma Store is taken as it is.
    connect
        Whether to connect the store. One that is connected already is left alone.

    Returns
    -------
    Store
        The store; relative paths have become absolute, parents exist.

    Raises
    ------
    ValueError
        If the spec is none of these, or something named in it is missing; one line.
    """
    must_exist = must_exist or read_only
    if isinstance(spec, Store):
        store, read_only = spec, False
    elif isinstance(spec, Mapping):
        store = from_mapping(dict(spec), collection, key, "the store configuration", must_exist)
    elif isinstance(spec, str | Path):
        store = _from_text(str(spec), collection, key, must_exist)
    else:
        raise ValueError(f"a store cannot be opened from {type(spec).__name__}; give {_FORMS}")
    if read_only:
        store = only_read(store)
    if connect:
        connect_store(store)
    return store


def _from_text(text: str, collection: str, key: str, must_exist: bool) -> Store:
    text = text.strip()
    if re.match(r"mongodb(\+srv)?://", text):
        return _from_uri(text, collection, key)
    if text in ("memory:", ":memory:", "memory://"):
        return MemoryStore(collection, key=key)
    if "://" in text or not text:
        raise ValueError(f"store {redact(text)!r} is not understood; give {_FORMS}")
    path = Path(text).expanduser().absolute()
    name = path.name.lower()
    if path.is_dir() or name.endswith(".db") or text.endswith(("/", os.sep)):
        return _monty(path, collection, key, text, must_exist)
    if name.endswith((".json", ".json.gz")):
        if must_exist and not path.is_file():
            raise ValueError(f"store {text} does not exist")
        path.parent.mkdir(parents=True, exist_ok=True)
        return JSONStore(str(path), key=key, read_only=False)
    if name.endswith(".sqlite"):
        if must_exist and not path.is_file():
            raise ValueError(f"store {text} does not exist")
        path.parent.mkdir(parents=True, exist_ok=True)
        return SQLiteStore(path, collection, key=key)
    if name.endswith((".yaml", ".yml")):
        loaded = load_file(path)
        if not isinstance(loaded, dict):
            raise ValueError(f"store configuration {text} is not a mapping")
        return from_mapping(loaded, collection, key, text, must_exist)
    raise ValueError(f"store {text!r} is not understood; give {_FORMS}")


def _monty(path: Path, collection: str, key: str, text: str, must_exist: bool) -> Store:
    if must_exist and not path.exists():
        raise ValueError(f"store {text} does not exist")
    if path.is_file():
        raise ValueError(f"store {text} is a file; a MontyDB store is a folder")
    path.mkdir(parents=True, exist_ok=True)
    return MontyStore(collection, database_path=str(path), storage="sqlite", key=key)


def _from_uri(uri: str, collection: str, key: str) -> Store:
    # what stands in a URI is quoted: a password may hold any character
    uri = expanded(uri, f"store {uri}", quote_plus)
    base, _, options = uri.partition("?")
    scheme, _, rest = base.partition("://")
    host, *names = rest.split("/")
    names = [name for name in names if name]
    if not host or not 1 <= len(names) <= 2:
        raise ValueError(
            f"store {redact(uri)!r} is not of the form mongodb://host[:port]/database[/collection]"
        )
    connection = f"{scheme}://{host}/{names[0]}" + (f"?{options}" if options else "")
    return MongoStore(
        names[0], names[1] if len(names) == 2 else collection, uri=connection, key=key
    )


def store_label(store: Store) -> str:
    """Return the store in words, without credentials, e.g. ``JSONStore /data/pool.json``."""
    kind = type(store).__name__
    if isinstance(store, SQLiteStore):
        return f"{kind} {store.path}/{store.collection_name}"
    if isinstance(store, maggma.stores.JSONStore):
        return f"{kind} {', '.join(map(str, store.paths))}"
    if isinstance(store, maggma.stores.MontyStore):
        return f"{kind} {store.database_path}/{store.collection_name}"
    if isinstance(store, maggma.stores.MemoryStore):
        return f"{kind} {store.collection_name}"
    if isinstance(store, MongoStore):
        where = redact(store.uri).partition("?")[0] if store.uri else ""
        where = where or f"mongodb://{redact(str(store.host))}:{store.port}/{store.database}"
        return f"{kind} {where}/{store.collection_name}"
    return f"{kind} {redact(str(store.name))}"

"""Open any maggma store from a path, a URI, a configuration or a serialised store.

This module lies below the rooms: the pool, the candidates and the job outputs are all
named by users in these forms.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

from maggma.core import Store
from maggma.stores import JSONStore, MemoryStore, MongoStore, MontyStore

from crystalicl_jobflow.redaction import redact
from crystalicl_jobflow.sqlite_store import SQLiteStore

if TYPE_CHECKING:
    from jobflow import JobStore

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
    if isinstance(spec, Store):
        store = spec
    elif isinstance(spec, Mapping):
        store = _from_mapping(dict(spec), collection, key, "the store configuration", must_exist)
    elif isinstance(spec, str | Path):
        store = _from_text(str(spec), collection, key, must_exist)
    else:
        raise ValueError(f"a store cannot be opened from {type(spec).__name__}; give {_FORMS}")
    if connect:
        connect_store(store)
    return store


def connect_store(store: Store) -> None:
    """Connect a store once, reading a JSON file without maggma's quadratic upserts.

    Raises
    ------
    ValueError
        If a JSON store's file is missing or not a list of documents with the key.
    """
    if not isinstance(store, JSONStore):
        store.connect()
        return
    if store._coll is not None:
        return
    documents: dict[Any, dict[str, Any]] = {}
    for path in store.paths:
        if not Path(path).exists():
            if store.read_only:
                raise ValueError(f"store {path} does not exist")
            Path(path).parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            read = store.read_json_file(path)
        except ValueError as error:
            raise ValueError(f"store {path} is not a list of JSON documents: {error}") from None
        for index, document in enumerate(read):
            if not isinstance(document, dict) or store.key not in document:
                raise ValueError(f"store {path}: document {index} has no field {store.key!r}")
            document.pop("_id", None)
            # the last one wins, as with maggma's upserts
            documents[document[store.key]] = document
    # MemoryStore's connect makes the empty collection; JSONStore's would upsert one by one
    MemoryStore.connect(store)
    if documents:
        store._collection.insert_many(documents.values())
    if not store.read_only and not Path(store.paths[0]).exists():
        save_json_store(store)


def save_json_store(store: JSONStore) -> None:
    """Write a JSON store's file in one piece; a reader never sees half of it."""
    import orjson
    from monty.io import zopen

    path = Path(store.paths[0])
    # zopen goes by the ending, so the temporary file keeps it
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    documents = list(store._collection.find({}, {"_id": False}))
    default = store.serialization_default or _json_default
    text = orjson.dumps(documents, option=store.serialization_option, default=default)
    with zopen(temporary, mode="wt", encoding=store.encoding or "utf-8") as file:
        file.write(text.decode("utf-8"))
    temporary.replace(path)


def _json_default(value: Any) -> Any:
    from monty.json import jsanitize

    return jsanitize(value)


def write_documents(
    store: Store,
    documents: Iterable[dict[str, Any]],
    *,
    existing: set[str] | frozenset[str] = frozenset(),
    save: bool = True,
) -> int:
    """Insert new documents and replace existing ones, in bulk.

    ``Store.update`` of the memory, JSON and Monty stores is quadratic in the number of
    documents; this inserts what is new in one go.

    Parameters
    ----------
    store
        A connected store.
    documents
        Documents with the store's key.
    existing
        Keys among them that the store holds already.
    save
        Whether a JSON store's file is written now.

    Returns
    -------
    int
        Number of documents written.
    """
    batch = list(documents)
    if not batch:
        return 0
    if isinstance(store, MemoryStore):  # JSONStore and MontyStore are MemoryStores
        new = [dict(document) for document in batch if document[store.key] not in existing]
        replaced = [document for document in batch if document[store.key] in existing]
        if replaced:
            _replace_embedded(store, replaced)
        if new:
            store._collection.insert_many(new)
        if save and isinstance(store, JSONStore) and not store.read_only:
            save_json_store(store)
    elif isinstance(store, MongoStore):
        from pymongo import ReplaceOne

        requests = [
            ReplaceOne({store.key: document[store.key]}, document, upsert=True)
            for document in batch
        ]
        store._collection.bulk_write(requests, ordered=False)
    else:
        store.update(batch)
    return len(batch)


def _object_ids(store: MemoryStore) -> dict[str, Any]:
    found = store._collection.find({}, {store.key: True})
    return {document[store.key]: document["_id"] for document in found if store.key in document}


def _replace_embedded(store: MemoryStore, documents: list[dict[str, Any]]) -> None:
    """Replace documents of a memory, JSON or Monty store in time linear in its size.

    Every ``replace_one`` of these looks at every document of the collection; their
    storage below takes documents by ``_id`` at once.
    """
    ids = _object_ids(store)
    collection = store._collection
    replacements = [{**document, "_id": ids[document[store.key]]} for document in documents]
    if isinstance(store, MontyStore):
        collection._storage.update_many(collection, replacements)
    else:
        for document in replacements:
            collection._store[document["_id"]] = deepcopy(document)


def remove_documents(store: Store, keys: Iterable[str], *, save: bool = True) -> int:
    """Remove documents by key, in bulk; returns how many were removed."""
    wanted = set(keys)
    if not wanted:
        return 0
    if not isinstance(store, MemoryStore):
        store.remove_docs({store.key: {"$in": sorted(wanted)}})
        return len(wanted)
    ids = [number for key, number in _object_ids(store).items() if key in wanted]
    collection = store._collection
    if isinstance(store, MontyStore):
        collection._storage.delete_many(collection, ids)
    else:
        for number in ids:
            del collection._store[number]
        if save and isinstance(store, JSONStore) and not store.read_only:
            save_json_store(store)
    return len(ids)


def load_job_store(spec: str | Path | Mapping[str, Any] | JobStore) -> JobStore:
    """Open a jobflow job store from a configuration as ``jobflow.yaml`` has it.

    Relative paths of JSON and Monty stores become absolute: jobs run in folders of their
    own, where a relative path would name another file.

    Parameters
    ----------
    spec
        Path of a YAML or JSON file, or a dict, with ``docs_store`` and
        ``additional_stores``; or a JobStore, taken as it is.

    Raises
    ------
    ValueError
        If it is no such configuration; one line.
    """
    from jobflow import JobStore

    if isinstance(spec, JobStore):
        return spec
    loaded: Any
    if isinstance(spec, Mapping):
        loaded, where = dict(spec), "the job-store configuration"
    else:
        loaded, where = _load_file(Path(spec)), redact(str(spec))
    if isinstance(loaded, JobStore):
        return loaded
    if not isinstance(loaded, dict) or "docs_store" not in loaded:
        raise ValueError(f"{where} has no 'docs_store'; see the files in stores/")
    arguments = {k: v for k, v in loaded.items() if k not in ("docs_store", "additional_stores")}
    docs = _from_mapping(loaded["docs_store"], "outputs", "uuid", f"{where}, docs_store", False)
    additional = {
        name: _from_mapping(item, f"outputs_{name}", "blob_uuid", f"{where}, {name}", False)
        for name, item in (loaded.get("additional_stores") or {}).items()
    }
    return JobStore(docs, additional_stores=additional, **arguments)


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
        loaded = _load_file(path)
        if isinstance(loaded, Store):
            return loaded
        if not isinstance(loaded, dict):
            raise ValueError(f"store configuration {text} is not a mapping")
        return _from_mapping(loaded, collection, key, text, must_exist)
    raise ValueError(f"store {text!r} is not understood; give {_FORMS}")


def _monty(path: Path, collection: str, key: str, text: str, must_exist: bool) -> Store:
    if must_exist and not path.exists():
        raise ValueError(f"store {text} does not exist")
    if path.is_file():
        raise ValueError(f"store {text} is a file; a MontyDB store is a folder")
    path.mkdir(parents=True, exist_ok=True)
    return MontyStore(collection, database_path=str(path), storage="sqlite", key=key)


def _expanded(value: Any, where: str, quote: Callable[[str], str] = str) -> Any:
    """Return a text, or what a mapping holds, with ``${NAME}`` from the environment."""
    if isinstance(value, Mapping):
        return {name: _expanded(item, where, quote) for name, item in value.items()}
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ValueError(f"{redact(where)}: the environment variable {found[1]} is not set")
        return quote(os.environ[found[1]])

    return re.sub(r"\$\{(\w+)\}", replace, value)


def _from_uri(uri: str, collection: str, key: str) -> Store:
    # what stands in a URI is quoted: a password may hold any character
    uri = _expanded(uri, f"store {uri}", quote_plus)
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
    if isinstance(store, JSONStore):
        return f"{kind} {', '.join(map(str, store.paths))}"
    if isinstance(store, MontyStore):
        return f"{kind} {store.database_path}/{store.collection_name}"
    if isinstance(store, MemoryStore):
        return f"{kind} {store.collection_name}"
    if isinstance(store, MongoStore):
        where = redact(store.uri).partition("?")[0] if store.uri else ""
        where = where or f"mongodb://{redact(str(store.host))}:{store.port}/{store.database}"
        return f"{kind} {where}/{store.collection_name}"
    return f"{kind} {redact(str(store.name))}"


def _load_file(path: Path) -> Any:
    from monty.serialization import loadfn
    from ruamel.yaml.error import YAMLError

    if not path.is_file():
        raise ValueError(f"store configuration {redact(str(path))} does not exist")
    try:
        return loadfn(path)
    except (YAMLError, ValueError) as error:
        raise ValueError(f"store configuration {path} cannot be read: {_first(error)}") from None


def _first(error: Exception) -> str:
    text = redact(str(error)).strip()
    return text.splitlines()[0] if text else type(error).__name__


def _from_mapping(spec: Any, collection: str, key: str, where: str, must_exist: bool) -> Store:
    if isinstance(spec, Store):
        return spec
    if not isinstance(spec, Mapping):
        raise ValueError(f"{where} is not a mapping")
    spec = _expanded(spec, where)
    if "@class" in spec:
        return _deserialise(spec, where)
    if "docs_store" in spec:
        return _beside_jobs(spec["docs_store"], collection, key, where, must_exist)
    if "type" not in spec:
        raise ValueError(f"{where} has neither 'type', 'docs_store' nor '@class'")
    return _by_type(spec, collection, key, where, must_exist)


def _deserialise(spec: dict[str, Any], where: str) -> Store:
    from monty.json import MontyDecoder

    try:
        store = MontyDecoder().process_decoded(spec)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise ValueError(f"{where} cannot be read as a store: {_first(error)}") from None
    store = getattr(store, "docs_store", store)  # a serialised JobStore
    if not isinstance(store, Store):
        raise ValueError(f"{where} holds a {spec['@class']}, not a maggma store")
    return store


def _beside_jobs(docs: Any, collection: str, key: str, where: str, must_exist: bool) -> Store:
    """Open the collection that lies beside a job store's documents."""
    if not isinstance(docs, Mapping):
        raise ValueError(f"{where}: 'docs_store' is not a mapping")
    beside = {name: value for name, value in docs.items() if name not in ("key", "collection_name")}
    if beside.get("type") == "JSONStore" and "paths" in beside:
        paths = beside["paths"]
        first = Path(paths if isinstance(paths, str) else paths[0])
        beside["paths"] = str(first.with_name(f"{collection}.json"))
    return _by_type(beside, collection, key, f"{where}, docs_store", must_exist)


def _by_type(
    spec: dict[str, Any], collection: str, key: str, where: str, must_exist: bool
) -> Store:
    import maggma.stores

    arguments = dict(spec)
    kind = str(arguments.pop("type", ""))
    cls = SQLiteStore if kind == "SQLiteStore" else getattr(maggma.stores, kind, None)
    if not (isinstance(cls, type) and issubclass(cls, Store)):
        raise ValueError(f"{where}: {kind!r} is not a maggma store")
    if "index" in arguments and isinstance(arguments["index"], Mapping):
        arguments["index"] = _from_mapping(
            arguments["index"], f"{collection}_index", arguments.get("key", key),
            f"{where}, index", must_exist,
        )  # fmt: skip
    arguments.setdefault("key", key)
    if issubclass(cls, MongoStore | SQLiteStore) and not issubclass(cls, JSONStore):
        arguments.setdefault("collection_name", collection)
    if issubclass(cls, JSONStore):
        paths = arguments.get("paths", ())
        paths = [paths] if isinstance(paths, str | Path) else list(paths)
        arguments["paths"] = [str(Path(path).expanduser().absolute()) for path in paths]
        arguments.setdefault("read_only", False)
        for path in arguments["paths"]:
            if must_exist and not Path(path).is_file():
                raise ValueError(f"{where}: store {path} does not exist")
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    if issubclass(cls, SQLiteStore) and arguments.get("path", ":memory:") != ":memory:":
        file = Path(arguments["path"]).expanduser().absolute()
        if must_exist and not file.is_file():
            raise ValueError(f"{where}: store {file} does not exist")
        file.parent.mkdir(parents=True, exist_ok=True)
        arguments["path"] = str(file)
    if issubclass(cls, MontyStore):
        folder = Path(arguments.get("database_path", ".")).expanduser().absolute()
        if must_exist and not folder.is_dir():
            raise ValueError(f"{where}: store {folder} does not exist")
        folder.mkdir(parents=True, exist_ok=True)
        arguments["database_path"] = str(folder)
    try:
        return cls(**arguments)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"{where}: {kind} cannot be built: {_first(error)}") from None

"""Stores from configurations: by type, serialised, or as ``jobflow.yaml`` has them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maggma.core import Store
from maggma.stores import JSONStore, MongoStore, MontyStore

from crystalicl_jobflow.stores.sqlite.store import SQLiteStore
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.redaction import redact

if TYPE_CHECKING:
    from jobflow import JobStore


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
        loaded, where = load_file(Path(spec)), redact(str(spec))
    if isinstance(loaded, JobStore):
        return loaded
    if not isinstance(loaded, dict) or "docs_store" not in loaded:
        raise ValueError(f"{where} has no 'docs_store'; see the files in stores/")
    arguments = {k: v for k, v in loaded.items() if k not in ("docs_store", "additional_stores")}
    docs = from_mapping(loaded["docs_store"], "outputs", "uuid", f"{where}, docs_store", False)
    additional = {
        name: from_mapping(item, f"outputs_{name}", "blob_uuid", f"{where}, {name}", False)
        for name, item in (loaded.get("additional_stores") or {}).items()
    }
    return JobStore(docs, additional_stores=additional, **arguments)


def from_mapping(spec: Any, collection: str, key: str, where: str, must_exist: bool) -> Store:
    """Build the store that a configuration describes.

    Parameters
    ----------
    spec
        Mapping with ``@class``, ``docs_store`` or ``type``; or a Store, taken as it is.
    collection, key
        Collection and key field where it names none.
    where
        What to call the configuration in an error's message.
    must_exist
        Refuse a file or folder that does not exist instead of creating it.

    Raises
    ------
    ValueError
        If it describes no store; one line.
    """
    if isinstance(spec, Store):
        return spec
    if not isinstance(spec, Mapping):
        raise ValueError(f"{where} is not a mapping")
    spec = expanded(spec, where)
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
        raise ValueError(
            f"{where} cannot be read as a store: {redact(first_line(error))}"
        ) from None
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
        arguments["index"] = from_mapping(
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
        raise ValueError(f"{where}: {kind} cannot be built: {redact(first_line(error))}") from None


def load_file(path: Path) -> Any:
    """Read a YAML or JSON file.

    Raises
    ------
    ValueError
        If it does not exist or cannot be read; one line.
    """
    from monty.serialization import loadfn
    from ruamel.yaml.error import YAMLError

    if not path.is_file():
        raise ValueError(f"store configuration {redact(str(path))} does not exist")
    try:
        return loadfn(path)
    except (YAMLError, ValueError) as error:
        raise ValueError(
            f"store configuration {path} cannot be read: {redact(first_line(error))}"
        ) from None


def expanded(value: Any, where: str, quote: Callable[[str], str] = str) -> Any:
    """Return a text, or what a mapping holds, with ``${NAME}`` from the environment.

    Parameters
    ----------
    value
        Other values come back as they are.
    where
        What to call it in an error's message.
    quote
        Applied to what comes from the environment.

    Raises
    ------
    ValueError
        If a variable is not set.
    """
    if isinstance(value, Mapping):
        return {name: expanded(item, where, quote) for name, item in value.items()}
    if not isinstance(value, str):
        return value

    def replace(found: re.Match[str]) -> str:
        if found[1] not in os.environ:
            raise ValueError(f"{redact(where)}: the environment variable {found[1]} is not set")
        return quote(os.environ[found[1]])

    return re.sub(r"\$\{(\w+)\}", replace, value)

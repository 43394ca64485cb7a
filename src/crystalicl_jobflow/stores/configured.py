"""Stores from configurations: by type, serialised, or as ``jobflow.yaml`` has them.

A configuration is plain YAML or JSON. It names one of a list of store classes and gives it
arguments that are listed, too: nothing in it is imported or called.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maggma.core import Store
from maggma.stores import GridFSStore, JSONStore, MongoStore, MontyStore

from crystalicl_jobflow.stores.embedded import only_read
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore
from crystalicl_jobflow.stores.store_classes import (
    STORE_CLASSES,
    check_plain,
    class_name,
    plain_arguments,
)
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.redaction import redact

if TYPE_CHECKING:
    from jobflow import JobStore

MAX_FILE_BYTES = 1_000_000
"""Largest configuration that is read."""

_JOB_STORE_OPTIONS = ("save", "load")


def load_job_store(
    spec: str | Path | Mapping[str, Any] | JobStore, *, read_only: bool = False
) -> JobStore:
    """Open a jobflow job store from a configuration as ``jobflow.yaml`` has it.

    Relative paths of JSON and Monty stores become absolute: jobs run in folders of their
    own, where a relative path would name another file.

    Parameters
    ----------
    spec
        Path of a YAML or JSON file, or a dict, with ``docs_store`` and
        ``additional_stores``; or a JobStore, taken as it is.
    read_only
        Open files and folders for reading only: nothing is written, and what does not exist
        is refused.

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
    if not isinstance(loaded, dict) or "docs_store" not in loaded:
        raise ValueError(f"{where} has no 'docs_store'; see the files in stores/")
    check_plain(loaded, where)
    _check_job_store(loaded, where)
    docs = from_mapping(loaded["docs_store"], "outputs", "uuid", f"{where}, docs_store", read_only)
    additional = {
        name: from_mapping(item, f"outputs_{name}", "blob_uuid", f"{where}, {name}", read_only)
        for name, item in (loaded.get("additional_stores") or {}).items()
    }
    if read_only:
        for store in (docs, *additional.values()):
            only_read(store)
    options = {name: loaded[name] for name in _JOB_STORE_OPTIONS if name in loaded}
    return JobStore(docs, additional_stores=additional, **options)


def _check_job_store(spec: Mapping[str, Any], where: str) -> None:
    """Refuse what a job store's configuration has no use for."""
    if spec.get("@class", "JobStore") != "JobStore":
        raise ValueError(f"{where} holds a {spec['@class']}, not a JobStore")
    known = ("docs_store", "additional_stores", *_JOB_STORE_OPTIONS)
    unknown = [name for name in spec if name not in known and not name.startswith("@")]
    if unknown:
        raise ValueError(f"{where}: a job store has no {unknown[0]!r}")
    if not isinstance(spec.get("additional_stores") or {}, Mapping):
        raise ValueError(f"{where}: 'additional_stores' is not a mapping")
    for name in _JOB_STORE_OPTIONS:
        if not _names_fields(spec.get(name)):
            raise ValueError(f"{where}: {name!r} names fields by their keys, not by classes")


def _names_fields(value: Any) -> bool:
    if isinstance(value, Mapping):
        return not any(str(name).startswith("@") for name in value) and all(
            _names_fields(item) for item in value.values()
        )
    if isinstance(value, list):
        return all(isinstance(item, str) for item in value)
    return value is None or isinstance(value, bool | str)


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
    check_plain(spec, where)
    spec = expanded(spec, where)
    if "docs_store" in spec:
        return _beside_jobs(spec["docs_store"], collection, key, where, must_exist)
    if "type" not in spec and "@class" not in spec:
        raise ValueError(f"{where} has neither 'type', 'docs_store' nor '@class'")
    return _by_type(spec, collection, key, where, must_exist)


def _beside_jobs(docs: Any, collection: str, key: str, where: str, must_exist: bool) -> Store:
    """Open the collection that lies beside a job store's documents."""
    if not isinstance(docs, Mapping):
        raise ValueError(f"{where}: 'docs_store' is not a mapping")
    beside = {name: value for name, value in docs.items() if name not in ("key", "collection_name")}
    if beside.get("type", beside.get("@class")) == "JSONStore":
        first = Path(_file_names(beside.get("paths"), f"{where}, docs_store")[0])
        beside["paths"] = str(first.with_name(f"{collection}.json"))
    return _by_type(beside, collection, key, f"{where}, docs_store", must_exist)


def _by_type(
    spec: Mapping[str, Any], collection: str, key: str, where: str, must_exist: bool
) -> Store:
    kind = class_name(spec, where)
    arguments = plain_arguments(kind, spec, where)
    cls = STORE_CLASSES[kind]
    if "index" in arguments:
        arguments["index"] = from_mapping(
            arguments["index"], f"{collection}_index", arguments.get("key", key),
            f"{where}, index", must_exist,
        )  # fmt: skip
    if "@class" not in spec:  # a serialised store without a key has maggma's
        arguments.setdefault("key", key)
    if issubclass(cls, MongoStore | GridFSStore | SQLiteStore) and not issubclass(cls, JSONStore):
        arguments.setdefault("collection_name", collection)
    if issubclass(cls, JSONStore):
        names = _file_names(arguments.get("paths"), where)
        arguments["paths"] = [_file(name, where, must_exist) for name in names]
        arguments.setdefault("read_only", False)
    if issubclass(cls, SQLiteStore) and arguments.get("path") != ":memory:":
        arguments["path"] = _file(_name(arguments.get("path"), where), where, must_exist)
    if issubclass(cls, MontyStore):
        name = _name(arguments.get("database_path") or ".", where)
        folder = Path(name).expanduser().absolute()
        if must_exist and not folder.is_dir():
            raise ValueError(f"{where}: store {folder} does not exist")
        folder.mkdir(parents=True, exist_ok=True)
        arguments["database_path"] = str(folder)
    try:
        return cls(**arguments)
    except (TypeError, ValueError, RuntimeError, AttributeError) as error:
        raise ValueError(f"{where}: {kind} cannot be built: {redact(first_line(error))}") from None


def _file_names(paths: Any, where: str) -> list[str]:
    """Return the files that a JSON store names: one, or several in a list."""
    if not paths:
        raise ValueError(f"{where}: a JSONStore needs 'paths', the name of its file")
    return [_name(path, where) for path in (paths if isinstance(paths, list | tuple) else [paths])]


def _name(path: Any, where: str) -> str:
    if not isinstance(path, str) or not path.strip():
        raise ValueError(f"{where}: {path!r} is no name of a file or folder")
    return path


def _file(name: str, where: str, must_exist: bool) -> str:
    """Return a store's file as an absolute path; its folder is made."""
    file = Path(name).expanduser().absolute()
    if must_exist and not file.is_file():
        raise ValueError(f"{where}: store {file} does not exist")
    file.parent.mkdir(parents=True, exist_ok=True)
    return str(file)


def load_file(path: Path) -> Any:
    """Read a YAML or JSON file.

    Raises
    ------
    ValueError
        If it does not exist or cannot be read; one line.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    where = f"store configuration {redact(str(path))}"
    if not path.is_file():
        raise ValueError(f"{where} does not exist")
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{where} cannot be read: it is larger than {MAX_FILE_BYTES} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
        if path.name.lower().endswith(".json"):
            return json.loads(text)
        # the safe loader knows texts, numbers, times, lists and mappings, and no tags of Python
        return YAML(typ="safe", pure=True).load(text)
    except (YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{where} cannot be read: {redact(first_line(error))}") from None


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

"""The stores that a configuration may name, and the arguments that it may give them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import maggma.stores
from maggma.core import DateTimeFormat, Store
from maggma.stores.ssh_tunnel import SSHTunnel

from crystalicl_jobflow.stores.embedded import EMBEDDED
from crystalicl_jobflow.stores.sqlite.store import SQLiteStore

_EVERY = {"key", "last_updated_field", "last_updated_type"}
_SERVER = _EVERY | {
    "database", "collection_name", "host", "port", "username", "password", "ssh_tunnel",
    "auth_source", "mongoclient_kwargs", "uri",
}  # fmt: skip
_MONGO = _SERVER | {"safe_update", "default_sort"}
_BLOBS = _EVERY | {"index", "compress", "sub_dir", "store_hash", "unpack_data",
                   "searchable_fields"}  # fmt: skip

STORE_CLASSES: Mapping[str, type[Store]] = {
    **EMBEDDED,
    "SQLiteStore": SQLiteStore,
    **{
        name: getattr(maggma.stores, name)
        for name in ("MongoStore", "MongoURIStore", "GridFSStore", "S3Store", "AzureBlobStore")
    },
}
"""Name → class: every store that can be built from a configuration."""

STORE_ARGUMENTS: Mapping[str, frozenset[str]] = {
    name: frozenset(arguments)
    for name, arguments in {
        "MemoryStore": _EVERY | {"collection_name"},
        "JSONStore": _EVERY | {"paths", "read_only", "encoding", "serialization_option",
                               "file_writable", "collection_name"},
        "MontyStore": _EVERY | {"collection_name", "database_path", "database_name", "storage",
                                "storage_kwargs", "client_kwargs"},
        "SQLiteStore": _EVERY | {"path", "collection_name", "indexes", "read_only"},
        "MongoStore": _MONGO,
        "MongoURIStore": _MONGO,
        "GridFSStore": _SERVER | {"compression", "ensure_metadata", "searchable_fields"},
        "S3Store": _BLOBS | {"bucket", "s3_profile", "endpoint_url", "s3_workers", "ssh_tunnel",
                             "s3_resource_kwargs", "index_store_kwargs"},
        "AzureBlobStore": _BLOBS | {"container_name", "azure_client_info", "credential_type",
                                    "workers", "azure_resource_kwargs", "key_sanitize_dict",
                                    "create_container", "index_store_kwargs"},
    }.items()
}  # fmt: skip
"""Name → arguments: none of them takes a function, a class or the name of a module."""

_ALWAYS_NONE = frozenset({"validator", "serialization_default"})
"""Arguments that hold functions: a serialised store has them as None."""

MONTY_STORAGES = frozenset({"sqlite", "flatfile", "lightning"})
"""MontyDB imports any other name as a module."""

_TUNNEL_ARGUMENTS = frozenset(
    {"tunnel_server_address", "remote_server_address", "local_port", "username", "password",
     "private_key"}
)  # fmt: skip

_MOST_VALUES = 10_000
_DEEPEST = 16


def check_plain(value: Any, where: str) -> None:
    """Refuse what is no plain value: it would name something to import, or never end.

    Parameters
    ----------
    value
        A configuration, without the class that it names itself.
    where
        What to call it in an error's message.

    Raises
    ------
    ValueError
        One line.
    """
    left = [_MOST_VALUES]

    def look(item: Any, depth: int) -> None:
        left[0] -= 1
        if depth > _DEEPEST or left[0] < 0:
            raise ValueError(f"{where} is too large or too deeply nested for a configuration")
        if isinstance(item, Mapping):
            for name, inner in item.items():
                if not isinstance(name, str):
                    raise ValueError(f"{where}: {name!r} is no name of a setting")
                if name.startswith(("@", "$")) and name not in ("@module", "@class", "@version"):
                    raise ValueError(f"{where}: {name!r} is refused; a configuration is plain data")
                look(inner, depth + 1)
        elif isinstance(item, list | tuple):
            for inner in item:
                look(inner, depth + 1)
        elif not (item is None or isinstance(item, str | int | float | bool | Store)):
            raise ValueError(f"{where}: a {type(item).__name__} is no value of a configuration")

    look(value, 0)


def class_name(spec: Mapping[str, Any], where: str) -> str:
    """Return the name of the store's class that a configuration gives, if it is allowed.

    Parameters
    ----------
    spec
        Mapping with ``type``, or a serialised store with ``@module`` and ``@class``.
    where
        What to call it in an error's message.

    Raises
    ------
    ValueError
        If it is none of :data:`STORE_CLASSES`; one line.
    """
    kind = str(spec.get("type", spec.get("@class", "")))
    module = str(spec.get("@module", "maggma.stores"))
    packages = ("maggma.stores", "crystalicl_jobflow.stores")
    if kind not in STORE_CLASSES or not f"{module}.".startswith(
        tuple(f"{name}." for name in packages)
    ):
        named = kind if module == "maggma.stores" else f"{module}.{kind}"
        raise ValueError(
            f"{where}: {named!r} is not a maggma store that can be configured: take one of"
            f" {', '.join(STORE_CLASSES)}"
        )
    return kind


def plain_arguments(kind: str, spec: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the arguments of a store's class, all but ``index`` in the form it takes them.

    Parameters
    ----------
    kind
        One of :data:`STORE_CLASSES`.
    spec
        The configuration.
    where
        What to call it in an error's message.

    Raises
    ------
    ValueError
        If an argument is not in :data:`STORE_ARGUMENTS`, or is not plain; one line.
    """
    arguments: dict[str, Any] = {}
    for name, value in spec.items():
        if name in ("type", "@module", "@class", "@version"):
            continue
        if name in _ALWAYS_NONE:
            if value is not None:
                raise ValueError(f"{where}: {name} is refused; a configuration is plain data")
            continue
        if name not in STORE_ARGUMENTS[kind]:
            raise ValueError(
                f"{where}: {kind} cannot be built: it takes no {name!r} from a configuration"
            )
        if name == "ssh_tunnel":
            value = _tunnel(value, where)
        elif name == "last_updated_type":
            value = _time_format(value, where)
        elif name == "default_sort" and isinstance(value, Mapping):
            value = {field: _direction(way) for field, way in value.items()}
        elif name != "index":
            _refuse_classes(value, f"{where}, {name}")
        arguments[name] = value
    if arguments.get("storage", "sqlite") not in MONTY_STORAGES:
        raise ValueError(f"{where}: storage is one of {', '.join(sorted(MONTY_STORAGES))}")
    return arguments


def _refuse_classes(value: Any, where: str) -> None:
    if isinstance(value, Mapping):
        for name, item in value.items():
            if str(name).startswith("@"):
                raise ValueError(f"{where}: {name!r} is refused; a configuration is plain data")
            _refuse_classes(item, where)
    elif isinstance(value, list | tuple):
        for item in value:
            _refuse_classes(item, where)


def _tunnel(value: Any, where: str) -> SSHTunnel | None:
    if value is None or isinstance(value, SSHTunnel):
        return value
    if not isinstance(value, Mapping) or value.get("type", "SSHTunnel") != "SSHTunnel":
        raise ValueError(f"{where}: ssh_tunnel is a mapping of SSHTunnel's arguments")
    if value.get("@class", "SSHTunnel") != "SSHTunnel":
        raise ValueError(f"{where}: ssh_tunnel is not a {value['@class']}")
    arguments = {
        name: item
        for name, item in value.items()
        if name not in ("type", "@module", "@class", "@version")
    }
    unknown = sorted(set(arguments) - _TUNNEL_ARGUMENTS)
    if unknown:
        raise ValueError(f"{where}: ssh_tunnel takes no {unknown[0]!r}")
    _refuse_classes(arguments, f"{where}, ssh_tunnel")
    try:
        return SSHTunnel(**arguments)
    except (TypeError, ValueError, OSError, AttributeError) as error:
        raise ValueError(f"{where}: ssh_tunnel cannot be built: {type(error).__name__}") from None


def _time_format(value: Any, where: str) -> DateTimeFormat:
    if isinstance(value, Mapping):
        value = value.get("value")
    try:
        return DateTimeFormat(value)
    except ValueError:
        known = ", ".join(item.value for item in DateTimeFormat)
        raise ValueError(f"{where}: last_updated_type is one of {known}") from None


def _direction(value: Any) -> Any:
    return value.get("value") if isinstance(value, Mapping) else value

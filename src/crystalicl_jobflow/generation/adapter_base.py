"""The base model that an adapter was made for: recorded beside it, compared when it is loaded."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from crystalicl_jobflow.generation.model_places import base_place, is_gguf, is_path
from crystalicl_jobflow.schemas.generation import BaseCheck
from crystalicl_jobflow.settings import EMBEDDED_MODEL
from crystalicl_jobflow.utils.files import write_json
from crystalicl_jobflow.utils.hashing import folder_hash

BASE_RECORD = "base_model.json"
"""File beside an adapter's weights that names its base model and gives a hash of its weights."""

_CACHED = re.compile(r"models--(?P<owner>[^/\\]+?)--(?P<name>[^/\\]+)")


@dataclass(frozen=True)
class AdapterBase:
    """A base model, as far as it is known.

    Parameters
    ----------
    name
        Its name or folder; None where it is not stated.
    revision
        Commit on the hub; None where it is not stated.
    weights
        Of :func:`~crystalicl_jobflow.utils.hashing.folder_hash`, ``sha256:…``; None where it is not
        stated.
    quantized
        Whether those weights are a GGUF file's: they never equal the model's own, so that only
        the names can be compared with these.
    """

    name: str | None
    revision: str | None = None
    weights: str | None = None
    quantized: bool = False


def record_base(
    folder: str | Path, base_model: str | Path, *, name: str | None = None, model: Any = None
) -> None:
    """Write beside an adapter which base model it was made for.

    Parameters
    ----------
    folder
        The adapter's folder.
    base_model
        The base model's name on the hub, its folder or GGUF file, or 'embedded'.
    name
        Name that is recorded, if other than that.
    model
        The loaded base model, which knows its commit on the hub; None if it is not loaded.
    """
    content = {
        "base_model": name or str(base_model),
        "revision": getattr(getattr(model, "config", None), "_commit_hash", None),
        "weights": weights_hash(base_place(str(base_model))),
        **({"quantized": True} if is_gguf(base_model) else {}),
    }
    write_json(Path(folder) / BASE_RECORD, content)


def weights_hash(place: str, revision: str | None = None) -> str | None:
    """Return the hash of a base model's weights, in a folder or in the cache of the hub.

    Parameters
    ----------
    place
        A folder, or a name on the hub.
    revision
        Branch, tag or commit on the hub.

    Returns
    -------
    str or None
        ``sha256:`` and 64 hexadecimal digits; None where there are no safetensors or GGUF files.
    """
    if is_path(place):
        return folder_hash(place)
    from transformers.utils import cached_file

    try:
        config = cached_file(place, "config.json", revision=revision or "main")
    except OSError:
        return None
    return None if config is None else folder_hash(Path(config).parent)


def read_base(adapter: str, stated: str | None, revision: str | None = None) -> AdapterBase:
    """Return the base model that an adapter was made for, as it says itself.

    Parameters
    ----------
    adapter
        A folder, or a name on the hub.
    stated
        ``base_model_name_or_path`` of its configuration.
    revision
        The adapter's branch, tag or commit on the hub.
    """
    path: str | Path | None = Path(adapter, BASE_RECORD)
    if not is_path(adapter):
        from transformers.utils import cached_file

        try:
            path = cached_file(adapter, BASE_RECORD, revision=revision or "main")
        except OSError:  # other programs' adapters have no such file
            path = None
    try:
        record = json.loads(Path(path or "").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        record = None
    record = record if isinstance(record, dict) else {}
    told = {
        key: value if isinstance(value, str) and value else None for key, value in record.items()
    }
    return AdapterBase(
        stated or told.get("base_model"),
        told.get("revision"),
        told.get("weights"),
        record.get("quantized") is True,
    )


def compare_base(needed: AdapterBase, loaded: AdapterBase, place: str) -> BaseCheck:
    """Tell whether a loaded base model is the one that an adapter was made for.

    Hashes decide where both are known, then commits, then names.

    Parameters
    ----------
    needed
        Of `read_base`.
    loaded
        The base model that is loaded; its ``weights`` may be left out.
    place
        Its folder, or its name on the hub, by which missing hashes are found.
    """
    same_name = _same_name(needed.name, loaded.name)
    if needed.weights is not None and needed.quantized == is_gguf(place):
        if same_name == "same" and needed.revision and needed.revision == loaded.revision:
            return "weights"
        found = loaded.weights or weights_hash(place, loaded.revision)
        if found is not None:
            return "weights" if found == needed.weights else "differs"
    if needed.name is None or loaded.name is None:
        return "unknown"
    if same_name != "same":
        paths = [Path(item) for item in (needed.name, place)]
        if all(path.is_dir() for path in paths):
            hashes = [folder_hash(path) for path in paths]
            if None not in hashes:
                return "weights" if hashes[0] == hashes[1] else "differs"
    if same_name == "other":
        return "differs"
    return "name" if same_name == "same" else "unknown"


def _same_name(first: str | None, second: str | None) -> Literal["same", "alike", "other"]:
    """Compare two names; 'alike': the same last part of names whose rest says nothing."""
    if first is None or second is None:
        return "alike"
    if EMBEDDED_MODEL in (first, second):
        return "same" if first == second else "other"
    if is_path(first) and is_path(second) and Path(first).resolve() == Path(second).resolve():
        return "same"
    parts = [_parts(name) for name in (first, second)]
    if parts[0][1] != parts[1][1]:
        return "other"
    owners = [owner for owner, _ in parts]
    if None in owners:
        return "alike"
    return "same" if owners[0] == owners[1] else "other"


def _parts(name: str) -> tuple[str | None, str]:
    """Return owner and name on the hub in lower case; no owner for folders of another kind."""
    cached = _CACHED.search(name)
    if cached:
        return cached["owner"].casefold(), cached["name"].casefold()
    *owners, last = name.rstrip("/\\").replace("\\", "/").split("/")
    if is_path(name) or len(owners) != 1:
        return None, last.casefold()
    return owners[0].casefold(), last.casefold()

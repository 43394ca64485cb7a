"""What the name of a model stands for: which engines, and where its files are."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.http_engine import is_server
from crystalicl_jobflow.generation.substitution import SUBSTITUTION_MODEL
from crystalicl_jobflow.settings import EMBEDDED_MODEL
from crystalicl_jobflow.utils.hashing import GGUF_SUFFIX, folder_hash

NO_ADAPTER = "none"
"""Adapter name that selects the base model alone, also for the embedded one."""

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
"""Folder of the model that ships with the package, with ``base`` and ``adapter``."""

ADAPTERS = {EMBEDDED_MODEL: "adapter", "smollm2": "smollm2"}
"""Adapters that ship with the package, and their folders in `EMBEDDED_FOLDER`: the embedded
model's own, and one for SmolLM2-135M-Instruct, whose weights do not ship."""

MODEL_CONFIG, ADAPTER_CONFIG = "config.json", "adapter_config.json"
"""Files that every model and every adapter has."""

_NO_NETWORK = {
    "ConnectError",
    "ConnectionError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
}


def proposers(base_model: str) -> list[str]:
    """Return the names in a list such as 'embedded+substitution'; a path is one name."""
    if Path(base_model).exists():
        return [base_model]
    return [part for part in base_model.split("+") if part] or [base_model]


def _language_models(base_model: str) -> list[str]:
    return [part for part in proposers(base_model) if part != SUBSTITUTION_MODEL]


def base_place(base_model: str) -> str:
    """Return the folder of a base model, or its name on the hub.

    The folder of a training stands for the model in it.
    """
    if base_model == EMBEDDED_MODEL:
        return str(EMBEDDED_FOLDER / "base")
    return _trained(str(base_model), MODEL_CONFIG, "model")


def adapter_place(base_model: str, adapter: str | None) -> str | None:
    """Return the folder of the adapter that goes with a base model, or its name on the hub.

    Parameters
    ----------
    base_model, adapter
        As :func:`~crystalicl_jobflow.generation.load_generator` takes them.

    Returns
    -------
    str or None
        None for no adapter. The folder of a training stands for the adapter in it.
    """
    if adapter is None and base_model == EMBEDDED_MODEL:
        adapter = EMBEDDED_MODEL
    if adapter is None or adapter.lower() == NO_ADAPTER:
        return None
    if adapter in ADAPTERS:
        return str(EMBEDDED_FOLDER / ADAPTERS[adapter])
    return _trained(str(adapter), ADAPTER_CONFIG, "adapter")


def _trained(place: str, file: str, result: str) -> str:
    """Return the folder of what a training made, where a place is a training's folder."""
    folder = Path(place).expanduser()
    is_training = not (folder / file).is_file() and (folder / result / file).is_file()
    return str(folder / result) if is_training else place


def shown_name(adapter: str) -> str:
    """Return the name of an adapter as records and messages give it."""
    names = {str(EMBEDDED_FOLDER / folder): name for name, folder in ADAPTERS.items()}
    return names.get(adapter, adapter)


def model_hashes(base_model: str, adapter: str | None = None) -> dict[str, str | None]:
    """Return hashes of the weights that :func:`load_generator` would read from folders.

    Parameters
    ----------
    base_model, adapter
        As :func:`load_generator` takes them.

    Returns
    -------
    dict
        ``base_hash`` and ``adapter_hash``, of the first model in a list; None for models on the
        hub, or for no adapter.
    """
    hashes: dict[str, str | None] = {"base_hash": None, "adapter_hash": None}
    for model in _language_models(base_model)[:1]:
        place = adapter_place(model, adapter)
        hashes["base_hash"] = folder_hash(base_place(model))
        hashes["adapter_hash"] = None if place is None else folder_hash(place)
    return hashes


def is_gguf(place: str | Path) -> bool:
    """Return whether a place is meant as one GGUF file, which holds a whole model."""
    return str(place).lower().endswith(GGUF_SUFFIX)


def pretrained_arguments(place: str | Path) -> tuple[str, dict[str, Any]]:
    """Return how transformers is told of a model.

    Parameters
    ----------
    place
        A folder, a GGUF file, or a name on the hub.

    Returns
    -------
    folder or name
        First argument of ``from_pretrained``.
    options
        Its ``gguf_file`` where there is one.
    """
    if not is_gguf(place):
        return str(place), {}
    path = Path(place).expanduser()
    return str(path.parent), {"gguf_file": path.name}


def check_model_files(base_model: str, adapter: str | None = None) -> None:
    """Raise an error if :func:`load_generator` would not find a model or adapter; loads nothing.

    Parameters
    ----------
    base_model, adapter
        As :func:`load_generator` takes them; model servers are not looked for.

    Raises
    ------
    GenerationError
        If a folder lacks its configuration, or a name is neither on this machine nor available
        from the hub; one line.
    """
    for model in _language_models(base_model):
        if is_server(model):
            continue
        check_file(base_place(model), model, "model", MODEL_CONFIG)
        place = adapter_place(model, adapter)
        if place is not None:
            check_file(place, shown_name(place), "adapter", ADAPTER_CONFIG)


def check_file(place: str, name: str, what: str, file: str) -> None:
    """Check that a model or adapter is there.

    Parameters
    ----------
    place
        A folder or a name on the hub.
    name, what
        Name of the model, and whether it is a 'model' or an 'adapter', for the message.
    file
        File that every one of them has.

    Raises
    ------
    GenerationError
        If the file is missing; one line.
    """
    if what == "model" and is_gguf(place):
        _check_gguf(Path(place).expanduser(), name)
        return
    if is_path(place):
        if not Path(place, file).is_file():
            raise GenerationError(f"{what} {name!r} not found: {place} has no {file}")
        return
    from transformers.utils import cached_file

    try:
        cached_file(place, file)
    except Exception as error:
        raise GenerationError(f"{what} {name!r} cannot be loaded: {load_failure(error)}") from error


def _check_gguf(path: Path, name: str) -> None:
    if not path.is_file():
        raise GenerationError(f"model {name!r} not found: there is no file {path}")
    with path.open("rb") as file:
        if file.read(4) != b"GGUF":
            raise GenerationError(f"model {name!r} cannot be loaded: {path} is no GGUF file")
    if importlib.util.find_spec("gguf") is None:
        raise GenerationError(
            f"model {name!r} is a GGUF file and needs gguf: pip install 'crystalicl-jobflow[gguf]'"
        )


def hub_commit(place: str, file: str, revision: str | None) -> str | None:
    """Return the commit of a model or adapter on the hub.

    Parameters
    ----------
    place
        A folder, or a name on the hub.
    file
        File that every one of them has.
    revision
        Branch, tag or commit.

    Returns
    -------
    str or None
        None for a folder or file.
    """
    if Path(place).is_dir() or is_gguf(place):
        return None
    from transformers.utils import cached_file
    from transformers.utils.hub import extract_commit_hash

    path = cached_file(place, file, revision=revision or "main")
    commit: str | None = extract_commit_hash(str(path), None)
    return commit


def is_path(name: str) -> bool:
    """Return whether a name means a folder or file, not 'model' or 'owner/model' on the hub."""
    return (
        Path(name).exists()
        or is_gguf(name)
        or name.startswith((".", "/", "~"))
        or name.count("/") > 1
    )


def load_failure(error: BaseException) -> str:
    """Return the first informative line of a library's error."""
    words = str(error)
    kinds = {type(item).__name__ for item in _chain(error)}
    if kinds & _NO_NETWORK:
        return "it is not on this machine and the Hugging Face hub cannot be reached"
    if kinds & {"RepositoryNotFoundError", "HFValidationError"}:
        return "no such folder, and no such model on the Hugging Face hub (or no access to it)"
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        return f"{lines[0]} {lines[1]}"
    return lines[0] if lines else type(error).__name__


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found

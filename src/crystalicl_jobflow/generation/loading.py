"""Load text generators from the names of models, once per process."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypedDict, Unpack

from crystalicl_jobflow.generation.base import GenerationError, TextGenerator
from crystalicl_jobflow.generation.http_engine import ServerOptions, is_server, parse_address
from crystalicl_jobflow.generation.several import SeveralGenerators
from crystalicl_jobflow.generation.substitution import SUBSTITUTION_MODEL, SubstitutionGenerator
from crystalicl_jobflow.schemas import ModelInfo
from crystalicl_jobflow.settings import EMBEDDED_MODEL
from crystalicl_jobflow.utils.hashing import folder_hash
from crystalicl_jobflow.utils.versions import installed_versions

NO_ADAPTER = "none"
"""Adapter name that selects the base model alone, also for the embedded one."""

EMBEDDED_FOLDER = Path(__file__).parent / "embedded"
"""Folder of the model that ships with the package, with ``base`` and ``adapter``."""

_DTYPES = ("float64", "float32", "bfloat16", "float16")
_NO_NETWORK = {
    "ConnectError",
    "ConnectionError",
    "LocalEntryNotFoundError",
    "OfflineModeIsEnabled",
}
_QUANTIZATIONS = ("4bit", "8bit")
_PACKAGES = (
    "crystalicl-jobflow",
    "torch",
    "transformers",
    "peft",
    "pymatgen",
    "spglib",
    "moyopy",
)


class LoadOptions(TypedDict, total=False):
    """Where and how a model is loaded; see :func:`load_generator`."""

    device: str
    dtype: str
    quantization: str | None
    batch_size: int
    num_threads: int | None
    revision: str | None
    adapter_revision: str | None


_DEFAULTS: LoadOptions = {
    "device": "auto",
    "dtype": "auto",
    "quantization": None,
    "batch_size": 32,
    "num_threads": None,
    "revision": None,
    "adapter_revision": None,
}


def load_generator(
    base_model: str = EMBEDDED_MODEL,
    adapter: str | None = None,
    *,
    server: Mapping[str, Any] | None = None,
    **options: Unpack[LoadOptions],
) -> TextGenerator:
    """Load a language model with its adapter, or return the one loaded before.

    The same arguments give the same object, so a process loads each model only once.

    Parameters
    ----------
    base_model
        Name on the Hugging Face hub, folder, or 'embedded' for the model that ships with
        the package; or the address of an OpenAI-compatible server and the name of one of its
        models, ``http://host:8000/v1#model`` (the name may be left out where it has one).
        'substitution' replaces elements in known crystals instead
        (`SubstitutionGenerator`). Several, with '+' between them, take turns.
    adapter
        Name or folder of a LoRA adapter. None: no adapter, except for 'embedded', which
        has its own; 'none': no adapter in any case.
    device
        Torch device ('cpu', 'cuda', 'cuda:1', …); 'auto': the GPU if there is one.
    dtype
        'float32', 'bfloat16', 'float16' or 'float64'; 'auto': float32 on a CPU, on a GPU
        what the base model was saved in.
    quantization
        '4bit' or '8bit' (bitsandbytes, extra ``quantization``); None for none.
    batch_size
        Maximum number of rows generated at once; for a server, of concurrent requests.
    num_threads
        Torch threads while generating; None leaves torch's own choice.
    revision, adapter_revision
        Branch, tag or commit on the hub.
    server
        Options of a model server, see
        :class:`~crystalicl_jobflow.generation.http_engine.ServerOptions`; those of the settings
        if None. Device and threads do not apply to a server; the server decides about adapter,
        revisions, dtype and quantisation.

    Raises
    ------
    GenerationError
        With one line: model or adapter not found, no network, adapter for another base,
        no such device, missing package, an option that does not apply to a server.
    """
    unknown = options.keys() - _DEFAULTS.keys()
    if unknown:
        raise TypeError(f"load_generator has no option {min(unknown)!r}")
    if base_model == SUBSTITUTION_MODEL:
        return SubstitutionGenerator()
    parts = proposers(base_model)
    if len(parts) > 1:
        return SeveralGenerators(
            [load_generator(part, adapter, server=server, **options) for part in parts], base_model
        )
    given: LoadOptions = {**_DEFAULTS, **options}
    if is_server(base_model):
        for name, value in (
            ("adapter", None if str(adapter).lower() == NO_ADAPTER else adapter),
            ("revision", given["revision"]),
            ("adapter_revision", given["adapter_revision"]),
            ("quantization", given["quantization"]),
            ("dtype", None if given["dtype"] == "auto" else given["dtype"]),
        ):
            if value is not None:
                raise GenerationError(
                    f"{name} {value!r}: a model server has been started with its own; an adapter"
                    " that it serves is named in the address, as in http://host:8000/v1#adapter"
                )
        return _connect(
            base_model, json.dumps(dict(server or {}), sort_keys=True), given["batch_size"]
        )
    if server:
        raise GenerationError(
            f"server options ({', '.join(server)}) are for a model at an address such as"
            f" http://host:8000/v1, not for {base_model!r}"
        )
    return _load(
        _place(base_model, "base"),
        _adapter_place(base_model, adapter),
        str(base_model),
        json.dumps(given, sort_keys=True),
    )


def proposers(base_model: str) -> list[str]:
    """Return the names in a list such as 'embedded+substitution'; a path is one name."""
    if Path(base_model).exists():
        return [base_model]
    return [part for part in base_model.split("+") if part] or [base_model]


def _language_models(base_model: str) -> list[str]:
    return [part for part in proposers(base_model) if part != SUBSTITUTION_MODEL]


def templates_needed(base_model: str, samples: int) -> int:
    """Return how many known crystals a retrieval should provide for substitution.

    Some templates give the same crystal, so more than the number of samples are needed; 0 where
    the model does not substitute.

    Parameters
    ----------
    base_model
        As :func:`load_generator` takes it.
    samples
        Samples of one condition.
    """
    return 2 * samples + 20 if SUBSTITUTION_MODEL in proposers(base_model) else 0


@lru_cache(maxsize=8)
def _connect(address: str, options: str, batch_size: int) -> TextGenerator:
    from crystalicl_jobflow.generation.http_engine.engine import HTTPGenerator

    generator = HTTPGenerator(
        parse_address(address), ServerOptions.build(json.loads(options)), concurrency=batch_size
    )
    _ = generator.server  # reports now if the server cannot be reached
    return generator


def _place(name: str, part: str) -> str:
    return str(EMBEDDED_FOLDER / part) if name == EMBEDDED_MODEL else str(name)


def _adapter_place(base_model: str, adapter: str | None) -> str | None:
    if adapter is None and base_model == EMBEDDED_MODEL:
        adapter = EMBEDDED_MODEL
    if adapter is None or adapter.lower() == NO_ADAPTER:
        return None
    return _place(adapter, "adapter")


@lru_cache(maxsize=2)
def _load(
    base: str,
    adapter: str | None,
    base_name: str,
    given: str,
) -> TextGenerator:
    """Load a model; `given` is its `LoadOptions` as JSON, by which the cache knows it."""
    # here, not above: `crystalicl --help` needs no torch
    import torch

    from crystalicl_jobflow.generation.transformers_engine.generator import TransformersGenerator

    asked: LoadOptions = json.loads(given)
    dtype, quantization = asked["dtype"], asked["quantization"]
    place = _device(asked["device"])
    if dtype not in ("auto", *_DTYPES):
        raise GenerationError(f"dtype {dtype!r} is not one of auto, {', '.join(_DTYPES)}")
    options: dict[str, Any] = {"revision": asked["revision"] or "main"}
    if quantization is not None:
        options |= _quantization_options(quantization, place)
    if dtype != "auto":
        options["dtype"] = getattr(torch, dtype)
    elif place == "cpu":
        options["dtype"] = torch.float32
    else:
        options["dtype"] = "auto"

    tokenizer, model = _base(base, base_name, options)
    base_revision = getattr(model.config, "_commit_hash", None) or folder_hash(base)
    if quantization is None:
        model.to(place)
    adapter_commit = None
    if adapter is not None:
        model, adapter_commit = _with_adapter(
            model, adapter, base_name, asked["adapter_revision"], merge=quantization is None
        )
    model.eval()
    info = ModelInfo(
        engine="transformers",
        base_model=base_name,
        base_revision=base_revision,
        adapter=None if adapter is None else _display(adapter),
        adapter_revision=adapter_commit,
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        quantization=quantization,
    )
    return TransformersGenerator(
        model,
        tokenizer,
        info=info,
        batch_size=asked["batch_size"],
        num_threads=asked["num_threads"],
    )


def _display(adapter: str) -> str:
    return EMBEDDED_MODEL if adapter == str(EMBEDDED_FOLDER / "adapter") else adapter


def _device(device: str) -> str:
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        kind = torch.device(device).type
    except RuntimeError:
        raise GenerationError(
            f"device {device!r} is not known: use auto, cpu, cuda or cuda:N"
        ) from None
    if kind == "cuda" and not torch.cuda.is_available():
        raise GenerationError(
            f"device {device!r} was asked for, but torch finds no CUDA GPU on this machine"
        )
    return device


def _quantization_options(quantization: str, device: str) -> dict[str, Any]:
    import torch

    if quantization not in _QUANTIZATIONS:
        raise GenerationError(
            f"quantization {quantization!r} is not one of {', '.join(_QUANTIZATIONS)}"
        )
    if importlib.util.find_spec("bitsandbytes") is None:
        raise GenerationError(
            f"quantization {quantization} needs bitsandbytes: "
            "pip install 'crystalicl-jobflow[quantization]'"
        )
    from transformers import BitsAndBytesConfig

    if quantization == "4bit":
        # NF4 with double quantisation: QLoRA (Dettmers et al., 2023)
        config = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=torch.bfloat16,
        )
    else:
        config = BitsAndBytesConfig(load_in_8bit=True)
    return {"quantization_config": config, "device_map": {"": device}}


def _base(base: str, name: str, options: dict[str, Any]) -> tuple[Any, Any]:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    if _is_path(base):
        _check_file(base, name, "model", "config.json")
    bars = logging.is_progress_bar_enabled()
    if name == EMBEDDED_MODEL:
        logging.disable_progress_bar()  # loading takes only a moment
    try:
        # a folder may name its own Python files; those are never run
        tokenizer = AutoTokenizer.from_pretrained(
            base, revision=options["revision"], trust_remote_code=False
        )
        model = AutoModelForCausalLM.from_pretrained(base, trust_remote_code=False, **options)
    except Exception as error:
        raise GenerationError(f"model {name!r} cannot be loaded: {_reason(error)}") from error
    finally:
        if bars:
            logging.enable_progress_bar()
    return tokenizer, model


def _with_adapter(
    model: Any, adapter: str, base_name: str, revision: str | None, *, merge: bool
) -> tuple[Any, str | None]:
    """Put a LoRA adapter on the model; return both and the adapter's revision.

    Merged into the weights where these are not quantised: one matrix product less per
    layer, and the same texts.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    name = _display(adapter)
    if _is_path(adapter):
        _check_file(adapter, name, "adapter", "adapter_config.json")
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    try:
        config = PeftConfig.from_pretrained(adapter, **options)
        if getattr(config, "megatron_config", None):
            # peft would import the module that the adapter's configuration names
            raise ValueError("its configuration names a module to import (megatron_core)")
        saved = set(load_peft_weights(adapter, device="cpu", **options))
    except Exception as error:
        raise GenerationError(f"adapter {name!r} cannot be loaded: {_reason(error)}") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the subject of these warnings is checked below
            tuned = PeftModel.from_pretrained(model, adapter, config=config, **options)
        # peft silently leaves out what does not fit; it would look for the base on
        # the hub to see whether the adapter brings embeddings, which are not compared
        fitting = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
        missing = (fitting - saved) | {weight for weight in saved - fitting if "lora_" in weight}
    except Exception as error:
        raise GenerationError(
            f"adapter {name!r} does not fit the model {base_name!r}: {_reason(error)}"
        ) from error
    if missing:
        raise GenerationError(
            f"adapter {name!r} does not fit the model {base_name!r}: "
            f"{len(missing)} weights have no counterpart, e.g. {min(missing)}"
        )
    commit = _hub_commit(adapter, revision) or folder_hash(adapter)
    return (tuned.merge_and_unload() if merge else tuned), commit


def _hub_commit(name: str, revision: str | None) -> str | None:
    """Return the commit of a hub file in the local cache."""
    if Path(name).is_dir():
        return None
    from transformers.utils import cached_file
    from transformers.utils.hub import extract_commit_hash

    path = cached_file(name, "adapter_config.json", revision=revision or "main")
    commit: str | None = extract_commit_hash(str(path), None)
    return commit


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
        place = _adapter_place(model, adapter)
        hashes["base_hash"] = folder_hash(_place(model, "base"))
        hashes["adapter_hash"] = None if place is None else folder_hash(place)
    return hashes


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
        _check_file(_place(model, "base"), model, "model", "config.json")
        place = _adapter_place(model, adapter)
        if place is not None:
            _check_file(place, _display(place), "adapter", "adapter_config.json")


def _check_file(place: str, name: str, what: str, file: str) -> None:
    if _is_path(place):
        if not Path(place, file).is_file():
            raise GenerationError(f"{what} {name!r} not found: {place} has no {file}")
        return
    from transformers.utils import cached_file

    try:
        cached_file(place, file)
    except Exception as error:
        raise GenerationError(f"{what} {name!r} cannot be loaded: {_reason(error)}") from error


def _is_path(name: str) -> bool:
    """Return whether a name means a folder: names on the hub are 'model' or 'owner/model'."""
    return Path(name).exists() or name.startswith((".", "/", "~")) or name.count("/") > 1


def _reason(error: BaseException) -> str:
    """Return the first informative line of a library's error."""
    words = str(error)
    kinds = {type(item).__name__ for item in _chain(error)}
    if kinds & {
        "ConnectError",
        "ConnectionError",
        "LocalEntryNotFoundError",
        "OfflineModeIsEnabled",
    }:
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


def package_versions() -> dict[str, str]:
    """Return the versions of the packages on which texts and their checks depend."""
    return {**dict.fromkeys(_PACKAGES, "unknown"), **installed_versions(_PACKAGES)}

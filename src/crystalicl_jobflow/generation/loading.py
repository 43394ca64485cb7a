"""Load text generators from the names of models, once per process."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from os import PathLike
from typing import Any, TypedDict, Unpack

from crystalicl_jobflow.generation.adapter_base import AdapterBase
from crystalicl_jobflow.generation.base import GenerationError, TextGenerator
from crystalicl_jobflow.generation.http_engine import ServerOptions, is_server, parse_address
from crystalicl_jobflow.generation.model_places import (
    NO_ADAPTER,
    adapter_place,
    base_place,
    check_file,
    hub_commit,
    proposers,
)
from crystalicl_jobflow.generation.several import SeveralGenerators
from crystalicl_jobflow.generation.substitution import SUBSTITUTION_MODEL, SubstitutionGenerator
from crystalicl_jobflow.schemas import ModelInfo
from crystalicl_jobflow.settings import EMBEDDED_MODEL
from crystalicl_jobflow.utils.hashing import folder_hash
from crystalicl_jobflow.utils.numbers import whole_number
from crystalicl_jobflow.utils.versions import installed_versions

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
    allow_other_base: bool


_DEFAULTS: LoadOptions = {
    "device": "auto",
    "dtype": "auto",
    "quantization": None,
    "batch_size": 32,
    "num_threads": None,
    "revision": None,
    "adapter_revision": None,
    "allow_other_base": False,
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
        Name on the Hugging Face hub, folder, GGUF file (extra ``gguf``), or 'embedded' for the
        model that ships with the package; or the address of an OpenAI-compatible server and the
        name of one of its models, ``http://host:8000/v1#model`` (the name may be left out where
        it has one).
        'substitution' replaces elements in known crystals instead
        (`SubstitutionGenerator`). Several, with '+' between them, take turns.
    adapter
        Name or folder of a LoRA adapter; 'smollm2' ships with the package, for
        SmolLM2-135M-Instruct. None: no adapter, except for 'embedded', which has its own; 'none':
        no adapter in any case. A tokenizer beside it is used.
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
    allow_other_base
        Whether to take an adapter that was made for another base model; the record says so.
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
    ValueError
        If ``batch_size`` or ``num_threads`` is no whole number of at least 1; one line.
    """
    unknown = options.keys() - _DEFAULTS.keys()
    if unknown:
        raise TypeError(f"load_generator has no option {min(unknown)!r}")
    if not isinstance(base_model, str | PathLike):
        raise GenerationError(f"a model is a name, a folder or an address, not {base_model!r}")
    for name in ("batch_size", "num_threads"):
        if options.get(name) is not None:
            whole_number(options[name], name)
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
        base_place(base_model),
        adapter_place(base_model, adapter),
        str(base_model),
        json.dumps(given, sort_keys=True),
    )


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


@lru_cache(maxsize=2)
def _load(
    base: str,
    adapter: str | None,
    base_name: str,
    given: str,
) -> TextGenerator:
    """Load a model; `given` is its `LoadOptions` as JSON, by which the cache knows it."""
    # here, not above: `crystalicl --help` needs no torch
    from crystalicl_jobflow.generation.transformers_engine.adapters import (
        AdapterChoice,
        check_adapter,
        with_adapter,
    )
    from crystalicl_jobflow.generation.transformers_engine.generator import TransformersGenerator
    from crystalicl_jobflow.generation.transformers_engine.pretrained import (
        load_base_model,
        loading_options,
        torch_device,
    )

    asked: LoadOptions = json.loads(given)
    device, quantization = torch_device(asked["device"]), asked["quantization"]
    options = loading_options(device, asked["dtype"], quantization)
    checked = None
    if adapter is not None:  # before the base model, which may be large
        check_file(base, base_name, "model", "config.json")
        commit = hub_commit(base, "config.json", asked["revision"])
        loaded = AdapterBase(base_name, commit, None if commit else folder_hash(base))
        checked = check_adapter(
            AdapterChoice(
                adapter, asked["adapter_revision"], loaded, base, asked["allow_other_base"]
            )
        )
    tokenizer, model = load_base_model(base, base_name, asked["revision"], options)
    if quantization is None:
        model.to(device)
    info = ModelInfo(
        engine="transformers",
        base_model=base_name,
        base_revision=getattr(model.config, "_commit_hash", None) or folder_hash(base),
        device=str(model.device),
        dtype=str(model.dtype).removeprefix("torch."),
        quantization=quantization,
        copy_bias=max(0.0, float(getattr(model.generation_config, "copy_bias", 0.0))),
    )
    if checked is not None:
        model, tokenizer = with_adapter(model, tokenizer, checked, merge=quantization is None)
        info = info.model_copy(
            update={
                "adapter": checked.choice.name,
                "adapter_revision": checked.revision,
                "adapter_base": checked.base_name,
                "adapter_base_check": checked.base_check,
            }
        )
    model.eval()
    return TransformersGenerator(
        model,
        tokenizer,
        info=info,
        batch_size=asked["batch_size"],
        num_threads=asked["num_threads"],
    )


def package_versions() -> dict[str, str]:
    """Return the versions of the packages on which texts and their checks depend."""
    return {**dict.fromkeys(_PACKAGES, "unknown"), **installed_versions(_PACKAGES)}

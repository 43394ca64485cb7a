"""Load causal language models of transformers: device, precision, quantisation."""

from __future__ import annotations

import importlib.util
from typing import Any

import torch

from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.model_places import (
    check_file,
    is_path,
    load_failure,
    pretrained_arguments,
)
from crystalicl_jobflow.settings import EMBEDDED_MODEL

_DTYPES = ("float64", "float32", "bfloat16", "float16")
_QUANTIZATIONS = ("4bit", "8bit")


def torch_device(device: str) -> str:
    """Return the device that is meant.

    Raises
    ------
    GenerationError
        If there is no such device on this machine; one line.
    """
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


def loading_options(device: str, dtype: str, quantization: str | None) -> dict[str, Any]:
    """Return the arguments of ``from_pretrained`` that set precision and quantisation.

    Parameters
    ----------
    device
        Of `torch_device`.
    dtype, quantization
        As :func:`~crystalicl_jobflow.generation.load_generator` takes them.

    Raises
    ------
    GenerationError
        If there is no such precision or quantisation, or bitsandbytes is missing; one line.
    """
    if dtype not in ("auto", *_DTYPES):
        raise GenerationError(f"dtype {dtype!r} is not one of auto, {', '.join(_DTYPES)}")
    options: dict[str, Any] = {}
    if quantization is not None:
        options |= _quantization_options(quantization, device)
    if dtype != "auto":
        options["dtype"] = getattr(torch, dtype)
    elif device == "cpu":
        options["dtype"] = torch.float32
    else:
        options["dtype"] = "auto"
    return options


def _quantization_options(quantization: str, device: str) -> dict[str, Any]:
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


def load_base_model(
    place: str, name: str, revision: str | None, options: dict[str, Any]
) -> tuple[Any, Any]:
    """Load a base model and its tokenizer.

    Parameters
    ----------
    place
        A folder, a GGUF file or a name on the hub.
    name
        Name of the model for messages.
    revision
        Branch, tag or commit on the hub.
    options
        Of `loading_options`.

    Returns
    -------
    tokenizer, model

    Raises
    ------
    GenerationError
        If it cannot be loaded; one line.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from transformers.utils import logging

    if is_path(place):
        check_file(place, name, "model", "config.json")
    where, file = pretrained_arguments(place)
    bars = logging.is_progress_bar_enabled()
    if name == EMBEDDED_MODEL:
        logging.disable_progress_bar()  # loading takes only a moment
    try:
        # a folder may name its own Python files; those are never run
        tokenizer = AutoTokenizer.from_pretrained(
            where, revision=revision or "main", trust_remote_code=False, **file
        )
        model = AutoModelForCausalLM.from_pretrained(
            where, revision=revision or "main", trust_remote_code=False, **file, **options
        )
    except Exception as error:
        raise GenerationError(f"model {name!r} cannot be loaded: {load_failure(error)}") from error
    finally:
        if bars:
            logging.enable_progress_bar()
    if getattr(model, "_hf_peft_config_loaded", False):  # the record would not name it
        raise GenerationError(f"model {name!r} brings an adapter along: name it as the adapter")
    return tokenizer, model

"""Put adapters on a base model: whether they belong to it, their vocabulary, and merging."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from crystalicl_jobflow.generation.adapter_base import (
    AdapterBase,
    compare_base,
    read_base,
)
from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.model_places import (
    check_file,
    is_path,
    load_failure,
    shown_name,
)
from crystalicl_jobflow.generation.transformers_engine.adapter_vocabulary import fit_vocabulary
from crystalicl_jobflow.schemas.generation import BaseCheck
from crystalicl_jobflow.utils.hashing import folder_hash


@dataclass(frozen=True)
class AdapterChoice:
    """An adapter, and the base model on which it is put.

    Parameters
    ----------
    place
        The adapter's folder or its name on the hub.
    revision
        Its branch, tag or commit on the hub.
    base
        The base model that is loaded.
    base_place
        Its folder or its name on the hub.
    allow_other_base
        Whether the adapter is taken where it was made for another base model.
    """

    place: str
    revision: str | None
    base: AdapterBase
    base_place: str
    allow_other_base: bool = False

    @property
    def name(self) -> str:
        """Name in records and messages."""
        return shown_name(self.place)

    @property
    def hub_options(self) -> dict[str, Any]:
        """Arguments for what reads files of the hub."""
        return {} if self.revision is None else {"revision": self.revision}


@dataclass(frozen=True)
class AdaptedModel:
    """A model with its adapter.

    Parameters
    ----------
    model, tokenizer
        The tokenizer is the adapter's own where there is one beside it.
    revision
        The adapter's commit on the hub, or a hash of its files.
    base_name
        Base model that the adapter was made for, as it says itself.
    base_check
        How that compares with the one loaded.
    """

    model: Any
    tokenizer: Any
    revision: str | None
    base_name: str | None
    base_check: BaseCheck


def with_adapter(model: Any, tokenizer: Any, choice: AdapterChoice, *, merge: bool) -> AdaptedModel:
    """Put an adapter on the model.

    Merged into the weights where these are not quantised: one matrix product less per
    layer, and the same texts.

    Parameters
    ----------
    model, tokenizer
        The base model.
    choice
        The adapter.
    merge
        Whether the weights are changed, so that the result is a plain model.

    Raises
    ------
    GenerationError
        If the adapter cannot be loaded, was made for another base model, does not fit, or is of
        a kind that cannot be merged; one line.
    """
    config, saved = _read(choice)
    needed = read_base(choice.place, config.base_model_name_or_path or None, choice.revision)
    check = compare_base(needed, choice.base, choice.base_place)
    if check == "differs" and not choice.allow_other_base:
        if needed.name == choice.base.name:
            fault = f"was made on other weights of {choice.base.name!r} than those loaded"
        else:
            fault = f"was made for the base model {needed.name!r}, not for {choice.base.name!r}"
        raise GenerationError(
            f"adapter {choice.name!r} {fault}: if it is to be used nevertheless, say so with"
            " --allow-other-base (in Python allow_other_base=True)"
        )
    tokenizer = fit_vocabulary(
        model, tokenizer, choice.place, saved, name=choice.name, **choice.hub_options
    )
    tuned = _wrap(model, config, set(saved), choice)
    if merge:
        _untie(tuned)
        try:
            tuned = tuned.merge_and_unload()
        except (AttributeError, NotImplementedError, ValueError) as error:
            raise _cannot_merge(choice, config, load_failure(error)) from error
    commit = _hub_commit(choice) or folder_hash(choice.place)
    return AdaptedModel(tuned, tokenizer, commit, needed.name, check)


def _read(choice: AdapterChoice) -> tuple[Any, dict[str, torch.Tensor]]:
    """Return an adapter's configuration and weights, if it is of a kind that can be used."""
    from peft import PeftConfig
    from peft.utils import load_peft_weights

    if is_path(choice.place):
        check_file(choice.place, choice.name, "adapter", "adapter_config.json")
    try:
        config = PeftConfig.from_pretrained(choice.place, **choice.hub_options)
        if getattr(config, "megatron_config", None):
            # peft would import the module that the adapter's configuration names
            raise ValueError("its configuration names a module to import (megatron_core)")
    except Exception as error:
        raise _cannot_load(choice, error) from error
    if config.is_prompt_learning or config.is_adaption_prompt:
        raise _cannot_merge(choice, config, "it adds to the prompt instead of the weights")
    if getattr(config, "alora_invocation_tokens", None):
        raise _cannot_merge(choice, config, "it acts on a part of each text only (aLoRA)")
    try:
        return config, load_peft_weights(choice.place, device="cpu", **choice.hub_options)
    except Exception as error:
        raise _cannot_load(choice, error) from error


def _wrap(model: Any, config: Any, saved: set[str], choice: AdapterChoice) -> Any:
    """Return the model with the adapter's layers, all of its weights in place."""
    from peft import PeftModel, get_peft_model_state_dict
    from peft.tuners.tuners_utils import BaseTunerLayer

    fault = f"adapter {choice.name!r} does not fit the model {choice.base.name!r}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the subject of these warnings is checked below
            tuned = PeftModel.from_pretrained(
                model, choice.place, config=config, **choice.hub_options
            )
        # peft silently leaves out what does not fit; it would look for the base on
        # the hub to see whether the adapter brings embeddings, which are not compared
        fitting = set(get_peft_model_state_dict(tuned, save_embedding_layers=False))
    except Exception as error:
        raise GenerationError(f"{fault}: {load_failure(error)}") from error
    prefix = getattr(tuned.base_model, "prefix", "lora_")
    missing = (fitting - saved) | {weight for weight in saved - fitting if prefix in weight}
    if missing:
        raise GenerationError(
            f"{fault}: {len(missing)} weights have no counterpart, e.g. {min(missing)}"
        )
    layers = [part for part in tuned.modules() if isinstance(part, BaseTunerLayer)]
    if not layers or any(type(layer).merge is BaseTunerLayer.merge for layer in layers):
        raise _cannot_merge(choice, config, "peft has no way to")
    return tuned


def _untie(tuned: Any) -> None:
    """Give the output layer weights of its own where an adapter would change the embeddings, too.

    In a model with tied weights both are one tensor; merging into one of them would change
    the other, which the adapter does not mean.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer

    model = tuned.get_base_model()
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    if not any(isinstance(layer, BaseTunerLayer) for layer in layers):
        return
    plain: list[Any] = [
        layer.get_base_layer() if isinstance(layer, BaseTunerLayer) else layer for layer in layers
    ]
    if any(layer is None for layer in plain) or plain[0].weight is not plain[1].weight:
        return
    plain[1].weight = torch.nn.Parameter(plain[0].weight.detach().clone(), requires_grad=False)
    model.config.get_text_config().tie_word_embeddings = False
    model.config.tie_word_embeddings = False


def _cannot_load(choice: AdapterChoice, error: BaseException) -> GenerationError:
    return GenerationError(f"adapter {choice.name!r} cannot be loaded: {load_failure(error)}")


def _cannot_merge(choice: AdapterChoice, config: Any, reason: str) -> GenerationError:
    kind = str(getattr(config.peft_type, "value", config.peft_type))
    return GenerationError(
        f"adapter {choice.name!r} is of the kind {kind}, which cannot be merged into a model:"
        f" {reason}"
    )


def _hub_commit(choice: AdapterChoice) -> str | None:
    """Return the commit of a hub file in the local cache."""
    if Path(choice.place).is_dir():
        return None
    from transformers.utils import cached_file
    from transformers.utils.hub import extract_commit_hash

    path = cached_file(choice.place, "adapter_config.json", revision=choice.revision or "main")
    commit: str | None = extract_commit_hash(str(path), None)
    return commit

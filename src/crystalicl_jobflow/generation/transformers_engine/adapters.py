"""Put adapters on a base model: whether they belong to it, their vocabulary, and merging."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
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
    hub_commit,
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
class CheckedAdapter:
    """An adapter that may be put on its base model.

    Parameters
    ----------
    choice
        The adapter.
    config
        Its configuration, of peft.
    base_name
        Base model that it was made for, as it says itself.
    base_check
        How that compares with the one loaded.
    """

    choice: AdapterChoice
    config: Any
    base_name: str | None
    base_check: BaseCheck

    @property
    def revision(self) -> str | None:
        """The adapter's commit on the hub, or a hash of its files."""
        place = self.choice.place
        commit = hub_commit(place, "adapter_config.json", self.choice.revision)
        return commit or folder_hash(place)


def check_adapter(choice: AdapterChoice) -> CheckedAdapter:
    """Check an adapter before its base model, which may be large, is loaded.

    Parameters
    ----------
    choice
        The adapter.

    Raises
    ------
    GenerationError
        If the adapter cannot be read, is of a kind that cannot be merged, or was made for another
        base model; one line.
    """
    config = _read_config(choice)
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
    return CheckedAdapter(choice, config, needed.name, check)


def with_adapter(
    model: Any, tokenizer: Any, adapter: CheckedAdapter, *, merge: bool
) -> tuple[Any, Any]:
    """Put an adapter on the model.

    Merged into the weights where these are not quantised: one matrix product less per
    layer, and the same texts.

    Parameters
    ----------
    model, tokenizer
        The base model.
    adapter
        Of `check_adapter`.
    merge
        Whether the weights are changed, so that the result is a plain model.

    Returns
    -------
    model, tokenizer
        The tokenizer is the adapter's own where there is one beside it.

    Raises
    ------
    GenerationError
        If the adapter does not fit, or cannot be merged; one line.
    """
    choice = adapter.choice
    saved = _read_weights(choice)
    tokenizer = fit_vocabulary(
        model, tokenizer, choice.place, saved, name=choice.name, **choice.hub_options
    )
    tuned = _wrap(model, adapter.config, set(saved), choice)
    if merge:
        _untie(tuned)
        try:
            tuned = tuned.merge_and_unload()
        except (AttributeError, NotImplementedError, ValueError) as error:
            raise _cannot_merge(choice, adapter.config, load_failure(error)) from error
    return tuned, tokenizer


def _read_config(choice: AdapterChoice) -> Any:
    """Return an adapter's configuration, if it is of a kind that can be used."""
    from peft import PeftConfig

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
    return config


def _read_weights(choice: AdapterChoice) -> dict[str, torch.Tensor]:
    from peft.utils import load_peft_weights

    try:
        weights: dict[str, torch.Tensor] = load_peft_weights(
            choice.place, device="cpu", **choice.hub_options
        )
    except Exception as error:
        raise _cannot_load(choice, error) from error
    return weights


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

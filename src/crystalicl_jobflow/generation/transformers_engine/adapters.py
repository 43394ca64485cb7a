"""Put adapters on a base model: whether they belong to it, and how they are merged."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.model_places import (
    check_file,
    is_path,
    load_failure,
    shown_name,
)
from crystalicl_jobflow.utils.hashing import folder_hash


def with_adapter(
    model: Any, adapter: str, base_name: str, revision: str | None, *, merge: bool
) -> tuple[Any, str | None]:
    """Put an adapter on the model.

    Merged into the weights where these are not quantised: one matrix product less per
    layer, and the same texts.

    Parameters
    ----------
    model
        The base model.
    adapter
        A folder or a name on the hub.
    base_name
        Name of the base model for messages.
    revision
        The adapter's branch, tag or commit on the hub.
    merge
        Whether the weights are changed, so that the result is a plain model.

    Returns
    -------
    model, revision
        The revision is a commit on the hub or a hash of the files.

    Raises
    ------
    GenerationError
        If the adapter cannot be loaded, or does not fit; one line.
    """
    from peft import PeftConfig, PeftModel, get_peft_model_state_dict
    from peft.utils import load_peft_weights

    name = shown_name(adapter)
    if is_path(adapter):
        check_file(adapter, name, "adapter", "adapter_config.json")
    options: dict[str, Any] = {} if revision is None else {"revision": revision}
    try:
        config = PeftConfig.from_pretrained(adapter, **options)
        if getattr(config, "megatron_config", None):
            # peft would import the module that the adapter's configuration names
            raise ValueError("its configuration names a module to import (megatron_core)")
        saved = set(load_peft_weights(adapter, device="cpu", **options))
    except Exception as error:
        raise GenerationError(
            f"adapter {name!r} cannot be loaded: {load_failure(error)}"
        ) from error
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
            f"adapter {name!r} does not fit the model {base_name!r}: {load_failure(error)}"
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

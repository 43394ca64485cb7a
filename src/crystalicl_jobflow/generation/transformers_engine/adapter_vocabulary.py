"""Adapters that bring a vocabulary of their own: their tokenizer, and embeddings of its size."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.model_places import is_path, load_failure

_TOKENIZER_FILES = ("tokenizer_config.json", "tokenizer.json")


def fit_vocabulary(
    model: Any,
    tokenizer: Any,
    place: str,
    saved: Mapping[str, torch.Tensor],
    *,
    name: str,
    revision: str | None = None,
) -> Any:
    """Make the embeddings as large as the adapter's, and return the tokenizer that goes with them.

    Parameters
    ----------
    model, tokenizer
        The base model; its embeddings are resized in place.
    place
        The adapter's folder or its name on the hub.
    saved
        The adapter's weights by name.
    name
        The adapter's name for messages.
    revision
        Its branch, tag or commit on the hub.

    Returns
    -------
    tokenizer
        The one beside the adapter, with which it was trained; the base's where there is none.

    Raises
    ------
    GenerationError
        If the adapter has embeddings of another number of tokens and no tokenizer beside it, or a
        tokenizer with tokens for which nobody has embeddings; one line.
    """
    rows = int(model.get_input_embeddings().weight.shape[0])
    saved_rows = _saved_rows(model, saved)
    own = _own_tokenizer(model, place, name, revision)
    if own is None:
        if saved_rows is not None and saved_rows != rows:
            raise GenerationError(
                f"adapter {name!r} has embeddings of {saved_rows} tokens, the base model of {rows}:"
                " save the tokenizer it was trained with beside it"
            )
        return tokenizer
    highest = max(own.get_vocab().values(), default=-1) + 1
    needed = saved_rows if saved_rows is not None else max(rows, highest)
    if saved_rows is None and not any("trainable_tokens" in weight for weight in saved):
        special = set(own.all_special_ids)
        special |= {i for i, token in own.added_tokens_decoder.items() if token.special}
        lost = [token for token, i in own.get_vocab().items() if i >= rows and i not in special]
        if lost:
            raise GenerationError(
                f"the tokenizer beside adapter {name!r} has {len(lost)} tokens without embeddings,"
                f" e.g. {min(lost)!r}: save the adapter with its embedding layers"
            )
    if highest > needed:
        raise GenerationError(
            f"the tokenizer beside adapter {name!r} has {highest} tokens, its embeddings {needed}"
        )
    if needed != rows:
        _resize(model, needed, rows)
    return own


def _saved_rows(model: Any, saved: Mapping[str, torch.Tensor]) -> int | None:
    """Return for how many tokens an adapter has embeddings; None where it has none."""
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    names = [name for name, part in model.named_modules() if any(part is item for item in layers)]
    ends = tuple(f".{name}{part}.weight" for name in names for part in ("", ".base_layer"))
    rows = [int(tensor.shape[0]) for name, tensor in saved.items() if name.endswith(ends)]
    return max(rows, default=None)


def _own_tokenizer(model: Any, place: str, name: str, revision: str | None) -> Any | None:
    """Return the tokenizer beside an adapter; None where there is none."""
    if not any(_is_there(place, file, revision) for file in _TOKENIZER_FILES):
        return None
    from transformers import AutoTokenizer

    try:
        # with the base's configuration: otherwise it would be looked for on the hub
        return AutoTokenizer.from_pretrained(
            place, config=model.config, revision=revision or "main", trust_remote_code=False
        )
    except Exception as error:
        raise GenerationError(
            f"the tokenizer beside adapter {name!r} cannot be loaded: {load_failure(error)}"
        ) from error


def _is_there(place: str, file: str, revision: str | None) -> bool:
    if is_path(place):
        return Path(place, file).is_file()
    from transformers.utils import cached_file

    try:
        return cached_file(place, file, revision=revision or "main") is not None
    except OSError:  # there is no such file
        return False


def _resize(model: Any, rows: int, rows_before: int) -> None:
    """Change the number of embeddings; new ones are zero until the adapter's are loaded."""
    model.resize_token_embeddings(rows, mean_resizing=False)
    with torch.no_grad():
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            if layer is not None:
                layer.weight[rows_before:] = 0.0

"""Whether a model can be written with in batches: how long texts may be, and a trial at loading."""

from __future__ import annotations

from typing import Any

import torch

from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.transformers_engine.kv_cache import SlotCache
from crystalicl_jobflow.generation.transformers_engine.model import CausalModel
from crystalicl_jobflow.utils.messages import first_line
from crystalicl_jobflow.utils.torch_runtime import is_out_of_memory

_LENGTHS = (3, 7)
"""Tokens of the two texts of the trial."""

_LARGEST_CHANGE = {torch.float64: 0.01, torch.float32: 0.05}
"""By how much of their standard deviation scores may differ between a batch and a row alone.

Rounding is far below this (1e-5 in float32); a row that sees its neighbours' padding, or has other
positions, is far above."""

_LARGEST_CHANGE_SHORT = 0.5
"""The same for numbers of 16 bits or fewer, where rounding alone may reach some percent."""


def check_batches(model: CausalModel, name: str) -> None:
    """Write one token after two short texts in a batch, and after each alone; compare the scores.

    Parameters
    ----------
    model
        The model.
    name
        Its name for messages.

    Raises
    ------
    GenerationError
        If the model keeps no keys and values of what it has read, or a text's scores depend on the
        other texts of its batch; one line.
    """
    kind = type(model.base).__name__
    if getattr(model.base, "_is_stateful", False):
        raise _no_cache(name, kind, "")
    rows = int(model.base.get_input_embeddings().weight.shape[0])
    texts = [tuple((7 * i + 3) % rows for i in range(length + 1)) for length in _LENGTHS]
    try:
        prefixes = model.read([text[:-1] for text in texts])
        shapes = {part.dim() for prefix in prefixes for part in (*prefix.keys, *prefix.values)}
        if shapes != {3}:
            raise ValueError("its cache has another form")
        cache = SlotCache(len(texts), like=prefixes[0], width=max(_LENGTHS))
        for slot, prefix in enumerate(prefixes):
            cache.place(slot, prefix)
        device = model.device
        together = model.forward(
            torch.tensor([[text[-1]] for text in texts], device=device),
            position_ids=torch.tensor([[length] for length in _LENGTHS], device=device),
            attention_mask=cache.open_column(),
            cache=cache,
        )
        alone = torch.stack([model.read_alone(text) for text in texts])
    except Exception as error:
        if is_out_of_memory(error):
            raise
        raise _no_cache(name, kind, f" ({first_line(error)})") from error
    largest = _LARGEST_CHANGE.get(model.dtype, _LARGEST_CHANGE_SHORT)
    change = ((together - alone).abs().amax(dim=1) / alone.std(dim=1)).max()
    if not float(change) <= largest:
        raise GenerationError(
            f"model {name!r} ({kind}) cannot be used: a text's scores depend on the other texts"
            " of its batch; try a model server"
        )


def _no_cache(name: str, kind: str, reason: str) -> GenerationError:
    return GenerationError(
        f"model {name!r} ({kind}) cannot be used: it keeps no keys and values of the text so far,"
        f" from which rows of a batch are continued{reason}; try a model server"
    )


def max_positions(config: Any) -> int | None:
    """Return the largest number of tokens, prompt included, that a model can read.

    Parameters
    ----------
    config
        Of a ``transformers`` model.

    Returns
    -------
    int or None
        None where there is no limit. Rotary positions that are stretched for long texts
        ('dynamic', 'longrope') end where the stretching begins: from there on, the longest text of
        a batch would decide the positions of all.
    """
    text = config.get_text_config()
    limits = [getattr(text, name, None) for name in ("max_position_embeddings", "max_seq_len")]
    rope = getattr(text, "rope_parameters", None) or {}
    limits += [
        item.get("original_max_position_embeddings")
        for item in (rope, *rope.values())  # one for all layers, or one for each kind of layer
        if isinstance(item, dict) and item.get("rope_type") in ("dynamic", "longrope")
    ]
    return min((int(limit) for limit in limits if limit), default=None)

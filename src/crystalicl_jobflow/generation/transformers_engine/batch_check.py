"""Whether a model can be written with in batches: how long texts may be, and a trial at loading."""

from __future__ import annotations

from collections.abc import Sequence
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
            attention_mask=cache.open(),
            cache=cache,
        )
        cache.close()
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
    model.reads_runs = _reads_runs(model, cache, texts, largest)


def _reads_runs(
    model: CausalModel, cache: SlotCache, texts: Sequence[tuple[int, ...]], largest: float
) -> bool:
    """Return whether rows of a batch can read different numbers of tokens in one step.

    A row that reads fewer keeps free columns among its own. Windows and chunks count columns; so
    do position biases of models that are told no positions.
    """
    config = model.base.config.get_text_config()
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
    counted = ("sliding_window", "attention_chunk_size", "attention_types")
    if kinds or not model.takes_positions or any(getattr(config, k, None) for k in counted):
        return False
    rows = model.base.get_input_embeddings().weight.shape[0]
    short, long = (tuple((5 * i + 2) % rows for i in range(n)) for n in (1, 3))
    device = model.device
    lengths = [len(text) for text in texts]
    try:
        first = model.forward(
            torch.tensor([[0, 0, *short], long], device=device),
            position_ids=torch.tensor(
                [[0, 0, lengths[0]], [lengths[1] + i for i in range(3)]], device=device
            ),
            attention_mask=cache.open([1, 3]),
            cache=cache,
            places=([0, 1, 1], [2, 2, 0]),
        )
        cache.close()
        second = model.forward(
            torch.tensor([[1], [1]], device=device),
            position_ids=torch.tensor([[lengths[0] + 1], [lengths[1] + 3]], device=device),
            attention_mask=cache.open(),
            cache=cache,
        )
        ends = ((*texts[0], *short), (*texts[1], *long), (*texts[1], long[0]))
        alone = torch.stack(
            [model.read_alone(text) for text in (*ends, (*ends[0], 1), (*ends[1], 1))]
        )
        change = (torch.cat([first, second]) - alone).abs().amax(dim=1) / alone.std(dim=1)
        return bool(change.max() <= largest)
    except Exception as error:
        if is_out_of_memory(error):
            raise
        return False  # one token after the other


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

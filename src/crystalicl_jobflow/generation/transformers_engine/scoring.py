"""The probability of given texts under a causal language model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers.cache_utils import DynamicCache

from crystalicl_jobflow.generation.rows import LOG_PROB_DECIMALS
from crystalicl_jobflow.generation.transformers_engine.kv_cache import Prefix
from crystalicl_jobflow.generation.transformers_engine.model import CausalModel


def score_texts(
    model: CausalModel,
    prompt: str,
    texts: Sequence[str],
    *,
    batch_size: int = 32,
    max_positions: int | None = None,
) -> list[float | None]:
    """Return the logarithm of each text's probability after a prompt, its end included.

    Parameters
    ----------
    model
        The model and its tokenizer.
    prompt
        The whole prompt; each text continues directly after its last character.
    texts
        The texts.
    batch_size
        Maximum number of texts computed at once.
    max_positions
        Tokens that prompt and text may have together; None for no limit.

    Returns
    -------
    list of float or None
        Natural logarithms at temperature 1, without nucleus and constraint, rounded to
        `LOG_PROB_DECIMALS`, as `Completion.log_prob`; None for a text that is too long. A word
        that the tokenizer does not know counts as its unknown token.
    """
    prompt_ids = model.encode(prompt)
    rows = [_token_ids(model, prompt, prompt_ids, text) for text in texts]
    found: list[float | None] = [None] * len(rows)
    room = None if max_positions is None else max_positions - len(prompt_ids)
    fitting = [place for place, row in enumerate(rows) if room is None or len(row) <= room]
    if not fitting:
        return found
    (prefix,) = model.read([prompt_ids])
    for start in range(0, len(fitting), batch_size):
        places = fitting[start : start + batch_size]
        values = _score(model, prefix, [rows[place] for place in places])
        for place, value in zip(places, values, strict=True):
            found[place] = round(value, LOG_PROB_DECIMALS)
    return found


def _token_ids(
    model: CausalModel, prompt: str, prompt_ids: tuple[int, ...], text: str
) -> list[int]:
    """Return the ids that write a text after its prompt, the end token last."""
    whole = model.encode(prompt + text)
    if whole[: len(prompt_ids)] == prompt_ids:
        ids = list(whole[len(prompt_ids) :])
    else:  # the tokenizer joins the end of the prompt with the beginning of the text
        ids = list(model.tokenizer(text, add_special_tokens=False)["input_ids"])
    return [*ids, model.vocabulary.eos_token_ids[0]]


def _score(model: CausalModel, prefix: Prefix, rows: Sequence[Sequence[int]]) -> list[float]:
    """Run the model once over texts that continue the same prompt."""
    width = max(map(len, rows))
    ids = torch.zeros((len(rows), width), dtype=torch.long)
    for number, row in enumerate(rows):
        ids[number, : len(row)] = torch.tensor(row)  # nothing sees the padding after its end
    ids = ids.to(model.device)
    cache = DynamicCache()
    for layer, (keys, values) in enumerate(zip(prefix.keys, prefix.values, strict=True)):
        cache.update(
            keys[None].expand(len(rows), -1, -1, -1).contiguous(),
            values[None].expand(len(rows), -1, -1, -1).contiguous(),
            layer,
        )
    places = torch.arange(prefix.num_tokens, prefix.num_tokens + width, device=model.device)
    logits = model.model(
        input_ids=ids,
        past_key_values=cache,
        use_cache=True,
        **model.positions(places[None].expand(len(rows), -1)),
    ).logits  # (texts, width, vocabulary)
    first = prefix.logits.to(logits.dtype)[None, None].expand(len(rows), 1, -1)
    scores = torch.cat([first, logits[:, :-1]], dim=1).double()
    picked = scores.gather(2, ids[:, :, None])[:, :, 0] - torch.logsumexp(scores, dim=2)
    return [float(picked[number, : len(row)].sum()) for number, row in enumerate(rows)]

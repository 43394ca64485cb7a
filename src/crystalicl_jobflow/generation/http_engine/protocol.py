"""Requests in the OpenAI protocol with the extensions of each program, and reading of answers."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from crystalicl_jobflow.generation.http_engine.client import RequestError
from crystalicl_jobflow.generation.http_engine.options import ServerKind
from crystalicl_jobflow.generation.http_engine.server import Server
from crystalicl_jobflow.generation.rows import STOP_MARKERS
from crystalicl_jobflow.schemas import SamplingParams

COMPLETIONS = "/completions"
CHAT = "/chat/completions"

PROPER_END = "stop"
"""The one ``finish_reason`` of a text that the model or a stop sequence brought to its end."""

_NO_TOP_K = -1  # for all of the programs below
_PLAIN: dict[ServerKind, dict[str, float]] = {
    "vllm": {"min_p": 0.0, "repetition_penalty": 1.0},
    "sglang": {"min_p": 0.0, "repetition_penalty": 1.0},
    "llamacpp": {"min_p": 0.0, "repeat_penalty": 1.0},
}
"""Programs that accept more than OpenAI's fields, with the fields needed to draw as requested:
otherwise they follow the model's own configuration (vLLM, SGLang) or their own defaults."""


@dataclass(frozen=True)
class Answer:
    """A text as a server wrote it.

    Attributes
    ----------
    text
        Cut where a model starts another exchange.
    finished
        Whether the model ended it; not where the server names another reason or none.
    num_tokens
        As counted by the server, including the end token; 0 where it does not count.
    log_prob
        Natural logarithm of its probability; None where the server does not report it.
    """

    text: str
    finished: bool
    num_tokens: int
    log_prob: float | None = None


def request_body(
    server: Server,
    prompt: str,
    sampling: SamplingParams,
    *,
    seed: int,
    is_chat: bool,
    grammar: str | None = None,
    log_probs: bool = False,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the fields of a request for one text.

    Parameters
    ----------
    server
        The program and the model.
    prompt
        The prompt; a user's message where ``is_chat``.
    sampling
        Temperature, nucleus and limit. A ``top_k`` of 1, the most likely token, is requested as
        temperature 0.
    seed
        Seed of this text.
    is_chat
        Whether the chat route is used.
    grammar
        Grammar, for servers that accept one.
    log_probs
        Whether to request the tokens' probabilities.
    extra
        Further fields; they override the others.
    """
    body: dict[str, Any] = {
        "temperature": 0.0 if sampling.top_k == 1 else sampling.temperature,
        "top_p": sampling.top_p,
        "max_tokens": sampling.max_new_tokens,
        "seed": seed,
        "stop": list(STOP_MARKERS),
    }
    if server.model is not None:
        body["model"] = server.model
    if is_chat:
        body["messages"] = [{"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    if server.kind in _PLAIN and sampling.top_k != 1:
        body |= {"top_k": sampling.top_k or _NO_TOP_K, **_PLAIN[server.kind]}
    if server.kind == "transformers" and sampling.top_k != 1:
        # on this server the model's own configuration decides whether it samples at all
        drawing = {"do_sample": True, "top_k": sampling.top_k or 0, "repetition_penalty": 1.0}
        body["generation_config"] = json.dumps(drawing)
    if log_probs:
        body["logprobs"] = True if is_chat else 1
    field = server.grammar_field
    if grammar is not None and field is not None:
        body[field] = {"grammar": grammar} if field == "structured_outputs" else grammar
    return body | dict(extra or {})


def read_answer(answer: Mapping[str, Any], *, is_chat: bool) -> Answer:
    """Read the one text of an answer.

    Raises
    ------
    RequestError
        If the answer contains no text.
    """
    choices = answer.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise RequestError("the server's answer is no completion: it has no choices")
    choice = choices[0]
    message = choice.get("message")
    text = (message.get("content") if isinstance(message, dict) else None) if is_chat else (
        choice.get("text")
    )  # fmt: skip
    if text is None and is_chat and isinstance(message, dict):
        text = ""  # a refusal, or nothing but reasoning
    if not isinstance(text, str):
        raise RequestError("the server's answer is no completion: it has no text")
    # 'length', 'abort', 'repetition', 'error', 'content_filter', … cut a text; null tells nothing
    finished = choice.get("finish_reason") == PROPER_END
    cut = [text.find(marker) for marker in STOP_MARKERS if marker in text]
    if cut:
        text, finished = text[: min(cut)].rstrip(), True
    usage = answer.get("usage")
    count = usage.get("completion_tokens") if isinstance(usage, dict) else None
    num_tokens = count if isinstance(count, int) and count >= 0 else 0
    return Answer(text, finished, num_tokens, _log_prob(choice.get("logprobs")))


def _log_prob(told: Any) -> float | None:
    """Return the sum over the tokens, from either route's form."""
    if not isinstance(told, dict):
        return None
    values = told.get("token_logprobs")
    if values is None and isinstance(told.get("content"), list):
        values = [item.get("logprob") for item in told["content"] if isinstance(item, dict)]
    if not isinstance(values, list) or not values:
        return None
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in values):
        return None
    return float(sum(values))

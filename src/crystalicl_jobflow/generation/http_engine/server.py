"""Properties of a server: its program and version, its models and routes."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import Any

from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.http_engine.client import (
    UNAUTHORISED,
    RequestError,
    ServerClient,
)
from crystalicl_jobflow.generation.http_engine.options import ServerKind

_SHOWN = 5
_PAUSE = 1.0
_OWNERS: dict[str, ServerKind] = {"vllm": "vllm", "sglang": "sglang", "llamacpp": "llamacpp"}
_VERSION_ROUTES: dict[str, tuple[str, ...]] = {
    "vllm": ("/version",),
    "sglang": ("/server_info", "/get_server_info"),
    "llamacpp": ("/props",),
}
_NO_LIST = (404, 405, 500, 501)
"""HTTP statuses of a running server that lists no models; `transformers serve` answers 500 where
the machine has no cache of models."""
_VERSION_FIELDS = ("version", "build_info")


@dataclass(frozen=True)
class Server:
    """A server that has answered.

    Attributes
    ----------
    kind
        The program, as far as it can be identified.
    version
        Its version; None where it is not reported.
    model
        Name of the model in requests; None for the server's own choice.
    base_model, adapter
        Base model and adapter of that name, as the server reports them.
    has_chat_only
        Whether the server is known to lack the route for plain prompts.
    """

    kind: ServerKind
    version: str | None
    model: str | None
    base_model: str
    adapter: str | None = None
    has_chat_only: bool = False

    @property
    def runs_one_by_one(self) -> bool:
        """Whether seeds are reliable only while no other request of ours is in progress.

        ``transformers serve`` seeds torch's global stream when a request comes in, also
        while another one is still drawing from it.
        """
        return self.kind == "transformers"

    @property
    def grammar_field(self) -> str | None:
        """Request field for a grammar; None where there is none."""
        if self.kind == "vllm":
            # https://docs.vllm.ai/en/latest/features/structured_outputs/: the old field was
            # removed in 0.12; the new one is there since 0.11
            is_old = self.version is not None and _numbers(self.version) < (0, 11)
            return "guided_grammar" if is_old else "structured_outputs"
        return {"sglang": "ebnf", "llamacpp": "grammar"}.get(self.kind)

    @property
    def tells_log_probs(self) -> bool:
        """Whether the server can report the probabilities of its tokens."""
        return self.kind != "transformers"


def find_server(client: ServerClient) -> Server:
    """Query the properties of a server.

    Parameters
    ----------
    client
        Connection to it; its options set how long to wait for a server that is not yet up.

    Raises
    ------
    GenerationError
        If it cannot be reached, rejects the key, or does not have the model; one line.
    """
    models = _models(client)
    asked = client.options.kind
    openapi = {} if asked not in ("auto", "transformers") else _ask(client, "/openapi.json")
    paths = openapi.get("paths")
    routes = set(paths) if isinstance(paths, dict) else set()
    kind: ServerKind = asked if asked != "auto" else _kind(models, routes)
    chat_only = bool(routes) and not any(route.endswith("/completions") and "chat" not in route
                                         for route in routes)  # fmt: skip
    version = _version(client, kind)
    name = client.address.model
    entry = next((item for item in models if item.get("id") == name), {})
    # transformers lists what lies in its cache, not what it was started with
    if kind == "transformers":
        return Server(
            kind, version, name, _reported(client, chat=chat_only), has_chat_only=chat_only
        )
    if name is None:
        if len(models) != 1:
            raise GenerationError(
                f"{client.address.url} has {_listed(models)}: name one, as in"
                f" {client.address.url}#model"
            )
        entry = models[0]
        name = str(entry["id"])
    elif models and not entry:
        raise GenerationError(f"{client.address.url} has no model {name!r}, only {_listed(models)}")
    parent = entry.get("parent")  # vLLM: the base model of an adapter
    return Server(
        kind,
        version,
        name,
        str(parent or name),
        adapter=name if parent else None,
        has_chat_only=chat_only,
    )


def _models(client: ServerClient) -> list[dict[str, Any]]:
    """Return the server's list of models; empty where it has none."""
    deadline = time.monotonic() + client.options.wait
    url = client.address.url
    while True:
        try:
            answer = client.get(f"{url}/models")
        except RequestError as error:
            if error.status in UNAUTHORISED:
                raise GenerationError(
                    f"the model server {url} refuses the key in"
                    f" {client.options.api_key_env}, or needs one: {error}"
                ) from None
            if error.status in _NO_LIST:
                return []
            if not error.is_transient or time.monotonic() >= deadline:
                raise GenerationError(f"the model server {url} cannot be used: {error}") from None
            time.sleep(min(_PAUSE, max(0.0, deadline - time.monotonic())))
        else:
            data = answer.get("data") if isinstance(answer, dict) else None
            listed = data if isinstance(data, list) else []
            return [item for item in listed if isinstance(item, dict) and item.get("id")]


def _ask(client: ServerClient, route: str) -> dict[str, Any]:
    """Return the answer of one of the server's own routes; empty where there is none."""
    try:
        answer = client.get(f"{client.address.root}{route}")
    except RequestError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _kind(models: list[dict[str, Any]], routes: set[str]) -> ServerKind:
    for item in models:
        owner = str(item.get("owned_by", "")).lower()
        if owner in _OWNERS:
            return _OWNERS[owner]
    # the routes that only `transformers serve` has
    return "transformers" if "/load_model" in routes and "/reset" in routes else "openai"


def _version(client: ServerClient, kind: str) -> str | None:
    for route in _VERSION_ROUTES.get(kind, ()):
        said = _ask(client, route)
        for field in _VERSION_FIELDS:
            if isinstance(said.get(field), str):
                return client.clean(said[field])[:40]
    return None


def _reported(client: ServerClient, *, chat: bool) -> str:
    """Return the name of the model that answers, by requesting one token."""
    named = client.address.model
    body: dict[str, Any] = {"max_tokens": 1} | ({"model": named} if named else {})
    route = "/chat/completions" if chat else "/completions"
    body |= {"messages": [{"role": "user", "content": "a"}]} if chat else {"prompt": "a"}
    try:
        return client.post(route, body, lambda answer: _model_name(client, answer), retries=1)
    except RequestError as error:
        url = client.address.url
        if named:
            raise GenerationError(f"{url} does not serve the model {named!r}: {error}") from None
        raise GenerationError(
            f"{url} serves no model of its own choice ({error}): name one, as in {url}#model"
        ) from None


def _model_name(client: ServerClient, answer: dict[str, Any]) -> str:
    name = answer.get("model")
    if not isinstance(name, str) or not name:
        raise RequestError("the server's answer names no model")
    return client.clean(name)


def _listed(models: list[dict[str, Any]]) -> str:
    names = [str(item["id"]) for item in models]
    if not names:
        return "no list of models"
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:2])

"""Address and options of a model server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.utils.redaction import redact

ServerKind = Literal["vllm", "sglang", "transformers", "llamacpp", "openai"]
"""Programs whose extensions of the OpenAI protocol are known; 'openai': none of them."""


class ServerOptions(BaseModel):
    """Options of a model server; the defaults suit one in the same cluster."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["auto", ServerKind] = Field(
        "auto", description="Program that serves; 'auto' asks the server."
    )
    endpoint: Literal["auto", "completions", "chat"] = Field(
        "auto",
        description="'completions' continues the prompt as it is; 'chat' sends it as a user's"
        " message, around which the server puts the model's chat template; 'auto' takes"
        " completions where the server has them.",
    )
    grammar: bool = Field(
        True, description="Send the constraint as a grammar to servers that hold texts to one."
    )
    concurrency: int | None = Field(
        None, ge=1, description="Requests under way at once, at most; None: the batch size."
    )
    connect_timeout: float = Field(10.0, gt=0, description="For a connection, in s.")
    timeout: float = Field(600.0, gt=0, description="For the answer to one request, in s.")
    retries: int = Field(6, ge=0, description="How often one request is sent again.")
    backoff: float = Field(
        1.0, ge=0, description="Before the first of them, in s; doubled every time."
    )
    max_backoff: float = Field(60.0, ge=0, description="Longest such pause, in s.")
    wait: float = Field(
        0.0, ge=0, description="How long to wait for a server that is not up yet, in s."
    )
    api_key_env: str = Field(
        "CRYSTALICL_API_KEY",
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*$",
        description="Environment variable that holds the server's key, where it wants one.",
    )
    extra: dict[str, Any] = Field(
        default_factory=dict, description="Further fields of every request, e.g. top_k."
    )

    @classmethod
    def build(cls, options: Mapping[str, Any] | ServerOptions | None = None) -> ServerOptions:
        """Return options from plain data; those left out come from the settings.

        Raises
        ------
        GenerationError
            If an option is unknown or has an invalid value; one line.
        """
        if isinstance(options, ServerOptions):
            return options
        from crystalicl_jobflow.settings import SETTINGS

        if options is not None and not isinstance(options, Mapping):
            raise GenerationError(f"server options are a mapping, not {type(options).__name__}")
        try:
            return cls(**{**SETTINGS.SERVER, **(options or {})})
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            if first["type"] == "extra_forbidden":
                known = ", ".join(cls.model_fields)
                raise GenerationError(f"server option {name!r} is not one of {known}") from None
            raise GenerationError(f"server option {name}: {redact(first['msg'])}") from None


class ServerAddress(BaseModel):
    """Address of a server and the name of one of its models."""

    model_config = ConfigDict(frozen=True)

    url: str = Field(description="Base of the OpenAI-compatible routes, e.g. http://host:8000/v1.")
    model: str | None = Field(None, description="Name of the model there; None: its only one.")

    @property
    def root(self) -> str:
        """The server's own address, without ``/v1``."""
        return re.sub(r"/v\d+$", "", self.url)

    @property
    def is_local(self) -> bool:
        """Whether the server runs on this machine, so that no proxy is needed."""
        return urlsplit(self.url).hostname in ("localhost", "127.0.0.1", "::1")


def is_server(name: str) -> bool:
    """Return whether a model's name is the address of a server."""
    return bool(re.match(r"https?://", str(name), re.IGNORECASE))


def parse_address(name: str) -> ServerAddress:
    """Read ``http://host:port/v1#model``.

    The path may be left out for ``/v1``; the part after ``#`` names the model and may be left
    out where the server has only one.

    Raises
    ------
    GenerationError
        If the address holds a user, a password or a query, or no host; one line. It is
        stored with jobs and documents: keys come from an environment variable.
    """
    try:
        parts = urlsplit(str(name))
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise GenerationError(f"{redact(str(name))!r} is no address of a model server") from None
    if "@" in parts.netloc or parts.query:
        raise GenerationError(
            f"the address {redact(str(name))!r} must hold no user, password or query: "
            "a server's key comes from the environment variable CRYSTALICL_API_KEY"
        )
    if not host:
        raise GenerationError(f"{redact(str(name))!r} is no address of a model server")
    path = parts.path.rstrip("/") or "/v1"
    url = urlunsplit((parts.scheme.lower(), parts.netloc, path, "", ""))
    return ServerAddress(url=url, model=parts.fragment or None)

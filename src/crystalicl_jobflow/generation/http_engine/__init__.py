"""Text generators behind an OpenAI-compatible HTTP server."""

from __future__ import annotations

from crystalicl_jobflow.generation.http_engine.options import (
    ServerAddress,
    ServerOptions,
    is_server,
    parse_address,
)

__all__ = ["ServerAddress", "ServerOptions", "is_server", "parse_address"]

"""Text generators behind an OpenAI-compatible HTTP server.

`load_generator` returns one for the address of a server; addresses and options are defined here.

>>> address = parse_address("http://gpu7:8000/v1#crystals")
>>> address.url, address.model
('http://gpu7:8000/v1', 'crystals')
>>> ServerOptions(concurrency=64).timeout
600.0
"""

from __future__ import annotations

from crystalicl_jobflow.generation.http_engine.options import (
    ServerAddress,
    ServerKind,
    ServerOptions,
    is_server,
    parse_address,
)

__all__ = ["ServerAddress", "ServerKind", "ServerOptions", "is_server", "parse_address"]

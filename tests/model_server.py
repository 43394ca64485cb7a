"""A small model server for tests: it says what it is told to, and remembers what it was asked."""

from __future__ import annotations

import hashlib
import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from crystalicl_jobflow.prompts import response_text
from reciting import TEXTS


@dataclass
class Reply:
    """What the server does with one request.

    Parameters
    ----------
    status, headers, body
        Of the answer; plain data is sent as JSON, texts as they are.
    drop
        Close the connection instead.
    hang
        Answer only when the server is stopped.
    """

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False
    hang: bool = False


def completion(text: str, *, finish: str | None = "stop", tokens: int = 7, **more: Any) -> Reply:
    """Return a completion as servers send it."""
    choice = {"index": 0, "text": text, "finish_reason": finish, **more}
    return Reply(body={"model": "crystals", "choices": [choice],
                       "usage": {"prompt_tokens": 3, "completion_tokens": tokens}})  # fmt: skip


def chat(text: str | None, *, finish: str = "stop", **more: Any) -> Reply:
    """Return an answer of the chat route."""
    choice = {"index": 0, "finish_reason": finish,
              "message": {"role": "assistant", "content": text}, **more}  # fmt: skip
    return Reply(body={"model": "crystals", "choices": [choice]})


def recite(body: dict[str, Any]) -> Reply:
    """Answer with one of a few texts, chosen by prompt and seed as a model's draw is."""
    name = f"{body.get('prompt') or body.get('messages')}/{body['seed']}"
    number = int(hashlib.sha256(name.encode()).hexdigest(), 16)
    return completion(response_text(TEXTS[number % len(TEXTS)]))


class ModelServer:
    """A server on a port of its own, for one test.

    Parameters
    ----------
    answer
        From the body of a request for a text to what the server does.
    models
        Entries of the list of models; None for a server that keeps none.
    pages
        Further routes that can be read, by path.
    chat_only
        Whether there is no route for plain prompts.
    """

    def __init__(
        self,
        answer: Callable[[dict[str, Any]], Reply] = recite,
        *,
        models: list[dict[str, Any]] | None = None,
        pages: dict[str, Any] | None = None,
        chat_only: bool = False,
    ) -> None:
        self.answer = answer
        self.models = [{"id": "crystals", "owned_by": "vllm"}] if models is None else models
        self.pages = {"/version": {"version": "0.12.0"}} if pages is None else pages
        self.chat_only = chat_only
        self.models_reply: Reply | None = None
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.paths: list[str] = []
        self.under_way = self.most_under_way = 0
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._http.daemon_threads = True
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> ModelServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Close the port and all connections; what hangs is let go."""
        with self._lock:
            if self._stopped.is_set():
                return
            self._stopped.set()
        self._http.shutdown()
        self._http.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def read(self, path: str) -> Reply:
        if path == "/v1/models":
            return self.models_reply or Reply(body={"object": "list", "data": self.models})
        found = self.pages.get(path)
        return Reply(404, {"detail": "Not Found"}) if found is None else Reply(body=found)

    def write(self, path: str, body: dict[str, Any]) -> Reply:
        routes = ["/v1/chat/completions"] + ([] if self.chat_only else ["/v1/completions"])
        if path not in routes:
            return Reply(404, {"detail": "Not Found"})
        with self._lock:
            self.bodies.append(body)
            self.paths.append(path)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            return self.answer(body)
        finally:
            with self._lock:
                self.under_way -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.headers.append(dict(self.headers))
                self._send(server.read(self.path))

            def do_POST(self) -> None:
                server.headers.append(dict(self.headers))
                body = self.rfile.read(int(self.headers["content-length"]))
                self._send(server.write(self.path, json.loads(body)))

            def _send(self, reply: Reply) -> None:
                if reply.hang:
                    server._stopped.wait()
                if reply.drop or server._stopped.is_set():
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                content = reply.body if isinstance(reply.body, str) else json.dumps(reply.body)
                data = content.encode()
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", **reply.headers}.items():
                    self.send_header(name, value)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        return Handler

"""Serve the pages until a signal ends them."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crystalicl_jobflow.web.place import Place

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Address:
    """Where the pages are served, and who may come in.

    Parameters
    ----------
    host, port
        Address or name to listen on; port 0 takes a free one.
    token
        What everybody has to show; None for nothing.
    names
        Further names by which browsers may call this server.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    token: str | None = None
    names: tuple[str, ...] = ()

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach it."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False

    def listen(self) -> socket.socket:
        """Open the port.

        Raises
        ------
        OSError
            If it cannot be had; one line.
        """
        try:
            found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
            family, *_, where = found[0]
            return socket.create_server(where[:2], family=family)
        except OSError as error:
            raise OSError(f"cannot listen on {self.host}:{self.port}: {error.strerror}") from None

    def url(self, port: int) -> str:
        """Return the address to open in a browser, with the token in it."""
        name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(
            self.host, self.host
        )
        shown = f"[{name}]" if ":" in name else name
        return f"http://{shown}:{port}/" + (f"?token={self.token}" if self.token else "")


def check_installed() -> None:
    """Refuse to go on where the extra is missing.

    Raises
    ------
    ImportError
        With what to install.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise ImportError(
            f"the page needs {' and '.join(missing)}: pip install 'crystalicl-jobflow[web]'"
        )


def serve(
    place: Place,
    address: Address,
    *,
    listening: socket.socket | None = None,
    ready: Callable[[str], None] = print,
    ending: Callable[[], None] = lambda: None,
    end: threading.Event | None = None,
) -> bool:
    """Serve the pages until Ctrl-C, SIGTERM or ``end``.

    Parameters
    ----------
    place
        What the pages show and ask.
    address
        Where, and who may come in.
    listening
        The open port; opened here where None.
    ready
        Called with the address to open once the port is open.
    ending
        Called when it ends: what is worked on is given up.
    end
        Set to end it, by a signal or by the caller.

    Returns
    -------
    bool
        Whether everything ended in good order: False where a text was still being written.

    Raises
    ------
    ImportError
        If the extra is missing.
    OSError
        If the port cannot be had; one line.
    Exception
        Whatever the loading of the model ended with.
    """
    check_installed()
    import uvicorn

    from crystalicl_jobflow.web.app import build_app
    from crystalicl_jobflow.web.guard import Doorkeeping

    names = {name.lower() for name in (*address.names, address.host, socket.gethostname())}
    app = build_app(place, Doorkeeping(frozenset(names), address.token))
    config = uvicorn.Config(
        app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
        proxy_headers=False, server_header=False, timeout_keep_alive=5,
        timeout_graceful_shutdown=3, limit_concurrency=place.limits.connections, backlog=64,
    )  # fmt: skip
    server = uvicorn.Server(config)
    open_port = listening or address.listen()
    thread = threading.Thread(target=server.run, args=([open_port],), name="pages", daemon=True)
    end = end or threading.Event()
    with _signals(end):
        thread.start()
        ready(address.url(open_port.getsockname()[1]))
        while thread.is_alive() and place.work.fault is None and not end.wait(0.2):
            pass
        if place.work.fault is None:
            ending()
        ended = place.work.close()  # while pages still answer: whoever waits is told
        server.should_exit = True
        thread.join(10)
        open_port.close()
        if place.database is not None and ended:
            place.database.close()
    if place.work.fault is not None:
        raise place.work.fault
    return ended


@contextmanager
def _signals(end: threading.Event) -> Iterator[None]:
    """Let the first signal set ``end``; a second one ends the process at once."""

    def note(number: int, _: FrameType | None) -> None:
        if end.is_set():
            os._exit(128 + number)
        end.set()

    if threading.current_thread() is not threading.main_thread():
        yield  # signals are the main thread's
        return
    before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""What stands before every page: host, origin, token, sizes, and the headers of the answer."""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from crystalicl_jobflow.web.limits import Limits

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:;"
    " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Content security policy: the server's own files, and nothing inline."""

HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
"""Headers of every answer."""

COOKIE = "crystalicl_token"


@dataclass(frozen=True)
class Doorkeeping:
    """Who may come in.

    Parameters
    ----------
    hosts
        Names that the Host header may have; addresses and ``localhost`` always may.
    token
        What everybody has to show; None for nothing.
    """

    hosts: frozenset[str] = frozenset()
    token: str | None = None

    def knows_host(self, host: str) -> bool:
        """Whether a Host header is one of this server's.

        Another website can make its own name point to this machine (DNS rebinding) and would
        then be read by the browser as that website; an address cannot be pointed elsewhere.
        """
        name = host_name(host)
        return name is not None and (name == "localhost" or name in self.hosts or _is_address(name))

    def knows_token(self, given: Iterable[str | None]) -> bool:
        """Whether one of the tokens given is the right one, or none is needed."""
        if self.token is None:
            return True
        right = self.token.encode()
        return any(hmac.compare_digest(item.encode(), right) for item in given if item)


def host_name(host: str) -> str | None:
    """Return the name or address in a Host header, in small letters; None where it is none."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port  # raises where it is none
    except ValueError:
        return None
    if parts.netloc != host or parts.username is not None or not parts.hostname:
        return None
    return parts.hostname.lower().removesuffix(".")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Refused(Exception):  # noqa: N818 (an answer, not a fault)
    """A request that is not let in: its status, one line, and further headers."""

    def __init__(self, status: int, line: str, **headers: str) -> None:
        super().__init__(line)
        self.status, self.line, self.headers = status, line, headers


class Guard:
    """Lets in what may come in, with bodies of bounded size, and puts headers on every answer.

    Parameters
    ----------
    app
        The pages.
    doors
        Who may come in.
    limits
        Sizes and times.
    """

    def __init__(self, app: App, doors: Doorkeeping, limits: Limits) -> None:
        self.app, self.doors, self.limits = app, doors, limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        send = _with_headers(send)
        try:
            self._check(scope)
            body = b""
            if scope["method"] == "POST":
                body = await self._body(receive)
        except Refused as refused:
            await _answer_line(send, refused)
            return
        await self.app(scope, _replayed(body, receive), send)

    def _check(self, scope: Scope) -> None:
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in
                   scope["headers"]]  # fmt: skip
        hosts = [value for name, value in headers if name == "host"]
        if len(hosts) != 1 or not self.doors.knows_host(hosts[0]):
            shown = hosts[0][:80] if hosts else ""
            raise Refused(400, f"this server is not called {shown!r}; see --allow-host")
        known = dict(headers)
        if scope["method"] not in ("GET", "HEAD", "POST"):
            raise Refused(405, "only GET and POST are answered", allow="GET, HEAD, POST")
        given = [_bearer(known.get("authorization", "")), _cookie(known.get("cookie", ""))]
        if not self.doors.knows_token(given):
            self._welcome(scope)
        if scope["method"] == "POST":
            _check_origin(known, hosts[0])

    def _welcome(self, scope: Scope) -> None:
        """Take the token from the address into a cookie, or refuse."""
        from urllib.parse import parse_qs

        query = parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=20)
        if scope["method"] == "GET" and self.doors.knows_token(query.get("token", [])):
            # not Secure: the server speaks HTTP; Strict: no other website sends it along
            cookie = f"{COOKIE}={self.doors.token}; Path=/; HttpOnly; SameSite=Strict"
            raise Refused(303, "welcome", location="/", **{"set-cookie": cookie})
        raise Refused(
            401,
            "open the address with the token that was printed when the server started",
            **{"www-authenticate": "Bearer"},
        )

    async def _body(self, receive: Receive) -> bytes:
        """Read the body before anything is done with it."""
        parts: list[bytes] = []
        size = 0
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the request was cut off")
                    parts.append(message.get("body", b""))
                    size += len(parts[-1])
                    if size > self.limits.body_bytes:
                        limit = f"{self.limits.body_bytes:,}"
                        raise Refused(413, f"the request has more than {limit} bytes")
                    more = message.get("more_body", False)
        except TimeoutError:
            raise Refused(
                408,
                f"the request took longer than {self.limits.body_seconds:g} s",
                connection="close",
            ) from None
        return b"".join(parts)


def _check_origin(headers: MutableMapping[str, str], host: str) -> None:
    """Refuse what another website sends from a visitor's browser.

    Browsers say on every POST where it comes from. Programs say nothing, and have no cookies
    of anybody that a website could use.
    """
    origin, site = headers.get("origin"), headers.get("sec-fetch-site")
    own = site in (None, "same-origin", "none")
    if origin is not None:
        own = own and urlsplit(origin).netloc.lower() == host.lower()
    if not own:
        raise Refused(403, f"a page of {(origin or site or '')[:80]!r} cannot ask here")


def _bearer(header: str) -> str | None:
    kind, _, value = header.partition(" ")
    return value.strip() if kind.lower() == "bearer" else None


def _cookie(header: str) -> str | None:
    try:
        morsel = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return None
    return None if morsel is None else morsel.value


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            given = list(message.get("headers", []))
            names = {name for name, _ in given}
            more = {**HEADERS, "cache-control": "no-store"}
            given += [
                (name.encode(), value.encode())
                for name, value in more.items()
                if name.encode() not in names
            ]
            message = {**message, "headers": given}
        await send(message)

    return sending


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Give the body that was read, then what comes after it."""
    given = False

    async def receiving() -> Message:
        nonlocal given
        if not given:
            given = True
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return receiving


async def _answer_line(send: Send, refused: Refused) -> None:
    text = f"{refused.line}\n".encode()
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(text)).encode()),
        *((name.encode(), value.encode()) for name, value in refused.headers.items()),
    ]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": text})

"""Requests to a model server: time-outs, retries with back-off, and no secrets in messages."""

from __future__ import annotations

import email.utils
import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

from crystalicl_jobflow.generation.base import GenerationError
from crystalicl_jobflow.generation.http_engine.options import ServerAddress, ServerOptions
from crystalicl_jobflow.utils.errors import CrystalICLError
from crystalicl_jobflow.utils.redaction import HIDDEN, redact

if TYPE_CHECKING:
    import httpx2

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

TRANSIENT = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""HTTP statuses after which the same request may succeed later."""

UNAUTHORISED = frozenset({401, 403})

MAX_ANSWER_BYTES = 32 * 1024 * 1024
"""Largest answer that is read, after decompression; a hundred completions of 4,096 tokens with
log-probabilities take a third of it."""

_DETAIL = 300
"""Maximum number of characters of a server's message that an error message quotes."""


class RequestError(CrystalICLError):
    """A request that failed; the message is one line without secrets.

    Parameters
    ----------
    message
        Why, in one line.
    status
        HTTP status; None where there was no readable answer.
    retry_after
        Pause in s requested by the server.
    is_outage
        Whether the server could not be reached at all.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        retry_after: float | None = None,
        is_outage: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.retry_after = retry_after
        self.is_outage = is_outage

    @property
    def is_transient(self) -> bool:
        """Whether the request should be sent again."""
        return self.status is None or self.status in TRANSIENT


class ServerClient:
    """A connection pool to one server; may be used by many threads at once.

    The key is read from the environment when the client is made, sent as a bearer token, and
    removed from all messages of the server.

    Parameters
    ----------
    address
        Where the server is.
    options
        Time-outs and retries.
    concurrency
        Maximum number of simultaneous connections.

    Raises
    ------
    GenerationError
        If the options name an environment variable for the key that is not set.
    """

    def __init__(self, address: ServerAddress, options: ServerOptions, *, concurrency: int) -> None:
        import httpx2

        self.address = address
        self.options = options
        self._key = read_key(options)
        self._stopped = threading.Event()
        self._pause_until = 0.0
        self._down_since: float | None = None
        self._http = httpx2.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=httpx2.Timeout(
                options.timeout,
                connect=options.connect_timeout,
                pool=None,  # waiting for a free connection is not a time-out of the server
            ),
            limits=httpx2.Limits(max_connections=concurrency),
            trust_env=not address.is_local,
            # reading all certificates takes longer than a request; redirects are not followed
            verify=address.url.startswith("https:"),
        )

    def close(self) -> None:
        """End pauses and close connections; requests in progress fail."""
        self._stopped.set()
        self._http.close()

    def clean(self, text: str) -> str:
        """Return a text in one line, without the key or anything else that looks like a secret."""
        if self._key:
            text = text.replace(self._key, HIDDEN)
        return redact(" ".join(text.split()))

    def get(self, url: str) -> Any:
        """Send a GET request, and repeat it once if the connection broke.

        Parameters
        ----------
        url
            Whole address.

        Returns
        -------
        object
            The decoded JSON of the answer.

        Raises
        ------
        RequestError
            If there is no readable answer.
        """
        try:
            return self._send("GET", url, None)
        except RequestError as error:
            if error.status is not None or error.is_outage:
                raise
        # servers close connections without notice, for instance after a failure
        return self._send("GET", url, None)

    def post(
        self,
        route: str,
        body: dict[str, Any],
        read: Callable[[dict[str, Any]], Result],
        *,
        retries: int | None = None,
    ) -> Result:
        """Request a completion, with retries where they may help.

        Pauses double from ``backoff`` on, shortened at random by up to a half so that many
        clients do not come back at once. A longer ``Retry-After`` of the server takes precedence,
        and delays all other requests of this client as well. After a request has failed because
        the server cannot be reached, others are tried only once, until one succeeds.

        Parameters
        ----------
        route
            Path after the address, e.g. ``/completions``.
        body
            The request.
        read
            Reads the answer; where it cannot (:class:`RequestError`), the request is repeated.
        retries
            Number of retries, if other than in the options.

        Raises
        ------
        RequestError
            If the last attempt failed, or a failure shows that retries are pointless.
        """
        options = self.options
        retries = options.retries if retries is None else retries
        for attempt in range(retries + 1):
            self._hold(self._pause_until - time.monotonic())
            sent = time.monotonic()
            try:
                answer = self._send("POST", f"{self.address.url}{route}", body)
                if not isinstance(answer, dict):
                    raise RequestError("the server's answer is no completion")
                result = read(answer)
            except RequestError as error:
                is_known = error.is_outage and self._down_since is not None
                last = attempt == retries or is_known
                if last or not error.is_transient or self._stopped.is_set():
                    if error.is_outage and not is_known:
                        self._down_since = time.monotonic()
                    raise self._given_up(error, attempt + 1) from None
                pause = min(options.max_backoff, options.backoff * 2**attempt)
                pause *= random.uniform(0.5, 1.0)
                if error.retry_after is not None:
                    if error.retry_after > options.timeout:
                        raise self._given_up(error, attempt + 1) from None
                    pause = max(pause, error.retry_after)
                    self._pause_until = max(self._pause_until, time.monotonic() + error.retry_after)
                logger.info("%s; again in %.1f s", error, pause)
                self._hold(pause)
            else:
                # an answer from before the outage, read after it, does not show that the server
                # is back
                if self._down_since is not None and sent > self._down_since:
                    self._down_since = None
                return result
        raise AssertionError("unreachable")

    def _given_up(self, error: RequestError, attempts: int) -> RequestError:
        tries = f" ({attempts} attempts)" if attempts > 1 else ""
        return RequestError(f"{error}{tries}", status=error.status, is_outage=error.is_outage)

    def _hold(self, seconds: float) -> None:
        if seconds > 0:
            self._stopped.wait(seconds)

    def _send(self, method: str, url: str, body: dict[str, Any] | None) -> Any:
        import httpx2

        try:
            with self._http.stream(method, url, json=body) as response:
                content = self._read(response)
        except httpx2.ConnectTimeout:
            limit = self.options.connect_timeout
            raise RequestError(f"no connection within {limit:g} s", is_outage=True) from None
        except httpx2.TimeoutException:
            raise RequestError(f"no answer within {self.options.timeout:g} s") from None
        except httpx2.ConnectError as error:
            raise RequestError(f"no connection: {self._words(error)}", is_outage=True) from None
        except (httpx2.HTTPError, httpx2.InvalidURL, RuntimeError) as error:
            # RuntimeError: the client was closed while the request waited
            raise RequestError(f"the connection broke: {self._words(error)}") from None
        if response.is_success:
            try:
                return json.loads(content)
            except (ValueError, RecursionError):
                raise RequestError("the server's answer is not JSON") from None
        detail = self._detail(content)
        raise RequestError(
            f"the server answers {response.status_code}{f': {detail}' if detail else ''}",
            status=response.status_code,
            retry_after=retry_after(response.headers.get("retry-after")),
        )

    def _read(self, response: httpx2.Response) -> bytes:
        """Read an answer in pieces, so that an endless one does not fill the memory."""
        content = bytearray()
        for piece in response.iter_bytes():
            content += piece
            if len(content) > MAX_ANSWER_BYTES:
                # keeps its status: the same request would give the same answer
                raise RequestError(
                    f"the server's answer is longer than {MAX_ANSWER_BYTES // 2**20} MiB",
                    status=response.status_code,
                )
        return bytes(content)

    def _words(self, error: Exception) -> str:
        return self.clean(str(error))[:_DETAIL] or type(error).__name__

    def _detail(self, content: bytes) -> str:
        """Return the server's own error message."""
        words: Any
        try:
            words = json.loads(content)
        except (ValueError, RecursionError):
            words = content.decode("utf-8", errors="replace")
        for name in ("error", "message", "detail"):
            if isinstance(words, dict) and words.get(name):
                words = words[name]
        return self.clean(str(words))[:_DETAIL]


def read_key(options: ServerOptions) -> str | None:
    """Return the server's key, or None where there is none.

    Raises
    ------
    GenerationError
        If the named variable is not set or its value cannot be a key; one line that does not
        contain it.
    """
    name = options.api_key_env
    value = os.environ.get(name, "").strip()
    if not value:
        if name != ServerOptions.model_fields["api_key_env"].default:
            raise GenerationError(f"the environment variable {name} of the server's key is not set")
        return None
    if not value.isascii() or not value.isprintable() or " " in value:
        raise GenerationError(f"the value of {name} cannot be a key: it has blanks or other signs")
    return value


def retry_after(value: str | None) -> float | None:
    """Return the pause of a ``Retry-After`` header in s (RFC 9110, section 10.2.3).

    Parameters
    ----------
    value
        Seconds or a date; None and anything else give None.
    """
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())

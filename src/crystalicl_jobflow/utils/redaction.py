"""Keep passwords and API keys out of documents, logs and messages.

Lies below the rooms, beside the settings: everything that echoes a store's URI, a
configuration or another program's error message passes it through here.
"""

from __future__ import annotations

import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from types import TracebackType
from typing import Any

HIDDEN = "***"
"""What stands for a secret."""

SECRET_NAME = re.compile(
    r"^(?!.*_env$).*(?:passw|secret|token(?!s|iz)|credential|api_?key|access_?key|private_?key"
    r"|authorization)|^pwd$|^auth$|^pmg_mapi_key$",
    re.IGNORECASE,
)
"""Names of fields, variables and options whose value is a secret; ``…_env`` names a variable."""

# a path made of a URI has one slash only
_AUTHORITY = re.compile(
    r"(?P<scheme>[a-zA-Z][\w+.\-]*:(?://|/(?=[^\s/@]*:)))(?P<user>[^\s/?#'\"]*)@"
)
_NO_PASSWORD = re.compile(r"://[^/@\s:]*(?::(?:\$\{\w+\})?)?@")
_PLACEHOLDER = re.compile(r"\$\{\w+\}")
_URI_PARAMETER = re.compile(
    r"(?P<name>[?&;](?:[\w\-]*(?:passw|secret|token|api_?key|access_?key|authmechanismprop)[\w\-]*)=)"
    r"[^&;#\s'\"]+",
    re.IGNORECASE,
)
_ASSIGNED = re.compile(
    r"(?P<name>[\"']?\b(?!\w*_env\b)(?:[\w\-]*(?:passw(?:or)?d|passwd|secret|api[_\-]?key|access[_\-]?key)[\w\-]*"
    r"|token|pwd)[\"']?\s*[=:]\s*)(?P<quote>[\"']?)(?!\*\*\*)[^\s,;&\"'}\])]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<name>\b(?:Bearer|Basic|X-API-KEY:?)\s+)[\w\-.~+/=]{6,}", re.IGNORECASE)
_KNOWN_KEYS = re.compile(r"\b(?:sk-(?:proj-)?|hf_|ghp_|github_pat_|AKIA)[A-Za-z0-9_]{16,}\b")
_SHORTEST = 6
"""Values of secret environment variables shorter than this are not searched for in texts."""


def redact(text: str) -> str:
    """Return a text without what looks like a secret.

    Removed are user names and passwords in URIs (``mongodb://user:password@host``), secret
    parameters of URIs, values assigned to names like ``password`` or ``api_key``, bearer
    tokens, keys in well-known forms, and the value of every environment variable with such a
    name (``MP_API_KEY``, ``CRYSTALICL_…_TOKEN``), wherever it stands.

    Parameters
    ----------
    text
        A URI, a message, a line of a log.

    Examples
    --------
    >>> redact("mongodb://me:secret@host:27017/db?authSource=admin")
    'mongodb://host:27017/db?authSource=admin'
    >>> redact("refused: api_key=abcdef123456")
    'refused: api_key=***'
    """
    for value in _secret_values():
        text = text.replace(value, HIDDEN)
    text = _AUTHORITY.sub(lambda found: found["scheme"], text)
    text = _URI_PARAMETER.sub(lambda found: found["name"] + HIDDEN, text)
    text = _BEARER.sub(lambda found: found["name"] + HIDDEN, text)
    text = _ASSIGNED.sub(lambda found: found["name"] + found["quote"] + HIDDEN, text)
    return _KNOWN_KEYS.sub(HIDDEN, text)


def redact_document(value: Any) -> Any:
    """Return a document or configuration without secrets, of the same shape.

    Values under secret names (``password``, ``api_key``, ``mongoclient_kwargs.password``) are
    replaced whatever they are; every other text goes through :func:`redact`.

    Parameters
    ----------
    value
        Mappings, lists and plain values; what is none of these stays.
    """
    if isinstance(value, Mapping):
        return {
            name: HIDDEN
            if isinstance(name, str) and SECRET_NAME.search(name) and item not in (None, "")
            and not isinstance(item, bool | int | float)
            else redact_document(item)
            for name, item in value.items()
        }  # fmt: skip
    if isinstance(value, list | tuple):
        return type(value)(redact_document(item) for item in value)
    return redact(value) if isinstance(value, str) else value


def has_secrets(value: Any) -> bool:
    """Return whether a URI, configuration or serialised store holds a secret.

    User names alone are none, nor is ``${NAME}``, which stands for an environment variable.
    """
    named = _without_names(value)
    return bool(redact_document(named) != named)


def _without_names(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _without_names(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_without_names(item) for item in value]
    if not isinstance(value, str):
        return value
    return _PLACEHOLDER.sub("", _NO_PASSWORD.sub("://", value))


class RedactingFilter(logging.Filter):
    """Remove secrets from log records, those in their exceptions' words included."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Redact the record's message; always lets it pass."""
        message = record.getMessage()
        clean = redact(message)
        if clean != message:
            record.msg, record.args = clean, ()
        if record.exc_info:
            # another handler may have put it in words already
            words = record.exc_text or logging.Formatter().formatException(record.exc_info)
            record.exc_text = redact(words)
        return True


def show_traceback(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print a traceback to stderr without secrets: a ``sys.excepthook``."""
    sys.stderr.write(redact("".join(traceback.format_exception(kind, error, trace))))


def _secret_values() -> list[str]:
    found = {
        value
        for name, value in os.environ.items()
        if SECRET_NAME.search(name) and len(value) >= _SHORTEST and not value.startswith("/")
    }
    return sorted(found, key=len, reverse=True)

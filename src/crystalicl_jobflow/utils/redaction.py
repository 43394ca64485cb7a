"""Keep passwords and API keys out of documents, logs and messages.

Lies below the rooms, beside the settings: everything that echoes a store's URI, a
configuration or another program's error message passes it through here.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"
"""What stands for a secret."""

SECRET_NAME = re.compile(
    r"^(?!.*_env$|credential_type$).*(?:passw|passphrase|secret|credential|api_?key|access_?key"
    r"|account_?key|private_?key|key_?file|authorization|auth_?mechanism_?prop|connection_?string"
    r"|client_info|shared_?access_?signature)"
    r"|^(?!(?:.*[_\-])?(?:bos|eos|pad|unk|sep|cls|mask|stop|image|next|first|last)[_\-]?token$).*token$"
    r"|^(?:.*(?:db|database|user|login|admin|root|mongo|mongodb|mysql|pg|postgres|redis|ssh|smtp"
    r"|mail|http|proxy|ftp|sudo|service|key|my)[_\-]?)?pass$"
    r"|^(?:.*[_\-])?pwd$|^auth$|^pmg_mapi_key$",
    re.IGNORECASE,
)
"""Names of fields, variables and options whose value is a secret; ``…_env`` names a variable."""

# a URI's slashes may be escaped, as JSON has them; a path made of a URI has one slash only
_SCHEME = r"\b[a-zA-Z][\w+.\-]+:"
_URI = re.compile(
    rf"(?P<scheme>{_SCHEME}(?:\\?/\\?/|/(?=[^\s/@]*:)))(?P<rest>(?:(?!{_SCHEME}\\?/\\?/)\S)+)"
)
_DATABASE = re.compile(r"(?:mongodb|postgres|mysql|mariadb|redis|amqp|ssh|sftp|ftp)", re.IGNORECASE)
_HOST = re.compile(r"[\w.\-\[\]%$]+")
_NO_PASSWORD = re.compile(r"://[^/@\s:]*(?::(?:\$\{\w+\})?)?@")
_PLACEHOLDER = re.compile(r"\$\{\w+\}")
_SECRET_WORDS = (
    r"[\w.\-]*(?:passw|passphrase|secret|api[_\-]?key|access[_\-]?key|account[_\-]?key"
    r"|authmechanismprop|signature|credential)[\w\-]*"
)
_TOKEN_WORDS = (
    r"(?:[\w\-]*(?:access|auth|refresh|session|security|bearer|api|id|csrf|login|hf|github|private)"
    r"[_\-]?)?token|[\w\-]*_TOKEN"
)
_PASS_WORDS = (
    r"[\w\-]*(?:db|database|user|login|admin|root|mongo|mongodb|mysql|pg|postgres|redis|ssh)"
    r"[_\-]?pass"
)
_URI_PARAMETER = re.compile(
    rf"(?P<name>[?&;](?:{_SECRET_WORDS}|{_TOKEN_WORDS}|sig)=)(?P<value>[^&;#\s'\"]+)", re.IGNORECASE
)
_ASSIGNED = re.compile(
    rf"(?P<name>(?:\\*[\"'])?(?<![\w\-])(?!\w*_env\b)"
    rf"(?:{_SECRET_WORDS}|{_TOKEN_WORDS}|{_PASS_WORDS}|(?:[\w\-]*[_\-])?pwd)"
    r"(?:\\*[\"'])?\s*[=:]\s*)"
    r"(?:(?P<quote>\\*[\"'])(?P<quoted>.*?)(?P=quote)(?=\s*(?:[,}\]:;)]|$)|\s)"
    r"|(?P<value>(?:\$\{\w+\}|[^\s&;\"'{\[])+))",
    re.IGNORECASE,
)
_AUTHORIZATION = re.compile(
    r"(?P<name>\bauthorization(?:\\*[\"'])?\s*[=:]\s*(?:\\*[\"'])?"
    r"(?:(?:Bearer|Basic|Token|Digest|Negotiate)\s+)?)"
    r"(?!(?:Bearer|Basic|Token|Digest|Negotiate)\s)(?!\*\*\*)[^\s,;\"'}\\]+",
    re.IGNORECASE,
)
_BEARER = re.compile(r"(?P<name>\b(?:Bearer|Basic|X-API-KEY:?)\s+)[\w\-.~+/=]{6,}", re.IGNORECASE)
_KNOWN_KEYS = re.compile(
    r"\b(?:sk-(?:proj-)?|hf_|gh[pousr]_|github_pat_|glpat-|xox[abp]-|AKIA|ASIA)[A-Za-z0-9_]{16,}"
    r"|\beyJ[\w\-]{8,}\.[\w\-]{8,}\.[\w\-]{8,}"
)
_PEM = re.compile(
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL
)
_SHORTEST = 6
"""Values of secret environment variables shorter than this are not searched for in texts."""


def redact(text: str) -> str:
    """Return a text without what looks like a secret.

    Removed are user names and passwords in URIs (``mongodb://user:password@host``), secret
    parameters of URIs, values assigned to names like ``password`` or ``api_key``, what follows
    ``authorization:``, bearer tokens, keys in well-known forms, and the value of every
    environment variable with such a name (``MP_API_KEY``, ``DB_PASS``), wherever it stands.
    A text that is JSON is read, and written again without the secrets in it.

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
    text = _without_environment(text)
    if text[:1] in ("{", "["):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            clean = redact_document(document)
            return text if clean == document else json.dumps(clean)
    text = _PEM.sub(HIDDEN, text)
    text = _URI.sub(_without_user, text)
    for pattern in (_URI_PARAMETER, _AUTHORIZATION, _BEARER, _ASSIGNED):
        text = pattern.sub(_hide_value, text)
    return _KNOWN_KEYS.sub(HIDDEN, text)


def _without_environment(text: str) -> str:
    """Return a text without the values of the environment's secrets, in any notation."""
    for value in _secret_values():
        for form in dict.fromkeys(
            (value, quote_plus(value), quote(value), json.dumps(value)[1:-1])
        ):
            if form.isdigit():  # not the digits of another number
                text = re.sub(rf"(?<![\w.]){form}(?![\w.])", HIDDEN, text)
            else:
                text = text.replace(form, HIDDEN)
    return text


def _without_user(found: re.Match[str]) -> str:
    """Return a URI without user and password, whatever signs the password holds."""
    scheme, rest = found["scheme"], found["rest"]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    port = authority.partition(":")[2]
    # what stands before the first / ? or # is no host with its port: a password holds that sign
    is_split = bool(port) and not port.isdigit() and not authority.startswith("[")
    end = len(rest) if is_split or _DATABASE.match(scheme) else len(authority)
    for sign in reversed(list(re.finditer("@", rest[:end]))):
        if _HOST.match(rest, sign.end()):
            return scheme + rest[sign.end() :]
    return found[0]


def _hide_value(found: re.Match[str]) -> str:
    groups = found.groupdict()
    mark = groups.get("quote") or ""
    value = groups.get("quoted") if mark else groups.get("value")
    if value is not None and (value in ("", HIDDEN) or _PLACEHOLDER.fullmatch(value)):
        return found[0]
    return f"{found['name']}{mark}{HIDDEN}{mark}"


def redact_document(value: Any) -> Any:
    """Return a document or configuration without secrets, of the same shape.

    Values under secret names (``password``, ``api_key``, ``mongoclient_kwargs.password``) are
    replaced whatever they are, numbers too; every other text goes through :func:`redact`.

    Parameters
    ----------
    value
        Mappings, lists and plain values; what is none of these stays.
    """
    if isinstance(value, Mapping):
        return {
            name: HIDDEN
            if isinstance(name, str) and _is_secret(name, item)
            else redact_document(item)
            for name, item in value.items()
        }
    if isinstance(value, list | tuple):
        return type(value)(redact_document(item) for item in value)
    return redact(value) if isinstance(value, str) else value


def _is_secret(name: str, value: Any) -> bool:
    if value is None or isinstance(value, bool) or value in ("", HIDDEN, {}, []):
        return False
    if isinstance(value, str) and _PLACEHOLDER.fullmatch(value):
        return False
    return SECRET_NAME.search(name) is not None


def has_secrets(value: Any) -> bool:
    """Return whether a URI, configuration or serialised store holds a secret.

    User names alone are none, nor is ``${NAME}``, which stands for an environment variable.
    """
    named = _without_names(value)
    return bool(redact_document(named) != named)


def refuse_secrets(value: Any, what: str) -> None:
    """Refuse what would be stored with a job although it holds a secret.

    Parameters
    ----------
    value
        A URI, configuration or serialised store.
    what
        What to call it in the message, such as ``the pool``.

    Raises
    ------
    ValueError
        If it holds a secret; one line without it.
    """
    if has_secrets(value):
        raise ValueError(
            f"{what}'s password would be stored with the job: write ${{NAME}} for an environment"
            " variable, or name a configuration file"
        )


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
        if SECRET_NAME.search(name)
        and len(value) >= _SHORTEST
        # a file of secrets, or the folder that PWD names
        and not (value.startswith("/") and Path(value).exists())
    }
    return sorted(found, key=len, reverse=True)

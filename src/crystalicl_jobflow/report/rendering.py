"""Resources and templates of the pages: self-contained, escaped, without network."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup

from crystalicl_jobflow.utils.messages import show_controls


def content_policy(scripts: list[str]) -> str:
    """Return the content security policy: these scripts by their hashes, and no network."""
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes or chr(39) + 'none' + chr(39)};"
        " style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
    )


REPORT = "crystalicl_jobflow.report"
"""The room whose files these are, where no other is named."""


@cache
def resource(name: str, room: str = REPORT) -> str:
    """Return a file of a room; no carriage returns, which HTML would drop from a hash."""
    text = files(room).joinpath(name).read_text(encoding="utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _shown(value: Any) -> Any:
    """Write out control characters; what the page itself marks up stays as it is."""
    if isinstance(value, str) and not isinstance(value, Markup):
        return show_controls(value)
    return value


@cache
def template(name: str, room: str = REPORT) -> Any:
    """Return a template by its file's name; everything it is given is escaped.

    Templates of one room can extend and include each other.
    """
    environment = Environment(
        loader=FunctionLoader(lambda other: resource(f"templates/{other}", room)),
        autoescape=True,
        finalize=_shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["percent"] = lambda share: f"{100 * share:.1f}\u00a0%"
    return environment.get_template(name)

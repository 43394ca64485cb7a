"""Pages, lines, files: what is sent back."""

from __future__ import annotations

import hashlib
from typing import Any

from markupsafe import Markup
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from crystalicl_jobflow.candidates.shown import CrystalFile
from crystalicl_jobflow.report.crystal_view import VIEWER_SCRIPTS
from crystalicl_jobflow.report.rendering import REPORT, resource, template
from crystalicl_jobflow.utils.messages import one_line, show_controls
from crystalicl_jobflow.utils.redaction import redact
from crystalicl_jobflow.utils.versions import __version__
from crystalicl_jobflow.web.cards import asked_html
from crystalicl_jobflow.web.place import Place

WEB = "crystalicl_jobflow.web"

STATIC = {
    "page.css": ("templates/page.css", REPORT, "text/css"),
    "viewer.js": (VIEWER_SCRIPTS[0], REPORT, "text/javascript"),
    "crystals.js": (VIEWER_SCRIPTS[1], REPORT, "text/javascript"),
    "viewer-license.txt": ("vendor/3Dmol-LICENSE.txt", REPORT, "text/plain"),
    "web.css": ("static/web.css", WEB, "text/css"),
    "web.js": ("static/web.js", WEB, "text/javascript"),
}
"""Name in the address → file, its room, its type; nothing else is served from disk."""


def page(place: Place, request: Request, name: str, status: int = 200, **context: Any) -> Response:
    """Return a page by the name of its template.

    Parameters
    ----------
    place
        What the pages show and ask.
    request
        What was asked.
    name
        File of the template.
    status
        Status of HTTP.
    **context
        What the template shows.
    """
    database = place.database
    html = template(name, WEB).render(
        **context, limits=place.limits, model=place.model, version=__version__,
        store=None if database is None else database.label, here=request.url.path,
        static=address, asked=asked_html,
    )  # fmt: skip
    return Response(html, status, media_type="text/html; charset=utf-8")


def wants_html(request: Request) -> bool:
    """Tell whether a browser asks, not a program."""
    return "text/html" in request.headers.get("accept", "")


def line_of(request: Request, status: int, line: str) -> Response:
    """Return an error as one line: as JSON, as a page, or as plain text.

    Parameters
    ----------
    request
        What was asked: it says what can be shown.
    status
        Status of HTTP.
    line
        The line.
    """
    line = show_controls(line)
    accept = request.headers.get("accept", "")
    if "application/json" in accept:
        return JSONResponse({"error": line}, status)
    if "text/html" in accept:
        context = {"line": line, "status": status, "version": __version__, "static": address}
        html = template("error.html.j2", WEB).render(**context)
        return Response(html, status, media_type="text/html; charset=utf-8")
    return PlainTextResponse(f"{line}\n", status)


async def http_error(request: Request, error: Exception) -> Response:
    """Answer what has a status of its own."""
    assert isinstance(error, HTTPException)
    return line_of(request, error.status_code, str(error.detail))


async def full(request: Request, error: Exception) -> Response:
    """Answer where no further question can wait."""
    return line_of(request, 503, one_line(error))


async def mistake(request: Request, error: Exception) -> Response:
    """Answer a mistake of whoever asks."""
    return line_of(request, 400, redact(one_line(error, limit=500)))


async def fault(request: Request, error: Exception) -> Response:
    """Answer a fault of ours, without its details."""
    return line_of(request, 500, f"internal error: {type(error).__name__}; see the server's output")


def static(request: Request) -> Response:
    """Return a style sheet, a script or a licence."""
    name = request.path_params["name"]
    if name not in STATIC:
        raise HTTPException(404, "there is no such file")
    file, room, kind = STATIC[name]
    # the address holds the file's hash
    headers = {"cache-control": "private, max-age=31536000, immutable"}
    return Response(resource(file, room), media_type=kind, headers=headers)


def address(name: str) -> Markup:
    """Return the address of a file, which changes with its content."""
    file, room, _ = STATIC[name]
    digest = hashlib.sha256(resource(file, room).encode()).hexdigest()[:12]
    return Markup("/static/{}?v={}").format(name, digest)


def cif_of(file: CrystalFile | None) -> Response:
    """Return a crystal as a CIF file to keep; 404 where there is none."""
    if file is None:
        raise HTTPException(404, "this candidate has no crystal")
    return download(file.text().encode(), "chemical/x-cif", file.name)


def download(content: bytes, kind: str, name: str) -> Response:
    """Return a file to keep.

    Parameters
    ----------
    content
        What is in it.
    kind
        Its media type.
    name
        Its name; what is not ASCII is left out.
    """
    plain = name.encode("ascii", errors="ignore").decode() or "download"
    disposition = f'attachment; filename="{plain}"'
    return Response(content, media_type=kind, headers={"content-disposition": disposition})

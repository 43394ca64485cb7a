"""The pages and their addresses."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode

from markupsafe import Markup
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from crystalicl_jobflow.candidates.shown import CrystalFile
from crystalicl_jobflow.report.crystal_view import VIEWER_SCRIPTS
from crystalicl_jobflow.report.rendering import REPORT, resource, template
from crystalicl_jobflow.report.wording import words
from crystalicl_jobflow.schemas import FailureReason
from crystalicl_jobflow.utils.messages import one_line, show_controls
from crystalicl_jobflow.utils.redaction import redact
from crystalicl_jobflow.utils.versions import __version__
from crystalicl_jobflow.web import questions
from crystalicl_jobflow.web.cards import Gallery, asked_html, generated_gallery, stored_gallery
from crystalicl_jobflow.web.database import Database
from crystalicl_jobflow.web.downloads import json_lines, stored_files, zip_of
from crystalicl_jobflow.web.guard import Doorkeeping, Guard
from crystalicl_jobflow.web.limits import Limits
from crystalicl_jobflow.web.questions import Search, read_cif, read_question, read_search
from crystalicl_jobflow.web.work import FullError, Run, State, Work

WEB = "crystalicl_jobflow.web"

_STATIC = {
    "page.css": ("templates/page.css", REPORT, "text/css"),
    "viewer.js": (VIEWER_SCRIPTS[0], REPORT, "text/javascript"),
    "crystals.js": (VIEWER_SCRIPTS[1], REPORT, "text/javascript"),
    "viewer-license.txt": ("vendor/3Dmol-LICENSE.txt", REPORT, "text/plain"),
    "web.css": ("static/web.css", WEB, "text/css"),
    "web.js": ("static/web.js", WEB, "text/javascript"),
}
"""Name in the address → file, its room, its type; nothing else is served from disk."""

_CIFS_AT_ONCE = 2


@dataclass(frozen=True)
class Place:
    """What the pages show and ask.

    Parameters
    ----------
    work
        The queue with the model.
    model
        The model in words.
    database
        The store of past runs; None for none.
    limits
        Sizes and times.
    """

    work: Work
    model: str
    database: Database | None = None
    limits: Limits = field(default_factory=Limits)


def build_app(place: Place, doors: Doorkeeping | None = None) -> Guard:
    """Return the application that a server of ASGI serves.

    Parameters
    ----------
    place
        What the pages show and ask.
    doors
        Who may come in; None for everybody who calls this server by an address.
    """
    pages = _Pages(place)
    routes = [
        Route("/", pages.front),
        Route("/static/{name}", _static),
        Route("/cif", pages.cif, methods=["POST"]),
        Route("/runs", pages.ask, methods=["POST"]),
        Route("/runs/{run_id}", pages.run),
        Route("/runs/{run_id}/state", pages.state),
        Route("/runs/{run_id}/stop", pages.stop, methods=["POST"]),
        Route("/runs/{run_id}/cifs.zip", pages.run_zip),
        Route("/runs/{run_id}/candidates.jsonl", pages.run_lines),
        Route("/runs/{run_id}/{number:int}.cif", pages.run_cif),
        Route("/store", pages.store),
        Route("/store/cifs.zip", pages.store_zip),
        Route("/store/candidates.jsonl", pages.store_lines),
        Route("/store/{candidate_id}.cif", pages.store_cif),
        Route("/store/{candidate_id}", pages.stored),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: _http_error,
        FullError: _full,
        ValueError: _mistake,
        Exception: _fault,
    }
    app = Starlette(routes=routes, exception_handlers=handlers)
    return Guard(app, doors or Doorkeeping(), place.limits)


class _Pages:
    """The handlers; those without ``async`` run in threads."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.limits = place.limits
        self.reading = threading.BoundedSemaphore(_CIFS_AT_ONCE)

    # the front page and questions

    def front(self, request: Request) -> Response:
        if "token" in request.query_params:  # not needed, or known already: out of the address
            return RedirectResponse("/", status_code=303)
        names = questions.QUESTION_FIELDS
        given = {name: request.query_params.get(name, "")[:200] for name in names}
        return self._front(request, given)

    def _front(
        self, request: Request, given: Mapping[str, Any], error: str = "", status: int = 200
    ) -> Response:
        defaults = {"samples": str(questions.DEFAULT_SAMPLES), "seed": "0"}
        fields = {
            name: str(given.get(name) or defaults.get(name, ""))[:200]
            for name in questions.QUESTION_FIELDS
        }
        runs = self.place.work.runs()
        return self._page(request, "front.html.j2", status, fields=fields, error=error, runs=runs)

    async def ask(self, request: Request) -> Response:
        fields: dict[str, Any] = {}
        try:
            fields = _fields(await request.body(), request.headers.get("content-type", ""))
            run = await run_in_threadpool(self._asked, fields)
        except (ValueError, FullError) as error:
            status = 503 if isinstance(error, FullError) else 400
            if _wants_html(request):
                line = one_line(error, limit=500)
                return await run_in_threadpool(self._front, request, fields, line, status)
            return _line(request, status, one_line(error, limit=500))
        address = f"/runs/{run.run_id}"
        if _wants_html(request):
            return RedirectResponse(address, status_code=303)
        return JSONResponse(self._state(run), 201, headers={"location": address})

    def _asked(self, fields: Mapping[str, Any]) -> Run:
        return self.place.work.ask(read_question(fields, self.limits))

    async def cif(self, request: Request) -> Response:
        data = await request.body()
        try:
            return JSONResponse(await run_in_threadpool(self._read_cif, data))
        except ValueError as error:
            return JSONResponse({"error": show_controls(one_line(error, limit=300))}, 400)

    def _read_cif(self, data: bytes) -> dict[str, Any]:
        if not self.reading.acquire(blocking=False):
            raise FullError(f"{_CIFS_AT_ONCE} files are being read already: drop it again")
        try:
            return read_cif(data, self.limits)
        finally:
            self.reading.release()

    # an answer

    def run(self, request: Request) -> Response:
        run = self._run(request)
        gallery = Gallery(self.limits)
        if run.crystals is not None:
            gallery = generated_gallery(run.crystals, f"/runs/{run.run_id}", self.limits)
        return self._page(
            request, "run.html.j2",
            run=run, state=self._state(run), gallery=gallery, again=_query_of(run),
            num_valid=sum(item.valid for item in run.crystals or ()),
            failures=_failures(run),
        )  # fmt: skip

    def state(self, request: Request) -> Response:
        return JSONResponse(self._state(self._run(request)))

    def _state(self, run: Run) -> dict[str, Any]:
        """Return how far a run is, in words and as figures."""
        before = self.place.work.before(run)
        told = {
            State.WAITING: f"Waiting: {_count(before, 'question')} before this one",
            State.WORKING: f"{run.done} of {_count(run.total, 'text')} written",
            State.DONE: "" if run.crystals is None else run.crystals.summary,
            State.FAILED: run.message,
            State.STOPPED: run.message,
        }[run.state]
        return {
            "id": run.run_id,
            "state": run.state.value,
            "asked": run.question.condition.label(),
            "samples": run.question.samples,
            "seed": run.question.seed,
            "written": run.done,
            "of": run.total,
            "told": show_controls(told),
            "remark": show_controls(run.message) if run.state is State.DONE else "",
            "ended": run.ended,
            "seconds": round(run.seconds, 1),
        }

    async def stop(self, request: Request) -> Response:
        run = self._run(request)
        self.place.work.stop(run)
        if _wants_html(request):
            return RedirectResponse(f"/runs/{run.run_id}", status_code=303)
        return JSONResponse(self._state(run))

    def run_zip(self, request: Request) -> Response:
        crystals = self._crystals(request)
        valid = [CrystalFile.of_candidate(item.candidate) for item in crystals if item.valid]
        return _download(zip_of(valid), "application/zip", "crystals.zip")

    def run_lines(self, request: Request) -> Response:
        candidates = self._crystals(request).candidates
        lines = json_lines(item.model_dump(mode="json") for item in candidates)
        return _download(lines, "application/x-ndjson", "candidates.jsonl")

    def run_cif(self, request: Request) -> Response:
        crystals, number = self._crystals(request), int(request.path_params["number"])
        if not 1 <= number <= len(crystals):
            raise HTTPException(404, f"this answer has {_count(len(crystals), 'crystal')}")
        return _cif(CrystalFile.of_candidate(crystals[number - 1].candidate))

    def _run(self, request: Request) -> Run:
        run = self.place.work.find(request.path_params["run_id"])
        if run is None:
            raise HTTPException(404, "there is no such question, or it is forgotten")
        return run

    def _crystals(self, request: Request) -> Any:
        run = self._run(request)
        if run.crystals is None:
            raise HTTPException(404, f"this question has no crystals: it is {run.state.value}")
        return run.crystals

    # the store

    def store(self, request: Request) -> Response:
        database = self._database()
        fields = dict(request.query_params)
        error, status = "", 200
        found: list[dict[str, Any]] = []
        total = 0
        search = Search(questions.CandidateQuery(), fields={})
        try:
            search = self._search(request)
            found, total = database.page(search)
        except (ValueError, FullError) as problem:
            error, status = redact(one_line(problem, limit=500)), 400
            if isinstance(problem, FullError):
                status = 503
            if not _wants_html(request):
                return _line(request, status, error)
            search = Search(
                questions.CandidateQuery(), fields={k: v[:200] for k, v in fields.items()}
            )
        kept = dict(search.fields or {})
        pages = -(-total // self.limits.shown)
        return self._page(
            request, "store.html.j2", status,
            gallery=stored_gallery(found, self.limits), total=total, search=search, error=error,
            fields=kept, query=urlencode(kept), pages=pages, page_query=_pager(kept, search, pages),
            reasons=[reason.value for reason in FailureReason], texts=_TEXTS, flags=_FLAGS,
            ranges=_RANGES, sorts=_SORTS, words=words,
            first=self.limits.shown * (search.page - 1) + 1, count=len(found),
        )  # fmt: skip

    def stored(self, request: Request) -> Response:
        document = self._document(request)
        gallery = stored_gallery([document], self.limits)
        gallery.cards[0].more = None
        whole = json.dumps(document, indent=1, default=str, ensure_ascii=False)
        return self._page(request, "stored.html.j2", gallery=gallery, whole=whole[:20_000],
                          cut=len(whole) > 20_000)  # fmt: skip

    def store_zip(self, request: Request) -> Response:
        documents = self._database().all(self._search(request))
        return _download(zip_of(stored_files(documents)), "application/zip", "crystals.zip")

    def store_lines(self, request: Request) -> Response:
        lines = json_lines(self._database().all(self._search(request)))
        return _download(lines, "application/x-ndjson", "candidates.jsonl")

    def store_cif(self, request: Request) -> Response:
        (file,) = stored_files([self._document(request)])
        return _cif(file)

    def _search(self, request: Request) -> Search:
        pairs = request.query_params.multi_items()
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a filter is given twice")
        return read_search(dict(pairs), self.limits)

    def _document(self, request: Request) -> dict[str, Any]:
        document = self._database().one(request.path_params["candidate_id"][:100])
        if document is None:
            raise HTTPException(404, "the store has no such candidate")
        return document

    def _database(self) -> Database:
        if self.place.database is None:
            raise HTTPException(404, "this server has no store: start it with --store")
        return self.place.database

    def _page(self, request: Request, name: str, status: int = 200, **context: Any) -> Response:
        database = self.place.database
        html = template(name, WEB).render(
            **context, limits=self.limits, model=self.place.model, version=__version__,
            store=None if database is None else database.label, here=request.url.path,
            static=_address, asked=asked_html,
        )  # fmt: skip
        return Response(html, status, media_type="text/html; charset=utf-8")


_TEXTS = (
    ("formula", "Formula", "CaTiO3"),
    ("elements", "With elements", "Ca, O"),
    ("without_elements", "Without elements", "Pb, Hg"),
    ("only_elements", "Only of elements", "Ca, Ti, O"),
    ("space_group", "Space group found", "221 or Pm-3m"),
    ("anonymous_formula", "Anonymous formula", "ABC3"),
    ("chemsys", "Chemical system", "Ca-O-Ti"),
    ("num_elements", "Number of elements", "3 or 2:4"),
    ("num_sites", "Atoms in the primitive cell", "5 or 2:20"),
    ("run", "Run", "name or uuid"),
)
_FLAGS = (
    ("valid", "Valid"), ("success", "As asked for"), ("stable", "Stable"),
    ("metastable", "Metastable"), ("novel", "Novel"), ("unique", "Unique"),
    ("relaxed", "Relaxed"),
)  # fmt: skip
_RANGES = (
    ("energy_above_hull", "Above the hull, eV/atom", ":0.1"),
    ("formation_energy_per_atom", "Formation energy, eV/atom", ":0"),
    ("band_gap", "Band gap, eV", "1:3"),
    ("density", "Density, g/cm³", "3:5"),
)
_SORTS = (
    ("energy_above_hull", "energy above the hull"),
    ("formation_energy_per_atom", "formation energy"),
    ("density", "density"),
    ("num_sites", "atoms in the primitive cell"),
    ("created_at", "time"),
)


def _pager(fields: Mapping[str, str], search: Search, pages: int) -> dict[str, str | None]:
    """Return the addresses of the pages before and after."""
    steps = {"previous": search.page - 1, "next": search.page + 1}
    return {
        name: urlencode({**fields, "page": page}) if 1 <= page <= pages else None
        for name, page in steps.items()
    }


def _fields(body: bytes, content_type: str) -> dict[str, Any]:
    """Read a form or a JSON object.

    Raises
    ------
    ValueError
        If it is neither, or a field comes twice; one line.
    """
    kind = content_type.partition(";")[0].strip().lower()
    try:
        text = body.decode("utf-8")
        if kind == "application/json":
            document = json.loads(text)
            if not isinstance(document, dict):
                raise ValueError("a question is a JSON object")
            return document
        if kind == "application/x-www-form-urlencoded":
            pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=20)
            if len({name for name, _ in pairs}) < len(pairs):
                raise ValueError("a field is given twice")
            return dict(pairs)
    except UnicodeDecodeError:
        raise ValueError("the question is not in UTF-8") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"the question is no JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError("the question is nested too deeply") from None
    raise ValueError("a question is a form (application/x-www-form-urlencoded) or JSON")


def _failures(run: Run) -> list[tuple[str, int]]:
    return [] if run.crystals is None else list(run.crystals.failures.items())


def _query_of(run: Run) -> str:
    """Return the address that fills the form with this question and the next seed."""
    question = run.question
    given = {
        name: _written(getattr(question.condition, name)) for name in questions.CONDITION_FIELDS
    }
    seed = min(question.seed + 1, questions.MAX_SEED)
    more = {"samples": str(question.samples), "seed": str(seed)}
    return urlencode({name: value for name, value in (given | more).items() if value})


def _written(value: Any) -> str:
    from crystalicl_jobflow.schemas.ranges import range_text

    if value is None:
        return ""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return value if isinstance(value, str) else range_text(value)


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _line(request: Request, status: int, line: str) -> Response:
    """Return an error as one line: as JSON, as a page, or as plain text."""
    line = show_controls(line)
    accept = request.headers.get("accept", "")
    if "application/json" in accept:
        return JSONResponse({"error": line}, status)
    if "text/html" in accept:
        context = {"line": line, "status": status, "version": __version__, "static": _address}
        html = template("error.html.j2", WEB).render(**context)
        return Response(html, status, media_type="text/html; charset=utf-8")
    return PlainTextResponse(f"{line}\n", status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _line(request, error.status_code, str(error.detail))


async def _full(request: Request, error: Exception) -> Response:
    return _line(request, 503, one_line(error))


async def _mistake(request: Request, error: Exception) -> Response:
    return _line(request, 400, redact(one_line(error, limit=500)))


async def _fault(request: Request, error: Exception) -> Response:
    return _line(request, 500, f"internal error: {type(error).__name__}; see the server's output")


def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in _STATIC:
        raise HTTPException(404, "there is no such file")
    file, room, kind = _STATIC[name]
    # the address holds the file's hash
    headers = {"cache-control": "private, max-age=31536000, immutable"}
    return Response(resource(file, room), media_type=kind, headers=headers)


def _address(name: str) -> Markup:
    """Return the address of a file, which changes with its content."""
    file, room, _ = _STATIC[name]
    digest = hashlib.sha256(resource(file, room).encode()).hexdigest()[:12]
    return Markup("/static/{}?v={}").format(name, digest)


def _cif(file: CrystalFile | None) -> Response:
    if file is None:
        raise HTTPException(404, "this candidate has no crystal")
    return _download(file.text().encode(), "chemical/x-cif", file.name)


def _download(content: bytes, kind: str, name: str) -> Response:
    plain = name.encode("ascii", errors="ignore").decode() or "download"
    disposition = f'attachment; filename="{plain}"'
    return Response(content, media_type=kind, headers={"content-disposition": disposition})


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"

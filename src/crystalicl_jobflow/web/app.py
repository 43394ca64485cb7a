"""The pages and their addresses."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from crystalicl_jobflow.candidates.shown import CrystalFile
from crystalicl_jobflow.utils.messages import counted, one_line, show_controls
from crystalicl_jobflow.web import questions
from crystalicl_jobflow.web.cards import Gallery, generated_gallery
from crystalicl_jobflow.web.downloads import json_lines, zip_of
from crystalicl_jobflow.web.guard import Doorkeeping, Guard
from crystalicl_jobflow.web.place import Place
from crystalicl_jobflow.web.questions import read_cif, read_question
from crystalicl_jobflow.web.responses import (
    cif_of,
    download,
    fault,
    full,
    http_error,
    line_of,
    mistake,
    page,
    static,
    wants_html,
)
from crystalicl_jobflow.web.store_pages import StorePages
from crystalicl_jobflow.web.work import FullError, Run, State

_CIFS_AT_ONCE = 2


def build_app(place: Place, doors: Doorkeeping | None = None) -> Guard:
    """Return the application that a server of ASGI serves.

    Parameters
    ----------
    place
        What the pages show and ask.
    doors
        Who may come in; None for everybody who calls this server by an address.
    """
    pages, stored = _Pages(place), StorePages(place)
    routes = [
        Route("/", pages.front),
        Route("/static/{name}", static),
        Route("/loading", pages.loading),
        Route("/cif", pages.cif, methods=["POST"]),
        Route("/runs", pages.ask, methods=["POST"]),
        Route("/runs/{run_id}", pages.run),
        Route("/runs/{run_id}/state", pages.state),
        Route("/runs/{run_id}/stop", pages.stop, methods=["POST"]),
        Route("/runs/{run_id}/cifs.zip", pages.run_zip),
        Route("/runs/{run_id}/candidates.jsonl", pages.run_lines),
        Route("/runs/{run_id}/{number:int}.cif", pages.run_cif),
        Route("/store", stored.found),
        Route("/store/cifs.zip", stored.as_zip),
        Route("/store/candidates.jsonl", stored.lines),
        Route("/store/{candidate_id}.cif", stored.cif),
        Route("/store/{candidate_id}", stored.one),
    ]
    handlers: dict[Any, Any] = {
        HTTPException: http_error,
        FullError: full,
        ValueError: mistake,
        Exception: fault,
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
        return page(
            self.place, request, "front.html.j2", status, fields=fields, error=error, runs=runs,
            loading=self.place.work.loading,
        )  # fmt: skip

    def loading(self, _request: Request) -> Response:
        return JSONResponse({"loading": self.place.work.loading})

    async def ask(self, request: Request) -> Response:
        fields: dict[str, Any] = {}
        try:
            fields = _fields(await request.body(), request.headers.get("content-type", ""))
            run = await run_in_threadpool(self._asked, fields)
        except (ValueError, FullError) as error:
            status = 503 if isinstance(error, FullError) else 400
            if wants_html(request):
                line = one_line(error, limit=500)
                return await run_in_threadpool(self._front, request, fields, line, status)
            return line_of(request, status, one_line(error, limit=500))
        address = f"/runs/{run.run_id}"
        if wants_html(request):
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
        return page(
            self.place, request, "run.html.j2",
            run=run, state=self._state(run), gallery=gallery, again=_query_of(run),
            num_valid=sum(item.valid for item in run.crystals or ()),
            failures=_failures(run),
        )  # fmt: skip

    def state(self, request: Request) -> Response:
        return JSONResponse(self._state(self._run(request)))

    def _state(self, run: Run) -> dict[str, Any]:
        """Return how far a run is, in words and as figures."""
        before = self.place.work.before(run)
        waiting = f"Waiting: {counted(before, 'question')} before this one"
        if self.place.work.loading:
            waiting = "Loading the model" + (
                f"; {waiting[0].lower()}{waiting[1:]}" if before else ""
            )
        working = f"{run.done} of {counted(run.total, 'text')} written"
        if run.why_stop:
            working = "Stopping after the text that is being written"
        told = {
            State.WAITING: waiting,
            State.WORKING: working,
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
        if wants_html(request):
            return RedirectResponse(f"/runs/{run.run_id}", status_code=303)
        return JSONResponse(self._state(run))

    def run_zip(self, request: Request) -> Response:
        crystals = self._crystals(request)
        valid = [CrystalFile.of_candidate(item.candidate) for item in crystals if item.valid]
        return download(zip_of(valid), "application/zip", "crystals.zip")

    def run_lines(self, request: Request) -> Response:
        candidates = self._crystals(request).candidates
        lines = json_lines(item.model_dump(mode="json") for item in candidates)
        return download(lines, "application/x-ndjson", "candidates.jsonl")

    def run_cif(self, request: Request) -> Response:
        crystals, number = self._crystals(request), int(request.path_params["number"])
        if not 1 <= number <= len(crystals):
            raise HTTPException(404, f"this answer has {counted(len(crystals), 'crystal')}")
        return cif_of(CrystalFile.of_candidate(crystals[number - 1].candidate))

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

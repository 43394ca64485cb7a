"""The pages of the store: past runs by the filters of a query, and one candidate."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from crystalicl_jobflow.report.wording import words
from crystalicl_jobflow.schemas import FailureReason
from crystalicl_jobflow.utils.messages import one_line
from crystalicl_jobflow.utils.redaction import redact
from crystalicl_jobflow.web import questions
from crystalicl_jobflow.web.cards import stored_gallery
from crystalicl_jobflow.web.database import Database
from crystalicl_jobflow.web.downloads import json_lines, stored_files, zip_of
from crystalicl_jobflow.web.place import Place
from crystalicl_jobflow.web.questions import Search, read_search
from crystalicl_jobflow.web.responses import cif_of, download, line_of, page, wants_html
from crystalicl_jobflow.web.work import FullError

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


class StorePages:
    """The handlers; they run in threads.

    Parameters
    ----------
    place
        What the pages show and ask.
    """

    def __init__(self, place: Place) -> None:
        self.place = place

    def found(self, request: Request) -> Response:
        """Return what a search finds, page by page."""
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
            if not wants_html(request):
                return line_of(request, status, error)
            search = Search(
                questions.CandidateQuery(), fields={k: v[:200] for k, v in fields.items()}
            )
        kept = dict(search.fields or {})
        pages = -(-total // self.place.limits.shown)
        return page(
            self.place, request, "store.html.j2", status,
            gallery=stored_gallery(found, self.place.limits), total=total, search=search,
            error=error, fields=kept, query=urlencode(kept), pages=pages,
            page_query=_pager(kept, search, pages),
            reasons=[reason.value for reason in FailureReason], texts=_TEXTS, flags=_FLAGS,
            ranges=_RANGES, sorts=_SORTS, words=words,
            first=self.place.limits.shown * (search.page - 1) + 1, count=len(found),
        )  # fmt: skip

    def one(self, request: Request) -> Response:
        """Return one candidate with its whole document."""
        document = self._document(request)
        gallery = stored_gallery([document], self.place.limits)
        gallery.cards[0].more = None
        whole = json.dumps(document, indent=1, default=str, ensure_ascii=False)
        return page(self.place, request, "stored.html.j2", gallery=gallery, whole=whole[:20_000],
                          cut=len(whole) > 20_000)  # fmt: skip

    def as_zip(self, request: Request) -> Response:
        """Return the crystals of a search as CIF files."""
        documents = self._database().all(self._search(request))
        return download(zip_of(stored_files(documents)), "application/zip", "crystals.zip")

    def lines(self, request: Request) -> Response:
        """Return the documents of a search, one a line."""
        lines = json_lines(self._database().all(self._search(request)))
        return download(lines, "application/x-ndjson", "candidates.jsonl")

    def cif(self, request: Request) -> Response:
        """Return one candidate's crystal."""
        (file,) = stored_files([self._document(request)])
        return cif_of(file)

    def _search(self, request: Request) -> Search:
        pairs = request.query_params.multi_items()
        if len({name for name, _ in pairs}) < len(pairs):
            raise ValueError("a filter is given twice")
        return read_search(dict(pairs), self.place.limits)

    def _document(self, request: Request) -> dict[str, Any]:
        document = self._database().one(request.path_params["candidate_id"][:100])
        if document is None:
            raise HTTPException(404, "the store has no such candidate")
        return document

    def _database(self) -> Database:
        if self.place.database is None:
            raise HTTPException(404, "this server has no store: start it with --store")
        return self.place.database


def _pager(fields: Mapping[str, str], search: Search, pages: int) -> dict[str, str | None]:
    """Return the addresses of the pages before and after."""
    steps = {"previous": search.page - 1, "next": search.page + 1}
    return {
        name: urlencode({**fields, "page": page}) if 1 <= page <= pages else None
        for name, page in steps.items()
    }

"""The page: one HTML file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from markupsafe import Markup

from crystalicl_jobflow.candidates.shown import CrystalFile
from crystalicl_jobflow.report import sections, wording
from crystalicl_jobflow.report.best_candidates import ORDER, best_candidates, best_first
from crystalicl_jobflow.report.crystal_view import VIEWER_SCRIPTS, stage_html
from crystalicl_jobflow.report.different_crystals import valid_crystals
from crystalicl_jobflow.report.opening import opening
from crystalicl_jobflow.report.pattern_chart import pattern_picture
from crystalicl_jobflow.report.picture import gradients_svg
from crystalicl_jobflow.report.provenance import provenance
from crystalicl_jobflow.report.reference import (
    Reference,
    read_reference,
    reference_name,
    with_novelty,
)
from crystalicl_jobflow.report.rendering import content_policy, resource, template
from crystalicl_jobflow.report.run import Run, read_run
from crystalicl_jobflow.report.scene import crystal_scene, viewer_data
from crystalicl_jobflow.report.stability import NOT_JUDGED, STABILITY, stability
from crystalicl_jobflow.utils.files import write_text
from crystalicl_jobflow.utils.versions import __version__

REPORT_FILE = "report.html"
"""Name of the page where none is given."""

TOP = 12
"""Crystals shown in three dimensions."""

MOST_TOP = 60
"""Most crystals that a page shows: beyond, it grows slow to read and to open."""


def write_report(
    folder: str | Path,
    *,
    reference: str | Path | None = None,
    out: str | Path | None = None,
    top: int = TOP,
    progress: Callable[[int, int | None], None] | None = None,
) -> Path:
    """Write the report of a run.

    Parameters
    ----------
    folder
        What a run left, see :func:`~crystalicl_jobflow.report.read_run`.
    reference
        Known crystals: a CSV with CIFs, a store, … The run's distributions are drawn beside
        theirs, and its crystals compared with them where the run itself did not look for known
        ones.
    out
        The file; by default ``report.html`` in the folder.
    top
        Crystals shown in three dimensions.
    progress
        Called with (read, of) while the reference is read.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    ValueError
        If the folder holds no candidates, or a file cannot be read; one line.
    """
    run = read_run(folder)
    known = None
    if reference is not None:
        formulas = {item.formula_pretty for item in run.candidates if item.formula_pretty}
        known = read_reference(reference, formulas=formulas, progress=progress)
    path = Path(folder) / REPORT_FILE if out is None else Path(out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, build_page(run, reference=known, top=top))
    return path


def build_page(run: Run, *, reference: Reference | None = None, top: int = TOP) -> str:
    """Return the page of a run as HTML.

    Everything is within the page: styles, pictures, the viewer. A content security policy
    lets no request leave, and only the page's own scripts run. All texts are escaped, and
    their control characters written out.

    Parameters
    ----------
    run
        The run.
    reference
        Known crystals, see :func:`write_report`.
    top
        Crystals shown in three dimensions, at most :data:`MOST_TOP`.
    """
    if reference is not None:
        run = with_novelty(run, reference)
    crystals = valid_crystals(run, best_first(run))
    places = best_candidates(run, max(0, min(top, MOST_TOP)), crystals)
    scenes = [crystal_scene(run.candidates[place].structure) for place in places]  # type: ignore[arg-type]
    elements = sorted({symbol for scene in scenes for symbol in scene.elements})
    viewer = resource(VIEWER_SCRIPTS[0]) if scenes else ""
    script = resource(VIEWER_SCRIPTS[1])
    scripts = [text for text in (viewer, script) if text]
    context: dict[str, Any] = {
        "run": run,
        "title": f"Report of {run.name}",
        "policy": content_policy(scripts),
        "style": Markup(resource("templates/page.css")),
        "viewer": Markup(viewer),
        "script": Markup(script),
        "license": resource("vendor/3Dmol-LICENSE.txt") if scenes else "",
        "opening": opening(run, crystals, reference),
        "compared_with": reference_name(run),
        "headline": sections.headline(run),
        "rate_groups": sections.rate_groups(run),
        "figures": sections.figures(run),
        "conditions": sections.conditions(run),
        "asked": sections.asked_for(run),
        "reference": reference,
        "distributions": sections.distributions(run, reference),
        "num_valid": sum(candidate.valid for candidate in run.candidates),
        "cards": [
            {
                "place": place,
                "candidate": run.candidates[place],
                "stage": stage_html(
                    scene,
                    number,
                    title=run.candidates[place].formula_pretty or "",
                    label=_in_words(run, place),
                ),
                "marks": sections.marks(run, place),
                "times_drawn": len((crystals or {}).get(place, ())),
                "cif": _cif_link(run, place),
            }
            for number, (place, scene) in enumerate(zip(places, scenes, strict=True))
        ],
        "stability": stability(run),
        "pattern": pattern_picture(run, places),
        "over_judged": STABILITY,
        "not_judged": NOT_JUDGED,
        "energies": any(row.get("relaxed") for row in run.columns),
        "order": ORDER,
        "gradients": gradients_svg(elements),
        "data": viewer_data(scenes),
        "failures": sections.failures(run),
        "columns": sections.listed_columns(run),
        "max_rows": sections.MAX_ROWS,
        "provenance": provenance(run),
        "number": wording.number,
        "pretty": wording.pretty_symbol,
        "formula": wording.formula_html,
        "cell_text": sections.cell_text,
        "words": wording.words,
        "version": __version__,
        "written": datetime.now(UTC),
    }
    return str(template("page.html.j2").render(context))


def _in_words(run: Run, place: int) -> str:
    candidate = run.candidates[place]
    group = f", space group {candidate.space_group}" if candidate.space_group else ""
    return f"Unit cell of {candidate.formula_pretty}{group}"


def _cif_link(run: Run, place: int) -> tuple[str, str]:
    """Return a file name and the crystal's CIF as a ``data:`` address."""
    file = CrystalFile.of_candidate(run.candidates[place])
    assert file is not None
    content = base64.b64encode(file.text().encode()).decode()
    return file.name, f"data:chemical/x-cif;base64,{content}"

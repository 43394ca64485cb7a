"""One crystal as a page of its own, and as a picture: what a notebook cell shows."""

from __future__ import annotations

from markupsafe import Markup
from pymatgen.core import Structure

from crystalicl_jobflow.report.picture import crystal_svg, gradients_svg
from crystalicl_jobflow.report.rendering import content_policy, resource, template
from crystalicl_jobflow.report.scene import Scene, crystal_scene, viewer_data
from crystalicl_jobflow.utils.messages import show_controls

VIEWER_SCRIPTS = ("vendor/3Dmol-min.js", "templates/page.js")
"""Scripts, in this order, of a page on which crystals turn; they read ``#data``."""


def stage_html(scene: Scene, place: int, *, title: str, label: str | None = None) -> Markup:
    """Return where a crystal turns: its still picture, and the legend of its elements.

    The page has to hold :func:`gradients_svg` of all elements, :func:`viewer_data` of all
    scenes in ``#data``, and the :data:`VIEWER_SCRIPTS`.

    Parameters
    ----------
    scene
        What is drawn.
    place
        The scene's number on the page, from 0.
    title
        The crystal in words; escaped here.
    label
        The still picture in words, where that is not the title.
    """
    legend = Markup("").join(
        Markup(
            '<li><svg viewBox="0 0 12 12" aria-hidden="true">'
            '<circle cx="6" cy="6" r="5.5" fill="url(#atom-{0})"/></svg>{0}</li>'
        ).format(symbol)
        for symbol in sorted(set(scene.elements))
    )
    return Markup(
        '<div class="stage" data-scene="{}" tabindex="0" role="application"'
        ' aria-roledescription="3D view" aria-label="{}: arrow keys turn the crystal">{}</div>\n'
        '<ul class="legend" aria-label="Colours of the elements">{}</ul>'
    ).format(
        place,
        show_controls(title),
        crystal_svg(scene, label=show_controls(label or title)),
        legend,
    )


def build_crystal_view(structure: Structure, *, title: str) -> str:
    """Return a page with a crystal that turns in three dimensions.

    Parameters
    ----------
    structure
        The crystal, in the cell that is to be drawn.
    title
        The crystal in words; escaped here.
    """
    scene = crystal_scene(structure)
    elements = sorted(set(scene.elements))
    scripts = [resource(name) for name in VIEWER_SCRIPTS]
    context = {
        "title": title,
        "policy": content_policy(scripts),
        "style": Markup(resource("templates/page.css")),
        "viewer": Markup(scripts[0]),
        "script": Markup(scripts[1]),
        "stage": stage_html(scene, 0, title=title),
        "gradients": gradients_svg(elements),
        "data": viewer_data([scene]),
    }
    return str(template("crystal.html.j2").render(context))

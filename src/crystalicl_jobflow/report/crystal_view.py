"""One crystal as a page of its own, and as a picture: what a notebook cell shows."""

from __future__ import annotations

from markupsafe import Markup
from pymatgen.core import Structure

from crystalicl_jobflow.report.picture import crystal_svg, gradients_svg
from crystalicl_jobflow.report.rendering import content_policy, resource, template
from crystalicl_jobflow.report.scene import crystal_scene, viewer_data


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
    scripts = [resource("vendor/3Dmol-min.js"), resource("templates/page.js")]
    context = {
        "title": title,
        "policy": content_policy(scripts),
        "style": Markup(resource("templates/page.css")),
        "viewer": Markup(scripts[0]),
        "script": Markup(scripts[1]),
        "picture": crystal_svg(scene, label=title),
        "gradients": gradients_svg(elements),
        "elements": elements,
        "data": viewer_data([scene]),
    }
    return str(template("crystal.html.j2").render(context))

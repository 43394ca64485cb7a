"""How Sphinx builds these pages: ``sphinx-build -W --keep-going -n docs docs/_build``.

Nothing is fetched: names of other projects are plain text, unless CRYSTALICL_DOCS_INTERSPHINX=1
allows their inventories to be asked for.
"""

from __future__ import annotations

import contextlib
import importlib
import inspect
import os
import re
from importlib.metadata import version as installed_version
from typing import Any

from sphinx.util.nodes import make_refnode

PACKAGE = "crystalicl_jobflow"
ROOMS = ("crystalicl_jobflow.energies", "crystalicl_jobflow.generation.constraints")
"""Rooms within rooms that have a page of their own."""


def _documented_below() -> dict[str, list[str]]:
    """Return by room what it shows, but a room within it documents."""
    shown = {}
    for below in ROOMS:
        room = importlib.import_module(below.rpartition(".")[0])
        origins = {name: getattr(getattr(room, name), "__module__", "") for name in room.__all__}
        shown[room.__name__] = [n for n, origin in origins.items() if origin.startswith(below)]
    return shown


project = "crystalicl-jobflow"
author = "crystalicl-jobflow developers"
copyright = author  # noqa: A001 - the name that Sphinx reads
version = release = installed_version("crystalicl-jobflow")

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
exclude_patterns = ["jupyter_execute", "_build", "**.ipynb_checkpoints"]
templates_path = ["_templates"]

# --- pages -------------------------------------------------------------------------------

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
# a block of JSON or YAML may leave something out ("…"), which no lexer accepts
suppress_warnings = ["misc.highlighting_failure"]
copybutton_exclude = ".linenos, .gp, .go"

# --- notebooks: run once, and shown with what they print; what is unchanged is not run again ---

nb_execution_mode = "cache"
nb_execution_cache_path = os.environ.get("CRYSTALICL_NOTEBOOK_CACHE", "")
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_merge_streams = True
# warnings of libraries; an error ends the build
nb_output_stderr = "remove"
# bars of progress, which need a browser that asks the kernel
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]

# --- reference ---------------------------------------------------------------------------

autosummary_generate = True
autosummary_ignore_module_all = False
autosummary_imported_members = True
autosummary_context = {"documented_below": _documented_below()}
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 90
default_role = "literal"

nitpicky = True
# What other projects define has no page here, and parameters' types are prose in NumPy docstrings.
nitpick_ignore_regex = [(r"py:.*", r"(?!crystalicl_jobflow\.).*")]

if os.environ.get("CRYSTALICL_DOCS_INTERSPHINX"):
    extensions.append("sphinx.ext.intersphinx")
    intersphinx_mapping = {
        "python": ("https://docs.python.org/3", None),
        "jobflow": ("https://materialsproject.github.io/jobflow", None),
        "maggma": ("https://materialsproject.github.io/maggma", None),
        "pymatgen": ("https://pymatgen.org", None),
    }

# --- looks -------------------------------------------------------------------------------

html_theme = "pydata_sphinx_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["crystalicl.css"]
html_theme_options = {
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 6,
    "navbar_end": ["theme-switcher"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "pygments_light_style": "a11y-high-contrast-light",
    "pygments_dark_style": "a11y-high-contrast-dark",
}
# pages without pages below them have nothing to show at the side
html_sidebars = {"index": [], "cli": [], "errors": []}
html_show_sourcelink = False
html_copy_source = False


def _fields(obj: Any) -> dict[str, Any]:
    """Return the fields of a pydantic document by name, inherited ones too."""
    return getattr(obj, "model_fields", None) or {} if inspect.isclass(obj) else {}


def _describe_fields(
    app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Append the fields of a pydantic document, which say themselves what they hold."""
    kinds: dict[str, Any] = {}
    for cls in reversed(getattr(obj, "__mro__", ())):
        kinds |= vars(cls).get("__annotations__", {})
    for field, info in _fields(obj).items():
        lines.extend(["", f".. attribute:: {field}", "   :no-index:"])
        if isinstance(kinds.get(field), str):
            lines.append(f"   :type: {kinds[field]}")
        lines.extend(["", f"   {info.description or ''}"])


def _shorten_signature(
    app: Any, what: str, name: str, obj: Any, options: Any, signature: str | None, returns: Any
) -> tuple[str, Any] | None:
    """Leave out what says nothing: a document's fields, which follow, and made-up defaults."""
    if _fields(obj):
        return "", None
    if signature and "<" in signature:
        # "<factory>" and the like cannot be parsed, and all of the signature would be raw text
        return re.sub(r"<[^<>]*>", "...", signature), returns
    return None


def _skip_fields(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave out what pydantic adds to every document, and fields, which are described."""
    if what == "class" and name.startswith("model_"):
        return True
    return None


def _resolve_own(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Link a name of this package to where it is documented, whatever module defines it.

    A name that exists but is an inner matter of its room stays text; one that does not exist
    is left to the warning.
    """
    target = str(node.get("reftarget", ""))
    if node.get("refdomain") != "py" or not target.startswith(f"{PACKAGE}."):
        return None
    module, attributes = target, []
    while module:
        with contextlib.suppress(ImportError):
            found = importlib.import_module(module)
            break
        module, _, last = module.rpartition(".")
        attributes.insert(0, last)
    for name in attributes:
        found = getattr(found, name, inspect.Parameter.empty)
    if found is inspect.Parameter.empty:
        return None
    domain = env.get_domain("py")
    same = [n for n in domain.objects if n.rpartition(".")[2] == target.rpartition(".")[2]]
    for name in same:
        if name != target and name.startswith(f"{PACKAGE}."):
            place = domain.objects[name]
            return make_refnode(
                app.builder, node["refdoc"], place.docname, place.node_id, contnode, name
            )
    return contnode


def setup(app: Any) -> None:
    """Connect the hooks above."""
    app.connect("missing-reference", _resolve_own)
    app.connect("autodoc-process-signature", _shorten_signature)
    app.connect("autodoc-process-docstring", _describe_fields)
    app.connect("autodoc-skip-member", _skip_fields)

"""Public names of a package that are imported when they are first used: importing it is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from importlib import import_module


def lazy_names(package: str, places: Mapping[str, str]) -> Callable[[str], object]:
    """Return a package's ``__getattr__``.

    Parameters
    ----------
    package
        Its own ``__name__``.
    places
        Public name → module, seen from ``crystalicl_jobflow``, with the name there after a colon
        where it is another.
    """

    def find(name: str) -> object:
        if name not in places:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module, _, there = places[name].partition(":")
        found = getattr(import_module(f"crystalicl_jobflow.{module}"), there or name)
        setattr(sys.modules[package], name, found)
        return found

    return find

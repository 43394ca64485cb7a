"""Versions of packages, for provenance."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def installed_versions(names: Iterable[str]) -> dict[str, str]:
    """Return the versions of packages by name, of those of them that are installed."""
    found = {name: _version(name) for name in names}
    return {name: number for name, number in found.items() if number is not None}


@cache
def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


__version__ = _version("crystalicl-jobflow") or "0+unknown"
"""Version of this package; unknown in a source tree that was never installed."""

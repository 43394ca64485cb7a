"""Crystals of the Materials Project through its API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from crystalicl_jobflow.datasets.records import Record, known_properties, naive_utc
from crystalicl_jobflow.utils.messages import first_line


class MaterialsProjectSource:
    """Crystals of the Materials Project through mp-api (``crystalicl-jobflow[mp]``).

    Parameters
    ----------
    criteria
        Keyword arguments of ``MPRester.materials.summary.search``.
    rester
        An open ``MPRester``; by default one is opened with the key in ``MP_API_KEY``.
    """

    _FIELDS = (
        "material_id", "structure", "formation_energy_per_atom", "energy_above_hull",
        "band_gap", "last_updated",
    )  # fmt: skip

    def __init__(self, criteria: Mapping[str, Any] | None = None, rester: Any = None) -> None:
        self.criteria = dict(criteria or {})
        self.rester = rester
        self.name = "materials-project"

    def total(self) -> None:
        """Return None: the number is not known before the search."""

    def records(self) -> Iterator[Record]:
        """Yield a record per material.

        Raises
        ------
        ValueError
            If mp-api is missing, the key is refused or a criterion is not known.
        """
        rester = self.rester if self.rester is not None else _open_rester()
        try:
            found = rester.materials.summary.search(**self.criteria, fields=list(self._FIELDS))
        except Exception as error:  # mp-api raises many kinds; all concern the user's request
            raise ValueError(f"Materials Project: {first_line(error)}") from None
        for item in found:
            document = _as_mapping(item, self._FIELDS)
            crystal = document.get("structure")
            updated = document.get("last_updated")
            yield Record(
                str(document.get("material_id")),
                crystal,
                known_properties(document),
                None if crystal is not None else "the material holds no structure",
                naive_utc(updated) if isinstance(updated, datetime) else None,
            )


def _open_rester() -> Any:
    try:
        from mp_api.client import MPRester
    except ImportError:
        raise ValueError(
            "source mp: needs mp-api; install it with: pip install 'crystalicl-jobflow[mp]'"
        ) from None
    try:
        return MPRester()
    except Exception as error:  # a missing or malformed key, no network
        raise ValueError(f"Materials Project: {first_line(error)}") from None


def _as_mapping(item: Any, names: tuple[str, ...]) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return dict(item)
    return {name: getattr(item, name, None) for name in names}


def parse_criteria(text: str) -> dict[str, Any]:
    """Read ``name=value&name=value`` as search criteria of the Materials Project.

    A value ``low:high`` becomes a range, a comma-separated one a list, ``true`` and
    ``false`` booleans, numbers numbers.

    Raises
    ------
    ValueError
        If a part has no ``=``.
    """
    criteria: dict[str, Any] = {}
    for part in filter(None, text.split("&")):
        name, equals, value = part.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"source mp:{text}: {part!r} is not of the form name=value")
        criteria[name.strip()] = _value(value.strip())
    return criteria


def _value(text: str) -> Any:
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    if ":" in text:
        low, _, high = text.partition(":")
        return tuple(_value(bound) if bound else None for bound in (low, high))
    if "," in text:
        return [_value(item) for item in text.split(",")]
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

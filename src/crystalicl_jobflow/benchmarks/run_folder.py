"""A run in parts: each is written as it is done, so a killed run continues where it was."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from crystalicl_jobflow.schemas import Evaluation
from crystalicl_jobflow.schemas.benchmark import SamplePart
from crystalicl_jobflow.utils.files import replacing

PARTS = "parts"
RUN = "run.json"
METRICS = "metrics.json"
CANDIDATES = "candidates.jsonl"
STRUCTURES = "structures.csv"

TEXTS_PER_PART = 512
"""Texts written between two savings: large enough that the draining of the last batch of
a part costs little, small enough that a kill costs a minute."""

ItemT = TypeVar("ItemT")


def part_size(texts_per_condition: int, *, batch_size: int = 32) -> int:
    """Return how many conditions a part holds.

    Parameters
    ----------
    texts_per_condition
        Draws for each condition.
    batch_size
        Texts written at once: a part is many batches, so that few rows run alone.
    """
    return max(1, max(TEXTS_PER_PART, 16 * batch_size) // texts_per_condition)


@dataclass
class RunFolder:
    """The files of one run, and the settings that they belong to.

    Parameters
    ----------
    folder
        Where to; made when something is written.
    settings
        All that decides the results, as plain JSON data. A folder that holds results of
        other settings is refused.

    Raises
    ------
    ValueError
        If the folder belongs to another run; one line that names what differs.
    """

    folder: Path
    settings: dict[str, Any]

    def __post_init__(self) -> None:
        self.settings = json.loads(json.dumps(self.settings))
        plan = self._read(RUN)
        self.resumed = plan is not None
        if plan is not None:
            self._compare(plan.get("settings", {}))

    @classmethod
    def begun(cls, folder: Path) -> RunFolder:
        """Return the folder of a run that was begun, with the settings written there.

        Raises
        ------
        ValueError
            If no run was begun there; one line.
        """
        path = folder / RUN
        if not path.is_file():
            raise ValueError(f"{folder} holds no run: {RUN} is missing")
        return cls(folder, json.loads(path.read_text(encoding="utf-8"))["settings"])

    @property
    def finished(self) -> dict[str, Any] | None:
        """The metrics of this run where it is done, else None."""
        return self._read(METRICS) if self.resumed else None

    def begin(self, conditions_per_part: int) -> int:
        """Write the settings down; return the size of the parts.

        The size with which the run was begun wins: the parts that are there have it.
        """
        plan = self._read(RUN)
        if plan is not None:
            return int(plan["conditions_per_part"])
        plan = {"conditions_per_part": conditions_per_part, "settings": self.settings}
        self._write(self.folder / RUN, json.dumps(plan, indent=2) + "\n")
        return conditions_per_part

    def run(
        self,
        items: Sequence[ItemT],
        size: int,
        work: Callable[[Sequence[ItemT], int], SamplePart],
        *,
        resumed: Callable[[int], None] | None = None,
    ) -> list[SamplePart]:
        """Do the parts that are not there yet; return all.

        Parameters
        ----------
        items
            What is asked for, in order.
        size
            Items in a part.
        work
            Makes a part of some items; also given the number of items before them.
        resumed
            Called with the number of items whose part was read from the folder.
        """
        parts = []
        for number, start in enumerate(range(0, len(items), size)):
            members = items[start : start + size]
            part, found = self.part(number, partial(work, members, start))
            if found and resumed is not None:
                resumed(len(members))
            parts.append(part)
        return parts

    def part(self, number: int, work: Callable[[], SamplePart]) -> tuple[SamplePart, bool]:
        """Read a part, or make it and write it down.

        Parameters
        ----------
        number
            Number of the part, from 0.
        work
            Makes it.

        Returns
        -------
        tuple
            The part, and whether it was there.
        """
        path = self.folder / PARTS / f"{number:05d}.json"
        if path.is_file():
            return SamplePart.model_validate_json(path.read_text(encoding="utf-8")), True
        part = work()
        self._write(path, part.model_dump_json())
        return part, False

    def finish(
        self,
        parts: Sequence[SamplePart],
        metrics: Mapping[str, Any],
        evaluation: Evaluation | None = None,
    ) -> None:
        """Write candidates, the table of structures, and last the metrics; drop the parts.

        Parameters
        ----------
        parts
            All parts of the run.
        metrics
            Content of ``metrics.json``.
        evaluation
            Results of each structure, for the table; None writes none.
        """
        lines = (
            candidate.model_dump_json() + "\n" for part in parts for candidate in part.candidates
        )
        self._write(self.folder / CANDIDATES, lines)
        if evaluation is not None:
            from crystalicl_jobflow.evaluation import structures_table

            table = structures_table(evaluation)
            self._write(self.folder / STRUCTURES, table.to_csv(index=False))
        self._write(self.folder / METRICS, json.dumps(metrics, indent=2, default=str) + "\n")
        for path in sorted((self.folder / PARTS).glob("[0-9]*.json")):
            path.unlink()
        if (self.folder / PARTS).is_dir():
            (self.folder / PARTS).rmdir()

    def _compare(self, written: Mapping[str, Any]) -> None:
        names = [
            name
            for name in {**written, **self.settings}
            if written.get(name) != self.settings.get(name)
        ]
        if names:
            told = "; ".join(
                f"{name}: {_short(written.get(name))} there, {_short(self.settings.get(name))} now"
                for name in names[:3]
            )
            raise ValueError(
                f"{self.folder} holds a run of other settings ({told}): remove it or name"
                " another folder"
            )

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self.folder / name
        if not path.is_file():
            return None
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            raise ValueError(f"{path} is not JSON: remove the folder to begin anew") from None
        return document if isinstance(document, dict) else None

    @staticmethod
    def _write(path: Path, text: str | Any) -> None:
        """Write a file whole or not at all: a kill leaves no half of it."""
        with replacing(path) as beside, beside.open("w", encoding="utf-8") as file:
            file.writelines([text] if isinstance(text, str) else text)


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else text[:37] + "..."

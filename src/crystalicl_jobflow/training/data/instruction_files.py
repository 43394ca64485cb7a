"""Instruction sets as JSONL files, for other trainers and for `InstructionFile`.

One JSON object a line with the columns ``prompt`` and ``completion`` (the names with which trl and
axolotl train on the completion only), ``kind``, ``crystal_id``, ``formula``, ``demonstration_ids``
and ``examples``. Beside FILE.jsonl lies FILE.info.json: a description of how the set was made.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from crystalicl_jobflow.training.data.instruction import Instruction
from crystalicl_jobflow.training.data.instructions import InstructionSet
from crystalicl_jobflow.training.data.mixtures import Mixture, Variation, choose_formulas
from crystalicl_jobflow.utils.files import replacing, write_json

COLUMNS = (
    "prompt", "completion", "kind", "crystal_id", "formula", "demonstration_ids", "examples",
)  # fmt: skip
"""Columns of an instruction file."""


def info_path(path: str | Path) -> Path:
    """Return the path of an instruction file's description."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".jsonl") + ".info.json")


def export_instructions(
    instructions: InstructionSet,
    path: str | Path,
    *,
    epochs: int | None = None,
    more: Mapping[str, Any] | None = None,
    progress: Callable[[int, int | None], None] | None = None,
) -> dict[str, Any]:
    """Write an instruction set as JSONL.

    The same crystals, settings and seed give the same bytes in any order of the crystals.

    Parameters
    ----------
    instructions
        The set.
    path
        The file, ending in ``.jsonl``; replaced where it exists.
    epochs
        Number of consecutive draws of one instruction per crystal; None for the full
        set: every kind of instruction for each crystal, in shuffled order.
    more
        Further fields of the description.
    progress
        Called with (number of finished crystals, total number).

    Returns
    -------
    dict
        The description that is saved beside the file: counts by kind, settings, SHA-256.

    Raises
    ------
    ValueError
        If the file's name does not end in ``.jsonl`` or there are no epochs to write.
    TextError
        If a crystal cannot be written in the set's format.
    """
    path = Path(path)
    if path.suffix != ".jsonl":
        raise ValueError(f"an instruction file's name ends in .jsonl, not {path.name!r}")
    if epochs is not None and epochs < 1:
        raise ValueError(f"the number of epochs must be at least 1, got {epochs}")
    formulas = {
        item.demonstration.demonstration_id: item.demonstration.formula
        for item in instructions.crystals
    }
    lines = []
    kinds: Counter[str] = Counter()
    for instruction in _all(instructions, epochs, progress):
        kinds[instruction.kind] += 1
        row = _row(instruction, formulas[instruction.crystal_id])
        lines.append(json.dumps(row, ensure_ascii=False) + "\n")
    if epochs is None:
        # up to here the instructions about one crystal are consecutive
        random.Random(f"{instructions.seed}:shuffle").shuffle(lines)
    content = "".join(lines).encode("utf-8")
    info = {
        "instructions": len(lines),
        "kinds": dict(sorted(kinds.items())),
        "crystals": len(instructions.order(0)),
        "epochs": epochs,
        "text_format": instructions.text_format,
        "template": instructions.template,
        "seed": instructions.seed,
        "mixture": asdict(instructions.mixture),
        "weights": instructions.weights,
        **asdict(instructions.variation),
        "fallbacks": instructions.fallbacks,
        "sha256": hashlib.sha256(content).hexdigest(),
        **(more or {}),
    }
    with replacing(path) as beside:
        beside.write_bytes(content)
    write_json(info_path(path), info)
    return info


def _all(
    instructions: InstructionSet,
    epochs: int | None,
    progress: Callable[[int, int | None], None] | None,
) -> Iterator[Instruction]:
    rounds = [(0, index) for index in instructions.order(0)]
    if epochs is not None:
        rounds = [(e, index) for e in range(epochs) for index in instructions.order(e)]
    for done, (epoch, index) in enumerate(rounds, start=1):
        if epochs is None:
            yield from instructions.all_about(index)
        else:
            yield instructions.instruction(index, epoch)
        if progress is not None:
            progress(done, len(rounds))


def _row(instruction: Instruction, formula: str) -> dict[str, Any]:
    return {
        "prompt": instruction.prompt,
        "completion": instruction.response,
        "kind": instruction.kind,
        "crystal_id": instruction.crystal_id,
        "formula": formula,
        "demonstration_ids": list(instruction.demonstration_ids),
        "examples": [list(span) for span in instruction.examples],
    }


class InstructionFile:
    """Instructions from a JSONL file, for training like an `InstructionSet`.

    Every epoch is a pass over all lines, in an order of its own. Lines are read from the file as
    they are needed; ``prompt`` and ``completion`` are enough, so files of other tools can be used
    as well.

    Parameters
    ----------
    path
        The file.
    seed
        Seed of the orders; None for the seed in the file's description, or else 0.
    lines
        Use only these lines, counted from 0; None for all.

    Attributes
    ----------
    crystals
        Ids of the crystals of the instructions, sorted.
    text_format, template, mixture, weights, variation
        From the file's description; defaults if there is none.

    Raises
    ------
    ValueError
        If the file does not exist, is empty, or a line is not an instruction; one line that names
        it.
    """

    def __init__(
        self, path: str | Path, *, seed: int | None = None, lines: Iterable[int] | None = None
    ) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ValueError(f"{self.path} is not a file")
        self.info = _read_info(self.path)
        self.seed = int(self.info.get("seed", 0)) if seed is None else seed
        self.text_format = str(self.info.get("text_format", "sgs"))
        self.template = str(self.info.get("template", "crystalicl"))
        self.weights: dict[str, float] = dict(self.info.get("weights", {}))
        augment, substitute, made_up = (
            float(self.info.get(name, 0.0)) for name in ("augment", "substitute", "made_up")
        )
        aligned = bool(self.info.get("aligned", False))
        self.variation = Variation(augment, substitute, made_up, aligned)
        self.mixture = _read_mixture(self.info.get("mixture"))
        self._offsets: list[int] = []
        self._ids: list[str] = []
        self._formulas: list[str] = []
        self._scan()
        chosen = range(len(self._offsets)) if lines is None else sorted(set(lines))
        self._lines = list(chosen)
        if not self._lines:
            raise ValueError(f"{self.path} holds no instruction")
        self.crystals = sorted({self._ids[line] for line in self._lines})

    def __len__(self) -> int:
        return len(self._lines)

    def order(self, epoch: int) -> list[int]:
        """Return the lines of an epoch, shuffled."""
        order = list(self._lines)
        random.Random(f"{self.seed}:{epoch}:order").shuffle(order)
        return order

    def epoch(self, epoch: int) -> Iterator[Instruction]:
        """Yield every instruction once."""
        for line in self.order(epoch):
            yield self.instruction(line, epoch)

    def instruction(self, index: int, _epoch: int = 0) -> Instruction:
        """Return the instruction of a line; the same in every epoch."""
        with self.path.open("rb") as file:
            file.seek(self._offsets[index])
            return _instruction(json.loads(file.readline()), self.path, index + 1)

    def split(self, share: float, *, seed: int = 0) -> tuple[InstructionFile, list[Instruction]]:
        """Hold out the instructions about some formulas, as `load_split` does.

        Parameters
        ----------
        share
            Share of the formulas that is held out, within [0, 1).
        seed
            Seed of their choice.

        Returns
        -------
        training, validation
            In the training part no crystal with a held-out formula is the target. The validation
            part holds crystals only, no property prediction.

        Raises
        ------
        ValueError
            If the share is out of bounds, or nothing is left to learn from.
        """
        held_out = choose_formulas((self._formulas[line] for line in self._lines), share, seed=seed)
        kept = [line for line in self._lines if self._formulas[line] not in held_out]
        other = [line for line in self._lines if self._formulas[line] in held_out]
        validation = [self.instruction(line) for line in other]
        return (
            InstructionFile(self.path, seed=self.seed, lines=kept),
            [item for item in validation if item.kind != "property"],
        )

    def _scan(self) -> None:
        offset = 0
        with self.path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    try:
                        row = json.loads(line)
                    except ValueError:
                        raise ValueError(f"{self.path}, line {number}: no JSON") from None
                    instruction = _instruction(row, self.path, number)
                    self._offsets.append(offset)
                    self._ids.append(instruction.crystal_id)
                    # without a formula every line counts as a separate compound
                    self._formulas.append(str(row.get("formula") or instruction.crystal_id))
                offset += len(line)


def _instruction(row: Any, path: Path, number: int) -> Instruction:
    if not isinstance(row, dict):
        raise ValueError(f"{path}, line {number}: no JSON object")
    for name in ("prompt", "completion"):
        if not isinstance(row.get(name), str) or not row[name]:
            raise ValueError(f"{path}, line {number}: no text {name!r}")
    return Instruction(
        row["prompt"],
        row["completion"],
        str(row.get("kind") or "zero-shot"),
        str(row.get("crystal_id") or f"line {number}"),
        tuple(row.get("demonstration_ids") or ()),
        tuple((int(start), int(end)) for start, end in row.get("examples") or ()),
    )


def _read_info(path: Path) -> dict[str, Any]:
    place = info_path(path)
    if not place.is_file():
        return {}
    try:
        info = json.loads(place.read_text(encoding="utf-8"))
    except ValueError:
        raise ValueError(f"{place} is no JSON") from None
    if not isinstance(info, dict):
        raise ValueError(f"{place} is no description of an instruction file")
    return info


def _read_mixture(content: Mapping[str, Any] | None) -> Mixture:
    if not content:
        return Mixture()
    fields = dict(content)
    fields["shots"] = {int(name): share for name, share in fields.get("shots", {}).items()}
    return Mixture(**fields)

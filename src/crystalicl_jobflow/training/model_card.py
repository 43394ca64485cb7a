"""Model cards, written from the files of trainings."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crystalicl_jobflow.training.card_figures import (
    figure_table,
    measurement,
    read_document,
)
from crystalicl_jobflow.training.checkpoints import ARGUMENTS, read_log
from crystalicl_jobflow.training.progress import CURVE
from crystalicl_jobflow.training.provenance import DataFile, read_data
from crystalicl_jobflow.utils.files import write_text

COMMAND = "command.txt"
"""File of a training folder that holds the command which ran it."""

CARD = "MODEL_CARD.md"
"""The card in a training's folder."""

LORA_ARGUMENTS = "lora_args.json"
"""Base model and adapter of a tuning."""

SOURCES = """\
- Materials Project: A. Jain *et al.*, APL Materials 1, 011002 (2013), CC-BY 4.0, in the
  MP-20 split of CDVAE (T. Xie *et al.*, ICLR 2022) and in MPTS-52 (S. G. Baird *et al.*)
- WBM: H.-C. Wang *et al.*, npj Computational Materials 7, 12 (2021), CC-BY 4.0
- Alexandria: J. Schmidt *et al.*, Advanced Materials 35, 2210788 (2023), CC-BY 4.0
- OQMD: S. Kirklin *et al.*, npj Computational Materials 1, 15010 (2015), CC-BY 4.0
- JARVIS-DFT: K. Choudhary *et al.*, npj Computational Materials 6, 173 (2020)
- LeMat-Bulk: M. Siron *et al.*, 2025, CC-BY 4.0
- Perov-5: I. E. Castelli *et al.*, Energy & Environmental Science 5, 5814 and 9034 (2012)
- Carbon-24: C. J. Pickard, AIRSS data for carbon at 10 GPa, Materials Cloud (2020), CC-BY 4.0
"""


def model_card(
    trainings: Sequence[str | Path],
    *,
    metrics: Mapping[str, str | Path] | None = None,
    notes: str = "",
) -> str:
    """Write the model card from the files of trainings.

    Parameters
    ----------
    trainings
        Folders of trainings, in the order in which they ran; the adapter's last.
    metrics
        Label of a measurement, and its ``metrics.json`` of ``crystalicl benchmark``; or the
        folder of its repeats, whose counts are summed.
    notes
        Further Markdown, such as limits.

    Returns
    -------
    str
        Markdown.

    Raises
    ------
    ValueError
        If a folder or file is not what it should be.
    """
    folders = [Path(folder) for folder in trainings]
    parts = [
        "# The embedded model",
        "A small Llama-architecture language model with a LoRA adapter that writes crystals"
        " as SGS text for the prompts of CrystalICL. It ships so that everything runs on any"
        " machine; it is no match for a large model that was tuned the same way.",
        "## Training data\n\nThe training files of\n\n" + SOURCES,
        _data(folders),
        "## Training",
        *(_training(folder) for folder in folders),
        *_measured(folders, metrics, notes),
    ]
    return _join(parts)


def training_card(
    folder: str | Path,
    *,
    metrics: Mapping[str, str | Path] | None = None,
    notes: str = "",
) -> str:
    """Write the card of one training.

    Parameters
    ----------
    folder
        Of the training.
    metrics, notes
        As in `model_card`.

    Returns
    -------
    str
        Markdown, with the fields that the Hugging Face hub reads in front.

    Raises
    ------
    ValueError
        If a folder or file is not what it should be.
    """
    folder = Path(folder)
    arguments = read_document(folder / ARGUMENTS)
    tuned = _optional(folder / LORA_ARGUMENTS)
    text = arguments["text_format"].upper()
    if tuned:
        about = (
            f"A LoRA adapter on `{tuned['base_model']}` that writes crystals as {text} text for"
            " the prompts of CrystalICL."
        )
        head = {"base_model": tuned["base_model"], "library_name": "peft"}
    else:
        about = (
            f"A Llama-architecture language model of {arguments['trained_parameters']:,}"
            f" parameters that writes crystals as {text} text."
        )
        head = {"library_name": "transformers"}
    # as JSON, a subset of YAML: names may contain characters that YAML would interpret
    front = "".join(f"{name}: {json.dumps(value)}\n" for name, value in head.items())
    parts = [
        f"---\n{front}pipeline_tag: text-generation\ntags: [crystalicl, materials]\n---",
        f"# {folder.absolute().name}",
        about,
        _data([folder]),
        "## Training",
        _training(folder),
        f"![Loss over the steps]({CURVE})" if (folder / CURVE).is_file() else "",
        *_measured([folder], metrics, notes),
    ]
    return _join(parts)


def write_training_card(
    folder: str | Path,
    *,
    metrics: Mapping[str, str | Path] | None = None,
    notes: str = "",
) -> Path:
    """Write `training_card` into the training's folder and beside its weights.

    Parameters
    ----------
    folder
        The training's folder.
    metrics
        Label of a measurement → its ``metrics.json``.
    notes
        Text for the card, e.g. what the model is for.

    Returns
    -------
    Path
        The card in the training's folder.
    """
    return save_card(Path(folder), training_card(folder, metrics=metrics, notes=notes))


def with_figures(card: str, metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a card with measured values at its end.

    Parameters
    ----------
    card
        Of `training_card`.
    metrics
        Label of a measurement, and a mapping that holds ``rates``.
    """
    return _join([card, "## Figures", figure_table(metrics)]) if metrics else card


def save_card(folder: Path, card: str) -> Path:
    """Write a card into a training's folder and beside its weights, and return its place."""
    for name in ("adapter", "model"):
        if (folder / name).is_dir():  # the hub shows README.md; peft leaves an empty form there
            beside = card.replace(f"]({CURVE})", f"](../{CURVE})")
            write_text(folder / name / "README.md", beside)
    write_text(folder / CARD, card)
    return folder / CARD


def _join(parts: Sequence[str]) -> str:
    return "\n\n".join(part.strip() for part in parts if part.strip()) + "\n"


def _measured(
    folders: Sequence[Path], metrics: Mapping[str, str | Path] | None, notes: str
) -> list[str]:
    parts = []
    commands = [command for folder in folders if (command := training_command(folder))]
    if commands:
        parts.append("To train it again:\n\n```\n" + "\n".join(commands) + "\n```")
    if metrics:
        parts += [
            "## Figures",
            figure_table({name: measurement(Path(p)) for name, p in metrics.items()}),
        ]
    return [*parts, notes]


def _data(folders: Sequence[Path]) -> str:
    files: dict[str, DataFile] = {}
    for folder in folders:
        files |= {item.sha256: item for item in read_data(folder)}
    if not files:
        return ""
    rows = "\n".join(
        f"| {item.name} | {item.source or '-'} | {item.licence} | `{item.sha256}` |"
        for item in files.values()
        if not item.guarded
    )
    table = f"## Data\n\n| file | source | licence | SHA-256 |\n|---|---|---|---|\n{rows}"
    return _join([table, _guarded(list(files.values()))])


def _guarded(files: Sequence[DataFile]) -> str:
    """Say what was kept out of the training, and how many crystals that took."""
    guards = [f"`{item.name}` (`{item.sha256}`)" for item in files if item.guarded]
    if not guards:
        return ""
    counts = [f"{item.taken_out} of {item.name}" for item in files if item.taken_out]
    total = sum(item.taken_out for item in files)
    return (
        "Crystals with the reduced formula and the space group (at symprec 0.1 or 0.01) of a row"
        f" of {', '.join(guards)} were taken out: {total:,}"
        + (f" ({', '.join(counts)})." if counts else ".")
    )


def _training(folder: Path) -> str:
    arguments = read_document(folder / ARGUMENTS)
    lines = read_log(folder)
    if not lines:
        raise ValueError(f"{folder} has an empty log")
    last = lines[-1]
    losses = [line["loss"] for line in lines if "loss" in line]
    held_out = [line for line in lines if "validation_loss" in line]
    settings: dict[str, Any] = arguments["settings"]
    rows: dict[str, Any] = {
        "crystals": arguments["crystals"],
        "instructions in an epoch": _number(arguments.get("instructions")),
        "text": arguments["text_format"],
        "mixture": _mixture(arguments.get("mixture")),
        "symmetry-equivalent descriptions": _share(arguments.get("augment"), "zero-shot"),
        "substituted elements": _share(arguments.get("substitute"), "few-shot"),
        "made-up crystals": _share(arguments.get("made_up"), "few-shot"),
        "one description": (
            "crystals of few-shot instructions are written as the first one shown"
            if arguments.get("aligned")
            else None
        ),
        **_adapter(folder),
        "trained parameters": f"{arguments['trained_parameters']:,}",
        "epochs": f"{last['epoch']} whole ones of {settings['epochs']}",
        "steps": f"{last['step']:,}",
        "tokens": f"{last['tokens']:,}, of which {last['learned_tokens']:,} learned",
        "learned": (
            "responses and the crystals shown in prompts"
            if settings["learn_examples"]
            else "responses only"
        ),
        "tokens in a step": (
            f"{settings['tokens_per_batch'] * settings.get('accumulate', 1):,} at most;"
            f" {settings['max_tokens']:,} in a row"
        ),
        "precision": "bfloat16 autocast" if settings.get("bf16") else "that of the weights",
        "device": arguments.get("device"),
        "wall time": f"{last['seconds'] / 60:.0f} min",
        "optimiser": f"{settings['optimizer']}, peak learning rate {settings['learning_rate']:g},"
        f" schedule '{settings['schedule']}', weight decay {settings['weight_decay']:g}",
        "early stopping": settings.get("patience") and f"patience {settings['patience']}",
        "seed": settings["seed"],
        "training loss at the end": f"{losses[-1]:.3f} nats per token" if losses else "-",
        "loss on held-out formulas": _held_out(held_out),
        "versions": ", ".join(f"{name} {v}" for name, v in arguments["versions"].items()),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items() if value is not None)
    return f"### {folder.absolute().name}\n\n| | |\n|---|---|\n{table}"


def _held_out(lines: Sequence[Mapping[str, float]]) -> str:
    if not lines:
        return "-"
    best = min(lines, key=lambda line: line["validation_loss"])
    text = f"{lines[-1]['validation_loss']:.3f} nats per token"
    if best is lines[-1]:
        return text
    return f"{text} at the end, {best['validation_loss']:.3f} at step {best['step']:,}, the best"


def _adapter(folder: Path) -> dict[str, str]:
    tuned = _optional(folder / LORA_ARGUMENTS)
    if not tuned:
        return {}
    text = f"LoRA r {tuned['rank']}, α {tuned['alpha']}, dropout {tuned['dropout']:g}"
    if tuned.get("quantization"):
        text += f", base in {tuned['quantization']} (QLoRA)"
    return {"base model": str(tuned["base_model"]), "adapter": text}


def _mixture(mixture: Mapping[str, Mapping[str, float]] | None) -> str | None:
    if not mixture:
        return None
    return "; ".join(
        f"{part}: " + ", ".join(f"{name} {share:g}" for name, share in shares.items())
        for part, shares in mixture.items()
    )


def _number(value: int | None) -> str | None:
    return None if value is None else f"{value:,}"


def _share(value: float | None, kind: str) -> str | None:
    return f"{value:.0%} of the {kind} instructions".replace("%", " %") if value else None


def training_command(folder: Path) -> str:
    """Return the command that made a training; '' where it is not known."""
    path = folder / COMMAND
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _optional(path: Path) -> dict[str, Any]:
    return read_document(path) if path.is_file() else {}

"""The embedded model as it ships: files packed small, and a card that tells its story."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from crystalicl_jobflow.training.state import ARGUMENTS, LOG

COMMAND = "command.txt"
"""File of a training folder that holds the command which ran it."""

LARGEST = 40_000_000
"""Most bytes that base model and adapter may have together."""

SOURCES = """\
- Materials Project: A. Jain *et al.*, APL Materials 1, 011002 (2013), CC-BY 4.0, in the
  MP-20 split of CDVAE (T. Xie *et al.*, ICLR 2022) and in MPTS-52 (S. G. Baird *et al.*)
- Perov-5: I. E. Castelli *et al.*, Energy & Environmental Science 5, 5814 and 9034 (2012)
- Carbon-24: C. J. Pickard, AIRSS data for carbon at 10 GPa, Materials Cloud (2020), CC-BY 4.0
"""

SHOWN_RATES = (
    "parsed",
    "formula",
    "space_group",
    "joint",
    "structure_valid",
    "composition_valid",
    "match",
)


def pack(
    base: str | Path,
    adapter: str | Path,
    out: str | Path,
    *,
    dtype: str = "float16",
    base_name: str = "embedded",
) -> int:
    """Write a base model and its adapter as they ship.

    Parameters
    ----------
    base, adapter
        Folders of a trained base model and of its adapter.
    out
        Gets ``base`` and ``adapter``; what is there is replaced.
    dtype
        Precision of the base model's weights; the adapter keeps its own.
    base_name
        Name of the base model in the adapter's configuration.

    Returns
    -------
    int
        Bytes written.

    Raises
    ------
    ValueError
        If a folder holds no model or adapter, the precision is not known, or all is
        larger than `LARGEST`.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from crystalicl_jobflow.training.base import save_base

    base, adapter, out = Path(base), Path(adapter), Path(out)
    precision = getattr(torch, dtype, None)
    if not isinstance(precision, torch.dtype):
        raise ValueError(f"dtype {dtype!r} is not known")
    for folder, name in ((base, "config.json"), (adapter, "adapter_config.json")):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}")
    for name in ("base", "adapter"):
        shutil.rmtree(out / name, ignore_errors=True)
    model = AutoModelForCausalLM.from_pretrained(base)
    save_base(model, AutoTokenizer.from_pretrained(base), out / "base", dtype=precision)
    (out / "adapter").mkdir(parents=True)
    shutil.copyfile(
        adapter / "adapter_model.safetensors", out / "adapter" / "adapter_model.safetensors"
    )
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    config["base_model_name_or_path"] = base_name
    text = json.dumps(config, indent=2, sort_keys=True) + "\n"
    (out / "adapter" / "adapter_config.json").write_text(text, encoding="utf-8")
    files = [path for path in out.rglob("*") if path.is_file()]
    for path in files:
        path.chmod(0o644)  # safetensors writes for the owner alone
    size = sum(path.stat().st_size for path in files)
    if size > LARGEST:
        raise ValueError(f"{out} has {size} bytes, more than {LARGEST}")
    return size


def model_card(
    trainings: Sequence[str | Path],
    *,
    metrics: Mapping[str, str | Path] | None = None,
    notes: str = "",
) -> str:
    """Write the model card from what the trainings left behind.

    Parameters
    ----------
    trainings
        Folders of trainings, in the order in which they ran; the adapter's last.
    metrics
        Label of a measurement, and its ``metrics.json`` of
        ``crystalicl benchmark conditional``.
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
    parts = [
        "# The embedded model",
        "A small Llama-architecture language model with a LoRA adapter that writes crystals"
        " as SGS text for the prompts of CrystalICL. It ships so that everything runs on any"
        " machine; it is no match for a large model that was tuned the same way.",
        "## Training data\n\nThe training files of\n\n" + SOURCES,
        "## Training",
        *(_training(Path(folder)) for folder in trainings),
    ]
    commands = [command for folder in trainings if (command := _command(Path(folder)))]
    if commands:
        parts.append("To train it again:\n\n```\n" + "\n".join(commands) + "\n```")
    if metrics:
        parts += ["## Figures", _figures(metrics)]
    if notes:
        parts.append(notes.strip())
    return "\n\n".join(part.strip() for part in parts) + "\n"


def _training(folder: Path) -> str:
    arguments = _read(folder / ARGUMENTS)
    log = folder / LOG
    if not log.is_file():
        raise ValueError(f"{folder} has no {LOG}")
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    last = lines[-1]
    losses = [line for line in lines if "loss" in line]
    held_out = [line for line in lines if "validation_loss" in line]
    settings: dict[str, Any] = arguments["settings"]
    rows = {
        "crystals": arguments["crystals"],
        "text": arguments["text_format"],
        "trained parameters": f"{arguments['trained_parameters']:,}",
        "epochs": f"{last['epoch']} whole ones",
        "steps": f"{last['step']:,}",
        "tokens": f"{last['tokens']:,}, of which {last['learned_tokens']:,} learned",
        "wall time": f"{last['seconds'] / 60:.0f} min",
        "optimiser": f"{settings['optimizer']}, peak learning rate {settings['learning_rate']:g},"
        f" schedule '{settings['schedule']}', weight decay {settings['weight_decay']:g}",
        "seed": settings["seed"],
        "training loss at the end": f"{losses[-1]['loss']:.3f} nats per token" if losses else "-",
        "loss on held-out formulas": (
            f"{held_out[-1]['validation_loss']:.3f} nats per token" if held_out else "-"
        ),
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"### {folder.name}\n\n| | |\n|---|---|\n{table}"


def _command(folder: Path) -> str:
    path = folder / COMMAND
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""


def _figures(metrics: Mapping[str, str | Path]) -> str:
    documents = {label: _read(Path(path)) for label, path in metrics.items()}
    names = [
        name
        for name in SHOWN_RATES
        if any(name in document["rates"] for document in documents.values())
    ]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for label, document in documents.items():
        cells = []
        for name in names:
            rate = document["rates"].get(name)
            known = rate is not None and rate["rate"] is not None
            cells.append(f"{rate['rate']:.3f} ({rate['count']}/{rate['of']})" if known else "-")
        lines.append(f"| {label} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ValueError(f"{path} is not a file")
    content = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(content, dict):
        raise ValueError(f"{path} does not hold a document")
    return content

"""``crystalicl train``: tokenizer, base model, adapter and model card."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._common import OneLineGroup, note
from crystalicl_jobflow.cli.train_instructions import instructions

if TYPE_CHECKING:
    from crystalicl_jobflow.training.recipes import Split

_FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=OneLineGroup)
def train() -> None:
    """Train models and adapters."""


train.add_command(instructions)


def _data_options(command: Any) -> Any:
    for option in reversed(
        (
            click.argument(
                "data",
                nargs=-1,
                required=True,
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
            ),
            click.option("--out", required=True, type=_FOLDER, help="Folder of this training."),
            click.option(
                "--text-format",
                type=click.Choice(["sgs", "sgsw"]),
                default="sgs",
                show_default=True,
                help="Variant of the crystal text.",
            ),
            click.option("--cache", type=_FOLDER, help="Folder that keeps analysed crystals."),
            click.option(
                "--workers",
                type=click.IntRange(1),
                default=1,
                show_default=True,
                help="Processes that analyse crystals.",
            ),
            click.option(
                "--limit", type=click.IntRange(1), help="Rows of each file, at most; for trials."
            ),
            click.option(
                "--validation",
                type=click.FloatRange(0, 1, max_open=True),
                default=0.05,
                show_default=True,
                help="Share of the first file's formulas that is held out.",
            ),
            click.option(
                "--max-orbits",
                type=click.IntRange(1),
                default=12,
                show_default=True,
                help="Crystals with more Wyckoff orbits are left out.",
            ),
            click.option(
                "--weight",
                "weights",
                multiple=True,
                metavar="FILE=SHARE",
                help="Share of a file's crystals in each epoch, e.g. perov_5_train=0.5.",
            ),
            click.option("--seed", type=int, default=0, show_default=True),
            click.option("--threads", type=click.IntRange(1), help="Torch threads."),
            click.option(
                "--minutes",
                type=click.FloatRange(0, min_open=True),
                help="Time limit of the training; the schedule ends with it.",
            ),
        )
    ):
        command = option(command)
    return command


def _split(data: tuple[Path, ...], options: dict[str, Any]) -> Split:
    from crystalicl_jobflow.training.recipes import load_split

    split = load_split(
        data,
        cache=options["cache"],
        workers=options["workers"],
        limit=options["limit"],
        max_orbits=options["max_orbits"],
        validation_share=options["validation"],
        seed=0,
    )
    note(
        f"{len(split.training)} crystals to learn from, {len(split.validation)} held out,"
        f" {len(split.skipped)} rows skipped"
    )
    for row in split.skipped[:5]:
        note(f"{row.source} row {row.row}: {row.reason}")
    return split


def _weights(weights: tuple[str, ...]) -> dict[str, float]:
    found: dict[str, float] = {}
    for item in weights:
        name, _, share = item.partition("=")
        try:
            found[name] = float(share)
        except ValueError:
            raise ValueError(f"--weight {item!r} is not of the form FILE=SHARE") from None
    return found


def _record_command(out: Path) -> None:
    """Keep the command beside what it made, without the places of this machine."""
    from crystalicl_jobflow.training.card import COMMAND

    words, skip = [], False
    for word in sys.argv[1:]:
        if skip or word in ("--cache", "--workers"):
            skip = not skip
            continue
        # a run's model keeps the run's name: runs/base/model
        names = Path(word).parts
        keep = 2 if names[-1:] == ("model",) else 1
        words.append("/".join(names[-keep:]) if "/" in word else word)
    out.mkdir(parents=True, exist_ok=True)
    (out / COMMAND).write_text(shlex.join(["crystalicl", *words]) + "\n", encoding="utf-8")


def _show(line: dict[str, float]) -> None:
    note("  ".join(f"{name} {value:g}" for name, value in line.items()))


@train.command()
@click.option("--out", required=True, type=_FOLDER, help="Folder to write it to.")
def tokenizer(out: Path) -> None:
    """Write the word-level tokenizer of the embedded model."""
    from crystalicl_jobflow.training.tokenizer import build_tokenizer

    built = build_tokenizer()
    built.save_pretrained(out)
    note(f"{len(built)} tokens in {out}")


@train.command()
@_data_options
@click.option("--epochs", type=click.IntRange(1), default=8, show_default=True)
@click.option("--learning-rate", type=float, default=3e-3, show_default=True)
@click.option("--batch-tokens", type=click.IntRange(64), default=3072, show_default=True)
@click.option("--hidden-size", type=click.IntRange(8), default=192, show_default=True)
@click.option("--layers", type=click.IntRange(1), default=6, show_default=True)
@click.option(
    "--start",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Trained model to begin from.",
)
@click.option(
    "--augment",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Share of crystals written in another symmetry-equivalent description.",
)
@click.option(
    "--mixture",
    type=click.Choice(["base", "hybrid", "few-shot"]),
    default="base",
    show_default=True,
    help="Instructions with demonstrations: a quarter, half, or 70 % of them.",
)
def base(
    data: tuple[Path, ...],
    out: Path,
    text_format: str,
    weights: tuple[str, ...],
    seed: int,
    threads: int | None,
    minutes: float | None,
    epochs: int,
    learning_rate: float,
    batch_tokens: int,
    hidden_size: int,
    layers: int,
    start: Path | None,
    augment: float,
    mixture: str,
    **options: Any,
) -> None:
    """Train a small base model on CSV files with a column cif.

    Run again with the same folder, an interrupted training goes on.
    """
    from crystalicl_jobflow.training.base import BaseSize
    from crystalicl_jobflow.training.instructions import MIXTURES
    from crystalicl_jobflow.training.loop import LoopSettings
    from crystalicl_jobflow.training.recipes import base_recipe

    if hidden_size % 32:
        raise ValueError(f"the hidden size must be a multiple of 32, got {hidden_size}")
    split = _split(data, options)
    _record_command(out)
    result = base_recipe(
        split,
        out,
        text_format=text_format,
        weights=_weights(weights),
        mixture=MIXTURES[mixture],
        augment=augment,
        settings=LoopSettings(
            learning_rate=learning_rate,
            epochs=epochs,
            time_limit=None if minutes is None else 60 * minutes,
            tokens_per_batch=batch_tokens,
            seed=seed,
            threads=threads,
        ),
        size=BaseSize(
            hidden_size=hidden_size,
            num_layers=layers,
            num_heads=hidden_size // 32,
            intermediate_size=8 * round(hidden_size / 3),
        ),
        start=start,
        progress=_show,
    )
    note(f"model in {result.folder / 'model'} after {result.state.tokens} tokens")


@train.command()
@_data_options
@click.option(
    "--base-model", required=True, metavar="NAME|FOLDER", help="Model that gets the adapter."
)
@click.option("--base-name", help="Name of the base model in the adapter's configuration.")
@click.option("--epochs", type=click.IntRange(1), default=10, show_default=True)
@click.option("--learning-rate", type=float, default=5e-4, show_default=True)
@click.option("--batch-tokens", type=click.IntRange(64), default=3072, show_default=True)
@click.option("--max-tokens", type=click.IntRange(64), default=1024, show_default=True)
@click.option("--rank", type=click.IntRange(1), default=8, show_default=True)
@click.option("--alpha", type=click.IntRange(1), default=32, show_default=True)
@click.option("--dropout", type=click.FloatRange(0, 1), default=0.05, show_default=True)
@click.option("--quantization", type=click.Choice(["4bit", "8bit"]), help="QLoRA, on a GPU.")
@click.option("--dtype", default="auto", show_default=True, help="Precision of the base model.")
@click.option("--device", default="auto", show_default=True)
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time.")
def lora(
    data: tuple[Path, ...],
    out: Path,
    text_format: str,
    weights: tuple[str, ...],
    seed: int,
    threads: int | None,
    minutes: float | None,
    base_model: str,
    base_name: str | None,
    epochs: int,
    learning_rate: float,
    batch_tokens: int,
    max_tokens: int,
    rank: int,
    alpha: int,
    dropout: float,
    quantization: str | None,
    dtype: str,
    device: str,
    gradient_checkpointing: bool,
    **options: Any,
) -> None:
    """Tune a LoRA adapter on the hybrid instruction set of CSV files.

    The base model is any causal language model of the Hugging Face hub, or a folder.
    Run again with the same folder, an interrupted training goes on.
    """
    from dataclasses import replace

    from crystalicl_jobflow.training.lora import PAPER_LOOP, LoraSettings
    from crystalicl_jobflow.training.recipes import lora_recipe

    split = _split(data, options)
    _record_command(out)
    result = lora_recipe(
        split,
        base_model,
        out,
        text_format=text_format,
        weights=_weights(weights),
        settings=replace(
            PAPER_LOOP,
            learning_rate=learning_rate,
            epochs=epochs,
            time_limit=None if minutes is None else 60 * minutes,
            tokens_per_batch=batch_tokens,
            max_tokens=max_tokens,
            seed=seed,
            threads=threads,
        ),
        lora=LoraSettings(
            rank=rank,
            alpha=alpha,
            dropout=dropout,
            quantization=quantization,
            dtype=dtype,
            device=device,
            gradient_checkpointing=gradient_checkpointing,
        ),
        base_name=base_name,
        progress=_show,
    )
    note(f"adapter in {result.folder / 'adapter'} after {result.state.tokens} tokens")


@train.command()
@click.argument("base_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("adapter_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=_FOLDER, help="Gets base and adapter.")
@click.option("--dtype", default="float16", show_default=True, help="Precision of the base.")
@click.option("--base-name", default="embedded", show_default=True)
def pack(base_folder: Path, adapter_folder: Path, out: Path, dtype: str, base_name: str) -> None:
    """Pack a base model and its adapter as the package ships them."""
    from crystalicl_jobflow.training.card import pack as write

    size = write(base_folder, adapter_folder, out, dtype=dtype, base_name=base_name)
    note(f"{size / 1e6:.1f} MB in {out}")


@train.command()
@click.argument(
    "trainings",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--metrics", multiple=True, metavar="LABEL=FILE", help="A metrics.json of a benchmark."
)
@click.option(
    "--notes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown to put at the end.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the card goes, e.g. MODEL_CARD.md.",
)
def card(
    trainings: tuple[Path, ...], metrics: tuple[str, ...], notes: Path | None, out: Path
) -> None:
    """Write a model card from the folders of its trainings, the adapter's last."""
    from crystalicl_jobflow.training.card import model_card

    measured = {}
    for item in metrics:
        label, equals, path = item.rpartition("=")
        if not equals:
            raise ValueError(f"--metrics {item!r} is not of the form LABEL=FILE")
        measured[label] = path
    text = model_card(
        trainings,
        metrics=measured,
        notes="" if notes is None else notes.read_text(encoding="utf-8"),
    )
    out.write_text(text, encoding="utf-8")
    note(f"card in {out}")

"""``crystalicl train``: instruction sets, tokenizer, base model, adapter, card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from crystalicl_jobflow.cli._app import OneLineGroup
from crystalicl_jobflow.cli._console import note
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.cli.train import _options
from crystalicl_jobflow.cli.train.grpo import grpo
from crystalicl_jobflow.cli.train.instructions import instructions
from crystalicl_jobflow.utils.files import write_text


@click.group(cls=OneLineGroup)
def train() -> None:
    """Train models and adapters."""


train.add_command(instructions)
train.add_command(grpo)


@train.command()
@click.option("--out", required=True, type=_options.FOLDER, help="Folder to write it to.")
@click.option(
    "--text-format",
    type=click.Choice(["sgs", "cif"]),
    default="sgs",
    show_default=True,
    help="With the words of SGS, or of CIF texts as well.",
)
def tokenizer(out: Path, text_format: str) -> None:
    """Write the word-level tokenizer of the embedded model."""
    from crystalicl_jobflow.training.tokenizer import build_tokenizer

    built = build_tokenizer(text_format)
    built.save_pretrained(out)
    note(f"{len(built)} tokens in {out}")


@train.command(epilog="\b\ncrystalicl train average base-2/model=0.7 base-1/model=0.3 --out mean")
@click.argument("models", nargs=-1, required=True, metavar="MODEL=SHARE...")
@click.option("--out", required=True, type=_options.FOLDER, help="Folder of the mean.")
def average(models: tuple[str, ...], out: Path) -> None:
    """Write the mean of models that were trained one from another.

    The shares add up to 1; tokenizer and configuration are the first model's.
    """
    from crystalicl_jobflow.training.averaging import average_models

    shares: dict[str | Path, float] = {}
    for item in models:
        folder, equals, share = item.rpartition("=")
        try:
            shares[folder] = float(share) if equals else float("nan")
        except ValueError:
            shares[folder] = float("nan")
        if not 0 <= shares[folder] <= 1:
            raise ValueError(f"{item!r} is not of the form MODEL=SHARE, with a share from 0 to 1")
    average_models(shares, out)
    note(f"{len(shares)} models in {out}")


@train.command(
    epilog="\b\ncrystalicl train base mp_20_train.csv.gz --augment 0.5 --out runs/base\n"
    "crystalicl train base mp_20_train.csv.gz --text-format cif --max-tokens 1024 --out runs/cif"
)
@_options.training_options(epochs=8, learning_rate=3e-3, max_tokens=512, mixture="base")
@click.option("--hidden-size", type=click.IntRange(8), default=192, show_default=True)
@click.option("--layers", type=click.IntRange(1), default=6, show_default=True)
@click.option(
    "--dropout",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.1,
    show_default=True,
    help="Of the layers' outputs and the embeddings, while it trains.",
)
@click.option(
    "--start",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Trained model, or its training's folder, to begin from.",
)
def base(
    out: Path,
    hidden_size: int,
    layers: int,
    dropout: float,
    start: Path | None,
    **options: Any,
) -> None:
    """Train a small Llama from scratch on crystals (DATA) or instructions.

    DATA are CSV files with a column cif, pools, or folders of CIF files. Run again with
    the same folder, an interrupted training continues.
    """
    from crystalicl_jobflow.generation import check_model_files
    from crystalicl_jobflow.training.base_model import BaseSize
    from crystalicl_jobflow.training.loop import LoopSettings
    from crystalicl_jobflow.training.recipes import base_recipe

    if hidden_size % 32:
        raise ValueError(f"the hidden size must be a multiple of 32, got {hidden_size}")
    check_folder(out)
    if start is not None:  # before the data are read, which may take minutes
        check_model_files(str(start))
    settings = _options.loop_settings(LoopSettings(), options)
    lesson = _options.load_lesson(options)
    _options.record_command(out)
    result = base_recipe(
        lesson,
        out,
        settings=settings,
        size=BaseSize(
            hidden_size=hidden_size,
            num_layers=layers,
            num_heads=hidden_size // 32,
            intermediate_size=8 * round(hidden_size / 3),
            dropout=dropout,
        ),
        start=start,
        progress=_options.show(settings),
    )
    _options.tell_result(result, "model")


@train.command(
    epilog="\b\ncrystalicl train lora train.csv.gz --base-model meta-llama/Llama-2-7b-chat-hf"
    " --quantization 4bit --bf16 --gradient-checkpointing --out runs/lora\n"
    "crystalicl train lora --instructions set.jsonl --base-model runs/base --patience 3"
    " --out runs/lora"
)
@_options.training_options(epochs=10, learning_rate=5e-4, max_tokens=1024, mixture="hybrid")
@click.option(
    "--base-model", required=True, metavar="NAME|FOLDER", help="Model that gets the adapter."
)
@click.option("--base-name", help="Name of the base model in the adapter's configuration.")
@click.option("--rank", type=click.IntRange(1), default=8, show_default=True)
@click.option("--alpha", type=click.IntRange(1), default=32, show_default=True)
@click.option("--dropout", type=click.FloatRange(0, 1), default=0.05, show_default=True)
@click.option("--quantization", type=click.Choice(["4bit", "8bit"]), help="QLoRA, on a GPU.")
@click.option("--dtype", default="auto", show_default=True, help="Precision of the base model.")
@click.option("--device", default="auto", show_default=True)
@click.option("--gradient-checkpointing", is_flag=True, help="Less memory, more time.")
def lora(out: Path, base_model: str, base_name: str | None, **options: Any) -> None:
    """Tune a LoRA adapter on crystals (DATA) or instructions; defaults are the paper's.

    The base model is any causal language model of the Hugging Face hub, or a folder. DATA
    are CSV files with a column cif, pools, or folders of CIF files. Run again with the
    same folder, an interrupted training continues.
    """
    from crystalicl_jobflow.generation import check_model_files
    from crystalicl_jobflow.training.lora import PAPER_LOOP, LoraSettings, check_lora
    from crystalicl_jobflow.training.recipes import lora_recipe

    names = ("rank", "alpha", "dropout", "quantization", "dtype", "device")
    settings = _options.loop_settings(PAPER_LOOP, options)
    adapter = LoraSettings(
        **{name: options[name] for name in names},
        gradient_checkpointing=options["gradient_checkpointing"],
    )
    # before the data are read, which may take minutes
    check_lora(adapter)
    check_folder(out)
    check_model_files(base_model)
    lesson = _options.load_lesson(options)
    _options.record_command(out)
    result = lora_recipe(
        lesson,
        base_model,
        out,
        settings=settings,
        lora=adapter,
        base_name=base_name,
        progress=_options.show(settings),
    )
    _options.tell_result(result, "adapter")


@train.command()
@click.argument("base_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("adapter_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=_options.FOLDER, help="Gets base and adapter.")
@click.option("--dtype", default="float16", show_default=True, help="Precision of the base.")
@click.option("--base-name", default="embedded", show_default=True)
@click.option(
    "--copy-bias",
    type=click.FloatRange(0),
    default=0.0,
    show_default=True,
    metavar="NATS",
    help="With which the model is meant to be used.",
)
def pack(base_folder: Path, adapter_folder: Path, out: Path, **options: Any) -> None:
    """Pack a base model and its adapter as the package ships them."""
    from crystalicl_jobflow.training.pack_embedded import pack as write

    size = write(base_folder, adapter_folder, out, **options)
    note(f"{size / 1e6:.1f} MB in {out}")


@train.command("pack-adapter")
@click.argument("adapter_folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=_options.FOLDER, help="The adapter's folder.")
@click.option("--base-name", required=True, help="Name of its base model on the hub.")
@click.option("--dtype", default="float16", show_default=True, help="Precision of the weights.")
def pack_adapter(adapter_folder: Path, out: Path, **options: Any) -> None:
    """Pack an adapter without its base model, which users load from elsewhere."""
    from crystalicl_jobflow.training.pack_embedded import pack_adapter as write

    size = write(adapter_folder, out, **options)
    note(f"{size / 1e6:.1f} MB in {out}")


@train.command()
@click.argument(
    "trainings",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
)
@click.option(
    "--metrics",
    multiple=True,
    metavar="LABEL=PATH",
    help="A metrics.json of a benchmark, or the folder of its repeats, which are summed.",
)
@click.option(
    "--notes",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Markdown to put at the end.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Where the card of the shipped model goes.  [default: into each training's folder, its"
    " own]",
)
def card(
    trainings: tuple[Path, ...], metrics: tuple[str, ...], notes: Path | None, out: Path | None
) -> None:
    """Write the card of trainings, with measured figures.

    With --out: one card of the shipped model from the folders of its trainings, the
    adapter's last. Without: each training's card in its own folder, beside its weights.
    """
    from crystalicl_jobflow.training.model_card import model_card, write_training_card

    measured: dict[str, str | Path] = {}
    for item in metrics:
        label, equals, path = item.rpartition("=")
        if not equals:
            raise ValueError(f"--metrics {item!r} is not of the form LABEL=PATH")
        measured[label] = path
    words = "" if notes is None else notes.read_text(encoding="utf-8")
    if out is None:
        for folder in trainings:
            note(f"card in {write_training_card(folder, metrics=measured, notes=words)}")
        return
    write_text(out, model_card(trainings, metrics=measured, notes=words))
    note(f"card in {out}")

"""``crystalicl train grpo``: a model learns from rewards of its own texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from crystalicl_jobflow.cli._console import note
from crystalicl_jobflow.cli._options import STRATEGIES
from crystalicl_jobflow.cli._outputs import check_folder
from crystalicl_jobflow.cli.train import _options

_Command = TypeVar("_Command", bound=Callable[..., Any])


def _number(
    name: str, default: float, words: str, kind: Any = None
) -> Callable[[_Command], _Command]:
    kind = click.IntRange(1) if kind is None else kind
    return click.option(name, type=kind, default=default, show_default=True, help=words)


@click.command(
    epilog="\b\ncrystalicl train grpo mp_20_train.csv.gz --base-model embedded --whole"
    " --reward match --minutes 60 --out runs/grpo\n"
    "crystalicl train grpo mp_20_train.csv.gz --base-model meta-llama/Llama-2-7b-chat-hf"
    " --adapter runs/lora/adapter --reward crystext --free --out runs/grpo"
)
@click.argument("data", nargs=-1, required=True, metavar="DATA...")
@click.option("--out", required=True, type=_options.FOLDER, help="Folder of this training.")
@click.option(
    "--base-model", required=True, metavar="NAME|FOLDER", help="Model that is tuned, or its base."
)
@click.option("--adapter", metavar="FOLDER", help="Adapter that is tuned further.")
@click.option("--whole", is_flag=True, help="Tune all weights, not an adapter: small models.")
@click.option(
    "--reward",
    default="crystext",
    show_default=True,
    metavar="NAME",
    help="crystext, match, energy:POTENTIAL, or a function of your own, MODULE:FUNCTION.",
)
@_number("--group-size", 6, "Texts per prompt.", click.IntRange(2))
@_number("--prompts", 8, "Prompts per step.")
@_number("--steps", 200, "Steps of the whole training.")
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Time limit of the training; the learning rate falls to nothing with it.",
)
@_number("--learning-rate", 1e-5, "Peak learning rate.", float)
@_number("--kl-weight", 0.04, "Weight of the divergence from the start.", click.FloatRange(0))
@_number("--temperature", 1.0, "Of the rewarded texts.", click.FloatRange(0, min_open=True))
@_number("--max-new-tokens", 400, "Of the rewarded texts.")
@click.option(
    "--constrained/--free", default=True, show_default=True, help="Texts under the constraint."
)
@_number("--shots", 3, "Demonstrations in a prompt.", click.IntRange(0, 5))
@click.option(
    "--strategy",
    type=click.Choice(STRATEGIES),
    default="CE",
    show_default=True,
    help="How demonstrations are chosen.",
)
@click.option(
    "--text-format",
    type=click.Choice(["sgs", "sgsw", "xyz", "cif"]),
    default="sgs",
    show_default=True,
    help="Text of the crystals.",
)
@click.option("--rank", type=click.IntRange(1), default=8, show_default=True)
@click.option("--alpha", type=click.IntRange(1), default=32, show_default=True)
@click.option("--quantization", type=click.Choice(["4bit", "8bit"]), help="QLoRA, on a GPU.")
@click.option("--dtype", default="auto", show_default=True, help="Precision of the base model.")
@click.option("--device", default="auto", show_default=True)
@click.option(
    "--exclude",
    type=_options.FILE,
    multiple=True,
    metavar="CSV",
    help="File to test on: crystals with the formula and space group of one of its rows are left"
    " out.",
)
@_number("--validation", 0.02, "Share of formulas held out.", click.FloatRange(0, 1, max_open=True))
@_number("--max-orbits", 12, "Crystals with more Wyckoff orbits are left out.")
@click.option("--limit", type=click.IntRange(1), help="Crystals of each source, at most.")
@click.option("--cache", type=_options.FOLDER, help="Folder that keeps analysed crystals.")
@_number("--workers", 1, "Processes that analyse crystals and compute rewards.")
@click.option("--validate-every", type=click.IntRange(0), default=0, help="Steps.")
@_number("--checkpoint-minutes", 4.0, "Time between checkpoints.", click.FloatRange(0))
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--threads", type=click.IntRange(1), help="Torch threads.")
def grpo(data: tuple[str, ...], out: Path, **options: Any) -> None:
    """Tune a model by GRPO: texts that are better than their group become more probable.

    DATA are CSV files with a column cif, pools, or folders of CIF files: their crystals are asked
    for by formula and space group, with demonstrations among the others. Run again with the same
    folder, an interrupted training continues.
    """
    from crystalicl_jobflow.training.grpo import GRPOSettings, find_reward
    from crystalicl_jobflow.training.grpo.recipe import Start, grpo_recipe
    from crystalicl_jobflow.training.lora import LoraSettings, check_lora
    from crystalicl_jobflow.training.recipes import load_split

    lora = LoraSettings(
        **{name: options[name] for name in ("rank", "alpha", "quantization", "dtype", "device")}
    )
    start = Start(options["base_model"], options["adapter"], options["whole"], lora)
    minutes = options["minutes"]
    same = (
        "group_size", "prompts", "steps", "learning_rate", "kl_weight", "temperature", "strategy",
        "max_new_tokens", "constrained", "shots", "workers", "validate_every", "seed", "threads",
    )  # fmt: skip
    settings = GRPOSettings(
        time_limit=None if minutes is None else 60 * minutes,
        checkpoint_every=60 * options["checkpoint_minutes"],
        **{name: options[name] for name in same},
    )
    # before the data are read, which may take minutes
    reward = find_reward(options["reward"])
    check_lora(lora)
    check_folder(out)
    reading = ("cache", "workers", "limit", "max_orbits")
    split = load_split(
        data,
        validation_share=options["validation"],
        exclude=options["exclude"],
        **{name: options[name] for name in reading},
    )
    note(f"{len(split.training)} crystals to ask for, {len(split.validation)} held out")
    _options.record_command(out)
    result = grpo_recipe(
        split,
        start,
        out,
        reward=reward,
        reward_name=options["reward"],
        settings=settings,
        text_format=options["text_format"],
        progress=lambda line: note(_words(line)),
    )
    part = "model" if start.whole else "adapter"
    note(f"{part} in {out / part} after {result.state.step} steps")


def _words(line: dict[str, float]) -> str:
    if "match" in line:
        return f"step {line['step']}  {100 * line['match']:.1f} % of {line['crystals']:.0f} match"
    return (
        f"step {line['step']}  reward {line['reward']:.3f}  KL {line['kl']:.4f}"
        f"  {100 * line['share']:.0f} % done"
    )

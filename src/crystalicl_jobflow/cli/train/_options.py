"""What the commands of ``crystalicl train`` share: options, data, notes."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._console import note
from crystalicl_jobflow.cli._options import template_option
from crystalicl_jobflow.utils.files import write_text

if TYPE_CHECKING:
    from crystalicl_jobflow.training.loop import LoopSettings, TrainingResult
    from crystalicl_jobflow.training.recipes import Lesson

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

_Command = TypeVar("_Command", bound=Callable[..., Any])

_LESSON_OPTIONS = (
    click.argument("data", nargs=-1, metavar="[DATA]..."),
    click.option(
        "--instructions",
        type=FILE,
        help="Learn from this JSONL file of prompts and completions instead of DATA.",
    ),
    click.option("--out", required=True, type=FOLDER, help="Folder of this training."),
    click.option(
        "--text-format",
        type=click.Choice(["sgs", "sgsw", "xyz", "cif"]),
        default="sgs",
        show_default=True,
        help="Text of the crystals.",
    ),
    template_option,
    click.option(
        "--ablation",
        type=click.Choice(["only-C", "only-F", "only-CF", "only-random", "no-auxiliary"]),
        help="One of the ablations of the CrystalICL paper's table 3.",
    ),
    click.option("--cache", type=FOLDER, help="Folder that keeps analysed crystals of CSV files."),
    click.option(
        "--workers",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Processes that analyse crystals.",
    ),
    click.option(
        "--limit", type=click.IntRange(1), help="Crystals of each source, at most; for trials."
    ),
    click.option(
        "--validation",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.05,
        show_default=True,
        help="Share of the first source's formulas that is held out.",
    ),
    click.option(
        "--max-orbits",
        type=click.IntRange(1),
        default=12,
        show_default=True,
        help="Crystals with more Wyckoff orbits are left out.",
    ),
    click.option(
        "--exclude",
        type=FILE,
        multiple=True,
        metavar="CSV",
        help="File to test on: crystals with the formula and space group of one of its rows are"
        " left out.",
    ),
    click.option(
        "--weight",
        "weights",
        multiple=True,
        metavar="FILE=SHARE",
        help="Share of a file's crystals in each epoch, e.g. perov_5_train=0.5.",
    ),
    click.option(
        "--licence",
        "licences",
        multiple=True,
        metavar="FILE=TEXT",
        help="Licence of a source, for the card; known for the public data sets.",
    ),
    click.option(
        "--augment",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of crystals written in another symmetry-equivalent description.",
    ),
    click.option(
        "--substitute",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of crystals asked for with demonstrations that get other elements, so"
        " that only the demonstrations tell their structure.",
    ),
    click.option(
        "--made-up",
        type=click.FloatRange(0, 1),
        default=0.0,
        show_default=True,
        help="Share of crystals asked for with demonstrations that are made up together with"
        " one of these, of the same structure.",
    ),
    click.option(
        "--aligned",
        is_flag=True,
        help="Write crystals asked for with demonstrations in the description of these, where"
        " they have the same structure.",
    ),
)

_LOOP_OPTIONS = (
    click.option(
        "--accumulate",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        help="Batches of one optimiser step.",
    ),
    click.option("--bf16", is_flag=True, help="Compute in bfloat16 where that is safe."),
    click.option(
        "--patience",
        type=click.IntRange(1),
        help="Stop after so many validations without a better one, and keep the best model.",
    ),
    click.option(
        "--validate-every",
        type=click.IntRange(0),
        metavar="STEPS",
        help="Steps between validations, 0 for every epoch.  [default: every epoch with"
        " --patience, otherwise at checkpoints]",
    ),
    click.option(
        "--checkpoint-minutes",
        type=click.FloatRange(0),
        default=4.0,
        show_default=True,
        help="Time between checkpoints, from which a killed training continues.",
    ),
    click.option(
        "--decay-share",
        type=click.FloatRange(0, 1),
        help="Last share of the training over which the learning rate goes to nothing.",
    ),
    click.option("--seed", type=int, default=0, show_default=True),
    click.option("--threads", type=click.IntRange(1), help="Torch threads."),
    click.option(
        "--minutes",
        type=click.FloatRange(0, min_open=True),
        help="Time limit of the training; the schedule ends with it.",
    ),
    click.option(
        "--tokens",
        type=click.IntRange(1),
        help="Tokens of instructions after which the training ends, as the schedule does: for"
        " models that are compared.",
    ),
)


MIXTURE_NAMES = ("base", "hybrid", "few-shot", "copy", "even")
"""Those of `mixtures.MIXTURES`, which the help is not to wait for."""


def training_options(
    *, epochs: int, learning_rate: float, max_tokens: int, mixture: str
) -> Callable[[_Command], _Command]:
    """Return the options of every training command, with this one's defaults."""

    def default(name: str, kind: Any, value: Any, words: str) -> Any:
        return click.option(name, type=kind, default=value, show_default=True, help=words)

    own = (
        default(
            "--mixture",
            click.Choice(MIXTURE_NAMES),
            mixture,
            "Instructions: mostly zero-shot, half or most of them with demonstrations.",
        ),
        default("--epochs", click.IntRange(1), epochs, "Passes over the data."),
        default("--learning-rate", float, learning_rate, "Peak learning rate."),
        default("--batch-tokens", click.IntRange(64), 3072, "Tokens in a batch, at most."),
        default(
            "--max-tokens", click.IntRange(64), max_tokens, "Longer instructions are left out."
        ),
    )

    def decorate(command: _Command) -> _Command:
        for option in reversed((*_LESSON_OPTIONS, *own, *_LOOP_OPTIONS)):
            command = option(command)
        return command

    return decorate


def loop_settings(defaults: LoopSettings, options: dict[str, Any]) -> LoopSettings:
    """Return the settings that the options ask for."""
    from dataclasses import replace

    minutes, decay = options["minutes"], options["decay_share"]
    same = ("learning_rate", "epochs", "max_tokens", "accumulate", "bf16", "patience")
    return replace(
        defaults,
        time_limit=None if minutes is None else 60 * minutes,
        token_limit=options["tokens"],
        tokens_per_batch=options["batch_tokens"],
        decay_share=defaults.decay_share if decay is None else decay,
        checkpoint_every=60 * options["checkpoint_minutes"],
        **{name: options[name] for name in (*same, "validate_every", "seed", "threads")},
    )


def load_lesson(options: dict[str, Any]) -> Lesson:
    """Read what the options name, and say what there is.

    Raises
    ------
    ValueError
        If nothing or too much is named, or it cannot be read.
    """
    from crystalicl_jobflow.training import recipes
    from crystalicl_jobflow.training.data.mixtures import MIXTURES, Variation, ablate, by_structure

    licences = shares("--licence", options["licences"], str)
    if options["instructions"] is not None:
        if options["data"]:
            raise ValueError("give DATA or --instructions, not both")
        lesson = recipes.file_lesson(
            options["instructions"],
            validation_share=options["validation"],
            seed=options["seed"],
            licences=licences,
        )
        count = len(lesson.instructions.order(0))
        note(f"{count} instructions to learn from, {len(lesson.validation)} held out")
        return lesson
    if not options["data"]:
        raise ValueError("nothing to learn from: give DATA (CSV files, pools) or --instructions")
    weights = shares("--weight", options["weights"], float)
    split = recipes.load_split(
        options["data"],
        cache=options["cache"],
        workers=options["workers"],
        limit=options["limit"],
        max_orbits=options["max_orbits"],
        validation_share=options["validation"],
        licences=licences,
        exclude=options["exclude"],
    )
    note(
        f"{len(split.training)} crystals to learn from, {len(split.validation)} held out,"
        f" {len(split.skipped)} rows skipped"
    )
    if options["exclude"]:
        taken = sum(item.taken_out for item in split.data)
        note(f"{taken} crystals taken out, which are in the files to test on")
    for row in split.skipped[:5]:
        note(str(row))
    mixture, ablation = MIXTURES[options["mixture"]], options["ablation"]
    return recipes.crystal_lesson(
        split,
        text_format=options["text_format"],
        template=options["template"],
        mixture=mixture if ablation is None else ablate(mixture, ablation),
        weights=weights,
        variation=Variation(
            options["augment"], options["substitute"], options["made_up"], options["aligned"]
        ),
        seed=options["seed"],
        require_fingerprints=by_structure(ablation),
    )


def shares(option: str, items: tuple[str, ...], kind: Callable[[str], Any]) -> dict[str, Any]:
    """Read FILE=VALUE options.

    Raises
    ------
    ValueError
        If one is not of this form.
    """
    found: dict[str, Any] = {}
    for item in items:
        name, equals, value = item.partition("=")
        try:
            found[name] = kind(value)
        except ValueError:
            equals = ""
        if not equals:
            form = "FILE=SHARE" if kind is float else "FILE=TEXT"
            raise ValueError(f"{option} {item!r} is not of the form {form}") from None
    return found


def record_command(out: Path) -> None:
    """Keep the command beside what it made, without the places of this machine."""
    from crystalicl_jobflow.generation.model_places import is_path
    from crystalicl_jobflow.training.model_card import COMMAND

    words, skip = [], False
    for word in sys.argv[1:]:
        if skip or word in ("--cache", "--workers"):
            skip = not skip
            continue
        # a run's model keeps the run's name: runs/base/model
        names = Path(word).parts
        keep = 2 if names[-1:] == ("model",) else 1
        # owner/model stays: a name on the hub
        words.append("/".join(names[-keep:]) if "/" in word and is_path(word) else word)
    write_text(out / COMMAND, shlex.join(["crystalicl", *words]) + "\n")


def show(settings: LoopSettings) -> Callable[[dict[str, float]], None]:
    """Return what prints a training's progress."""
    from crystalicl_jobflow.training.progress import progress_words

    say = progress_words(epochs=settings.epochs)
    return lambda line: note(say(line))


def tell_result(result: TrainingResult, part: str) -> None:
    """Say where the result lies and what came of it."""
    from crystalicl_jobflow.training.model_card import CARD

    state = result.state
    if state.left_out:
        note(f"{state.left_out} instructions were longer than --max-tokens and left out")
    if state.stopped:
        note(f"stopped early: the best of {len(state.history)} validations is at {state.best_step}")
    note(f"{part} in {result.folder / part} after {state.tokens:,} tokens")
    note(f"card in {result.folder / CARD}, loss curve beside it")

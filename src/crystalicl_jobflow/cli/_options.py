"""Options that several commands take, and what they become."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import stages

if TYPE_CHECKING:
    from crystalicl_jobflow.generation import TextGenerator
    from crystalicl_jobflow.generation.constraints import ConstraintOptions
    from crystalicl_jobflow.retrieval import DemonstrationIndex
    from crystalicl_jobflow.schemas import Condition, SamplingParams

Command = TypeVar("Command", bound=Callable[..., Any])

STRATEGIES = ("C", "F", "CF", "R", "CR", "FR", "CFR", "CE")


def _stack(options: list[Callable[[Any], Any]], command: Command) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def condition_options(command: Command) -> Command:
    """Add one option for every field of a condition."""
    return _stack(
        [
            click.option("--formula", help="Chemical formula, e.g. CaTiO3."),
            click.option("--anonymous-formula", help="Anonymised formula, e.g. ABC3."),
            click.option("--chemsys", help="Exact chemical system, e.g. Ca-Ti-O."),
            click.option("--elements", help="Elements that must be present, e.g. Ca,O."),
            click.option(
                "--space-group",
                help="Number (1 to 230) or symbol; several with commas, e.g. 221 or Pm-3m,225.",
            ),
            click.option("--num-sites", help="Atoms in the primitive cell: N or LOW:HIGH."),
            click.option(
                "--wyckoff",
                help="Wyckoff letters of each element in the space group, e.g. 'Ca:a Ti:b O:c'.",
            ),
            click.option(
                "--property",
                "properties",
                multiple=True,
                metavar="NAME=VALUE|LOW:HIGH",
                help="Property asked for, e.g. band_gap=1:2 or energy_above_hull=:0.1; repeatable.",
            ),
            click.option(
                "--condition",
                "document",
                metavar="JSON|FILE",
                help="A whole condition as JSON or in a file; the flags above override it.",
            ),
        ],
        command,
    )


def split_properties(items: tuple[str, ...]) -> dict[str, str]:
    """Read ``NAME=VALUE`` items.

    Raises
    ------
    UserError
        If one has no name or no value, or a name comes twice.
    """
    values: dict[str, str] = {}
    for item in items:
        name, _, value = item.partition("=")
        if not name.strip() or not value.strip():
            raise UserError(f"--property {item!r} is not of the form NAME=VALUE or NAME=LOW:HIGH")
        if name.strip() in values:
            raise UserError(f"--property {name.strip()} is given twice")
        values[name.strip()] = value.strip()
    return values


def read_condition(options: Mapping[str, Any]) -> Condition:
    """Build the condition that the options of :func:`condition_options` ask for.

    Raises
    ------
    ConditionError
        If it is impossible; the message is one line.
    UserError
        If an option cannot be read.
    """
    from crystalicl_jobflow.schemas import Condition

    fields: dict[str, Any] = {}
    document = options.get("document")
    if document is not None:
        text = document
        if not document.lstrip().startswith("{"):
            path = Path(document)
            if not path.is_file():
                raise UserError(f"--condition {document} is neither JSON nor a file")
            text = path.read_text(encoding="utf-8")
        given = Condition.parse(text)
        fields = given.model_dump(exclude_defaults=True)
    for name in ("formula", "anonymous_formula", "chemsys", "elements", "num_sites", "wyckoff"):
        if options.get(name) is not None:
            fields[name] = options[name]
    if options.get("space_group") is not None:
        fields["space_group"] = [part for part in options["space_group"].split(",") if part.strip()]
    properties = split_properties(options.get("properties") or ())
    if properties:
        fields["properties"] = {**fields.get("properties", {}), **properties}
    return Condition.build(**fields)


format_option = click.option(
    "--format",
    "text_format",
    type=click.Choice(["sgs", "sgsw", "xyz", "cif"]),
    default="sgs",
    show_default=True,
    help="Text format that the model writes.",
)


template_option = click.option(
    "--template",
    type=click.Choice(["crystalicl", "alpaca"]),
    default="crystalicl",
    show_default=True,
    help="Wording of the prompt: the CrystalICL paper's or CrysText's.",
)


def constraint_options(command: Command) -> Command:
    """Add the options of constrained decoding."""
    return _stack(
        [
            click.option(
                "--constrain/--no-constrain",
                default=True,
                show_default=True,
                help="Let the model write only texts that can still meet formula, group and sites.",
            ),
            click.option(
                "--min-distance",
                type=click.FloatRange(0),
                help="Under a constraint: never place atoms nearer than this, in Å.",
            ),
            click.option(
                "--max-atoms",
                type=click.IntRange(1),
                help="Under a constraint: most atoms in the primitive cell.",
            ),
        ],
        command,
    )


def read_constraint(options: Mapping[str, Any]) -> bool | ConstraintOptions:
    """Return what the constraint's options ask for.

    Raises
    ------
    UserError
        If an option of the constraint comes with ``--no-constrain``.
    """
    chosen = {
        name: options[name]
        for name in ("min_distance", "max_atoms")
        if options.get(name) is not None
    }
    if not options["constrain"]:
        for name in chosen:
            raise UserError(f"--{name.replace('_', '-')} has no effect with --no-constrain")
        return False
    if not chosen:
        return True
    from crystalicl_jobflow.generation.constraints import ConstraintOptions

    return ConstraintOptions(**chosen)


def sampling_options(command: Command) -> Command:
    """Add the options that say how texts are drawn."""
    return _stack(
        [
            click.option("--seed", type=int, default=0, show_default=True),
            click.option(
                "--temperature",
                type=click.FloatRange(0, min_open=True),
                default=0.9,
                show_default=True,
            ),
            click.option(
                "--top-p",
                type=click.FloatRange(0, 1, min_open=True),
                default=0.9,
                show_default=True,
            ),
            click.option(
                "--max-new-tokens", type=click.IntRange(1), default=768, show_default=True
            ),
            click.option(
                "--max-redraws",
                type=click.IntRange(0),
                default=5,
                show_default=True,
                help="How often a text that cannot be read as a crystal is drawn again.",
            ),
            click.option(
                "--best-of",
                type=click.IntRange(1),
                default=1,
                show_default=True,
                metavar="K",
                help="Draw K texts for each sample and keep the most probable; K times the work.",
            ),
            click.option(
                "--copy-bias",
                type=click.FloatRange(0),
                show_default="the model's own",
                metavar="NATS",
                help="Draw constrained texts towards what the demonstrations hold at the same"
                " place; 0 for the model alone.",
            ),
        ],
        command,
    )


def read_sampling(options: Mapping[str, Any]) -> SamplingParams:
    """Build the sampling parameters that the options ask for."""
    from crystalicl_jobflow.schemas import SamplingParams

    names = ("seed", "temperature", "top_p", "max_new_tokens", "max_redraws", "best_of")
    return SamplingParams(**{name: options[name] for name in (*names, "copy_bias")})


def model_options(command: Command) -> Command:
    """Add the options that name a model and where it runs."""
    return _stack(
        [
            click.option(
                "--model",
                help="Base model: a name, a path, 'embedded', or the address of a model server,"
                " http://host:8000/v1#model; or 'substitution' of elements in known crystals;"
                " several with + between them.  [default: settings]",
            ),
            click.option("--adapter", help="LoRA adapter: a name or a path."),
            click.option(
                "--allow-other-base",
                is_flag=True,
                help="Take the adapter though it was made for another base model.",
            ),
            click.option("--device", help="auto, cpu, cuda, cuda:1, …  [default: settings]"),
            click.option("--dtype", help="float32, bfloat16 or float16.  [default: by device]"),
            click.option("--quantization", type=click.Choice(["4bit", "8bit"])),
            click.option(
                "--batch-size",
                type=click.IntRange(1),
                help="Samples generated at once, at most.  [default: settings]",
            ),
            click.option(
                "--server",
                multiple=True,
                metavar="NAME=VALUE",
                help="Option of a model server, e.g. concurrency=64, endpoint=chat; repeatable.",
            ),
        ],
        command,
    )


def read_server(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a model server, values that are JSON read as such.

    Raises
    ------
    UserError
        If one is not of the form NAME=VALUE.
    """
    import json

    found: dict[str, Any] = {}
    for item in options.get("server") or ():
        name, mark, value = item.partition("=")
        if not mark or not name.strip():
            raise UserError(f"--server {item!r} is not of the form NAME=VALUE")
        try:
            found[name.strip()] = json.loads(value)
        except ValueError:
            found[name.strip()] = value
    return found


def read_generator(options: Mapping[str, Any]) -> TextGenerator:
    """Load the model that the options name."""
    from crystalicl_jobflow.generation import load_generator
    from crystalicl_jobflow.settings import SETTINGS

    return load_generator(
        options.get("model") or SETTINGS.MODEL,
        options.get("adapter") or SETTINGS.ADAPTER,
        device=options.get("device") or SETTINGS.DEVICE,
        dtype=options.get("dtype") or "auto",
        quantization=options.get("quantization"),
        batch_size=options.get("batch_size") or SETTINGS.BATCH_SIZE,
        num_threads=SETTINGS.NUM_THREADS,
        allow_other_base=bool(options.get("allow_other_base")),
        server=read_server(options),
    )


def check_model(options: Mapping[str, Any]) -> None:
    """Refuse a model or adapter that is not there, before any work; loads nothing.

    Raises
    ------
    GenerationError
        With what is missing; one line.
    """
    from crystalicl_jobflow.generation import check_model_files
    from crystalicl_jobflow.generation.http_engine import is_server
    from crystalicl_jobflow.settings import SETTINGS

    model = options.get("model") or SETTINGS.MODEL
    if is_server(model):
        read_generator(options)  # connects, and is kept
    check_model_files(model, options.get("adapter") or SETTINGS.ADAPTER)


def retrieval_options(command: Command, *, shots: int = 3) -> Command:
    """Add the options that say which demonstrations a prompt shows; ``shots`` by default."""
    return _stack(
        [
            click.option(
                "--shots", type=click.IntRange(0, 5), default=shots, show_default=True,
                help="Demonstrations in each prompt.",
            ),
            click.option(
                "--strategy", type=click.Choice(STRATEGIES), default="C",
                show_default=True,
                help="How they are chosen: by condition, structure, both, at random; R shuffles.",
            ),
            click.option(
                "--pool",
                metavar="STORE",
                help="Store of demonstrations.  [default: the prototypes, built once]",
            ),
        ],
        command,
    )  # fmt: skip


groups_option = click.option(
    "--groups",
    type=click.Choice(["pool", "model"]),
    default="pool",
    show_default=True,
    help="For a formula without a space group: draw the groups from what --pool tells of the"
    " formula, or leave them to the model, as without --pool.",
)


def open_pool(spec: str | None, strategy: str = "C") -> DemonstrationIndex:
    """Open a pool as `crystalicl_jobflow.retrieval.open_pool` does, and show what it builds."""
    from crystalicl_jobflow import retrieval

    with stages() as report:
        return retrieval.open_pool(spec, strategy, progress=report)

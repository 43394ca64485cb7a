"""What the benchmark commands share: options, settings, runs and tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note, say, stages, stdout_console, table
from crystalicl_jobflow.cli._options import (
    STRATEGIES,
    constraint_options,
    format_option,
    groups_option,
    model_options,
    open_pool,
    read_constraint,
    read_sampling,
    read_server,
    sampling_options,
    template_option,
)
from crystalicl_jobflow.cli._outputs import check_folder

if TYPE_CHECKING:
    from crystalicl_jobflow.benchmarks import BenchmarkSetting, ModelChoice, Suite
    from crystalicl_jobflow.schemas.benchmark import RunDoc, TableDoc

Command = TypeVar("Command", bound=Callable[..., Any])

MOST_SHOTS = 5
MOST_COLUMNS = 5
"""Figures that fit beside each other into 80 columns."""


def _add(command: Command, options: Sequence[Callable[[Any], Any]]) -> Command:
    for option in reversed(options):
        command = option(command)
    return command


def dataset_options(
    command: Command, *, shots: str = "3", several: bool = False, strategy: bool = True
) -> Command:
    """Add the options of every benchmark that asks for the crystals of a data set.

    Parameters
    ----------
    command
        The command.
    shots
        Default numbers of demonstrations, with commas; empty for no such option.
    several
        Whether several data sets may be given.
    strategy
        Whether one strategy is an option.
    """
    retrieval: list[Callable[[Any], Any]] = []
    if shots:
        retrieval.append(
            click.option(
                "--shots",
                default=shots,
                show_default=True,
                metavar="N[,N…]",
                help="Demonstrations in each prompt; a row of the table for each number.",
            )
        )
    if strategy:
        retrieval.append(
            click.option(
                "--strategy",
                type=click.Choice(STRATEGIES),
                default="C",
                show_default=True,
                help="How they are chosen: by condition, structure, both, at random; R shuffles.",
            )
        )
    return _add(
        command,
        [
            click.option(
                "--dataset",
                required=True,
                multiple=several,
                metavar="CSV",
                help="True crystals, e.g. mp_20_test.csv.gz." + (" Repeatable." if several else ""),
            ),
            click.option(
                "--condition",
                "names",
                default="formula,space_group",
                show_default=True,
                help="What is asked of each crystal: fields of a condition and properties;"
                " 'paper' for what the paper asks on this data set.",
            ),
            predictor_option,
            *retrieval,
            click.option(
                "--pool",
                metavar="STORE",
                help="Store or CSV of demonstrations.  [default: the prototypes, built once]",
            ),
            groups_option,
            click.option(
                "--limit", type=click.IntRange(1), help="Rows drawn from the data set.  [all]"
            ),
            click.option(
                "--baseline/--no-baseline",
                default=True,
                show_default=True,
                help="With a pool and a formula, a row of element substitution beside the others.",
            ),
            run_options,
        ],
    )


predictor_option = click.option(
    "--predictor",
    "predictors",
    multiple=True,
    metavar="PROPERTY=NAME",
    help="What predicts a property, e.g. band_gap=trees.  [default for what is asked]",
)


def run_options(command: Command) -> Command:
    """Add the options that every benchmark with a table of models has."""
    return _add(
        command,
        [
            click.option(
                "--repeats",
                type=click.IntRange(1),
                default=1,
                show_default=True,
                help="Runs of each row, with seeds SEED, SEED + 1, …; the paper has 5.",
            ),
            click.option("--label", default="", help="Name of the model in the tables."),
            writing_options,
        ],
    )


def writing_options(command: Command) -> Command:
    """Add the options of how texts are written, and where to."""
    return _add(
        command,
        [
            format_option,
            template_option,
            constraint_options,
            sampling_options,
            model_options,
            click.option("--processes", type=click.IntRange(1), default=1, show_default=True),
            click.option(
                "--out",
                type=click.Path(file_okay=False, path_type=Path),
                required=True,
                help="Folder for metrics.json, candidates.jsonl and the tables; a run that was"
                " killed goes on.",
            ),
        ],
    )


def read_setting(options: Mapping[str, Any], **changes: Any) -> BenchmarkSetting:
    """Build the setting that all rows of a command have in common.

    Parameters
    ----------
    options
        The command's.
    **changes
        Fields of the setting that the command decides.

    Raises
    ------
    ValueError
        If a name is not known; one line.
    """
    from crystalicl_jobflow.benchmarks import (
        DEFAULT_CONDITIONS,
        BenchmarkSetting,
        condition_names,
        data_set_name,
    )

    dataset = str(changes.get("dataset") or options["dataset"])
    names: list[str] = []
    if options.get("names") == "paper":
        names = list(DEFAULT_CONDITIONS.get(data_set_name(dataset), ("formula", "space_group")))
    elif options.get("names"):
        names = condition_names(options["names"])
    constraint = read_constraint(options)
    return BenchmarkSetting(
        **{
            "label": options.get("label") or "",
            "dataset": dataset,
            "condition": names,
            "limit": options.get("limit"),
            "pool": options.get("pool"),
            "strategy": options.get("strategy") or "C",
            "sampling": read_sampling(options),
            "text_format": options["text_format"],
            "template": options["template"],
            "groups": options.get("groups") or "pool",
            "constrain": constraint if isinstance(constraint, bool) else vars(constraint),
            "predictors": read_predictors(options.get("predictors") or (), names),
            "model": read_model(options),
            **changes,
        }
    )


def read_model(options: Mapping[str, Any], **changes: Any) -> ModelChoice:
    """Return the model that the options name; settings where they do not."""
    from crystalicl_jobflow.benchmarks import ModelChoice

    chosen = {
        "base_model": options.get("model"),
        "adapter": options.get("adapter"),
        "allow_other_base": options.get("allow_other_base"),
        "device": options.get("device"),
        "dtype": options.get("dtype"),
        "quantization": options.get("quantization"),
        "batch_size": options.get("batch_size"),
        "server": read_server(options) or None,
        **changes,
    }
    return ModelChoice(**{name: value for name, value in chosen.items() if value is not None})


def model_identity(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what names the model that the options ask for, with hashes of local weights."""
    return read_model(options).identity()


def read_shots(text: str) -> list[int]:
    """Read numbers of demonstrations, e.g. ``0,3``.

    Raises
    ------
    UserError
        If one is no number from 0 to 5.
    """
    items = [item.strip() for item in str(text).split(",") if item.strip()]
    if not items or any(not item.isdigit() or int(item) > MOST_SHOTS for item in items):
        raise UserError(f"--shots {text}: give numbers from 0 to {MOST_SHOTS}, e.g. 0,3")
    return list(dict.fromkeys(map(int, items)))


def read_predictors(choices: Sequence[str], names: Sequence[str]) -> dict[str, str | None]:
    """Return what predicts the properties that are asked for, and others that are named.

    Parameters
    ----------
    choices
        ``PROPERTY=NAME``, for those that are not to have the default predictor.
    names
        What is asked for.

    Raises
    ------
    UserError
        If a choice is not of this form.
    """
    from crystalicl_jobflow.schemas import find_property

    chosen: dict[str, str | None] = {}
    for choice in choices:
        name, _, predictor = choice.partition("=")
        spec = find_property(name)
        if not predictor or spec is None:
            raise UserError(f"--predictor {choice}: give PROPERTY=NAME, e.g. band_gap=trees")
        chosen[spec.name] = predictor
    if all(find_property(name) is None for name in names):
        return chosen  # nothing heavy is imported where no property is asked for
    from crystalicl_jobflow.energies import PREDICTORS

    return {**{name: None for name in names if name in PREDICTORS}, **chosen}


def run_suite(suite: Suite, options: Mapping[str, Any], *, cache: Any = None) -> list[RunDoc]:
    """Do all runs of a suite, or what is missing of them; write and print the tables.

    Parameters
    ----------
    suite
        The rows.
    options
        ``seed``, ``repeats``, ``processes``, ``out`` and, where the command has it, ``baseline``.
    cache
        Where fingerprints are kept.

    Returns
    -------
    list of RunDoc
        One per row and seed, without the row of element substitution that is put beside them.
    """
    from crystalicl_jobflow.benchmarks import RunFolder, run_setting, write_tables
    from crystalicl_jobflow.generation import check_model_files

    out: Path = options["out"]
    check_folder(out)
    own = suite.settings
    if options.get("baseline"):
        suite = suite.with_baseline()
    seeds = range(options["seed"], options["seed"] + options["repeats"])
    single = len(own) == len(seeds) == 1
    plan = []
    for setting in suite.settings:
        for seed in seeds:
            place = out if single and setting in own else out / setting.slug / f"seed_{seed}"
            # all of them first: a folder of another run is refused before hours of work
            plan.append((setting, seed, RunFolder(place, setting.identity(seed))))
    for setting, _, folder in plan:
        if folder.finished is None:  # before the conditions and demonstrations are chosen
            check_model_files(setting.model.base_model, setting.model.adapter)
    pools = lru_cache(maxsize=4)(open_pool)
    runs = []
    for number, (setting, seed, folder) in enumerate(plan, start=1):
        if len(plan) > 1:
            note(f"Run {number} of {len(plan)}: {setting.label}, seed {seed}")
        if folder.finished is not None:
            note(f"Finished before: {folder.folder / 'metrics.json'}")
        elif folder.resumed:
            note(f"Going on with the run in {folder.folder}")
        with stages() as report:
            run, result = run_setting(
                setting,
                seed,
                folder=folder,
                pools=pools,
                processes=options["processes"],
                cache=cache,
                progress=report,
            )
        if result is not None:
            for name, reason in result.failed:
                note(f"Not read: {name}: {reason}")
            for name, reason in result.impossible:
                note(f"Written freely: {name}: {reason}")
        runs.append(run)
    tables = suite.make_tables(runs, repeats=len(seeds))
    paths = write_tables(out, tables)
    for item in tables:
        print_table(item)
    if single:
        paths = [out / "metrics.json", out / "candidates.jsonl", *paths]
    say(f"Written: {', '.join(map(str, paths))}")
    return runs[: len(own) * len(seeds)]


def print_table(item: TableDoc) -> None:
    """Print a table of ours, without the published rows that the file has.

    One line per row of the table, or per figure where there are many.
    """
    from crystalicl_jobflow.benchmarks.tables import WORDS, figure_text

    heads = [WORDS.get(name, name.replace("_", " ")) for name in item.columns]
    if len(heads) > MOST_COLUMNS:
        shown = table("", *(f">{row.label}" for row in item.rows), title=item.title)
        for name, head in zip(item.columns, heads, strict=True):
            shown.add_row(head, *(figure_text(row, name) for row in item.rows))
    else:
        shown = table("", *(f">{head}" for head in heads), ">Runs", title=item.title)
        for row in item.rows:
            cells = [figure_text(row, name) for name in item.columns]
            shown.add_row(row.label, *cells, str(row.runs))
    stdout_console().print(shown)

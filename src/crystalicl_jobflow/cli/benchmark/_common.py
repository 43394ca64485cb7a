"""What the benchmark commands share: options, the folder of a run, its metrics."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from crystalicl_jobflow.cli._common import note, stages
from crystalicl_jobflow.cli._options import (
    constraint_options,
    format_option,
    model_options,
    read_constraint,
    read_generator,
    read_sampling,
    retrieval_options,
    sampling_options,
)
from crystalicl_jobflow.cli._pool import open_pool

if TYPE_CHECKING:
    from crystalicl_jobflow.flows.benchmark import BenchmarkResult, RunFolder
    from crystalicl_jobflow.retrieval import DemonstrationIndex

Command = TypeVar("Command", bound=Callable[..., Any])


def dataset_options(command: Command, *, shots: int = 3) -> Command:
    """Add the options of every benchmark that asks a model for crystals of a data set."""
    options: list[Callable[[Any], Any]] = [
        click.option(
            "--dataset", required=True, metavar="CSV", help="True crystals, e.g. mp_20_test.csv.gz."
        ),
        click.option(
            "--condition",
            "names",
            default="formula,space_group",
            show_default=True,
            help="What is asked of each crystal: fields of a condition and properties.",
        ),
        partial(retrieval_options, shots=shots),
        click.option(
            "--limit", type=click.IntRange(1), help="Rows drawn from the data set.  [all]"
        ),
        format_option,
        constraint_options,
        sampling_options,
        model_options,
        click.option("--processes", type=click.IntRange(1), default=1, show_default=True),
        click.option(
            "--out",
            type=click.Path(file_okay=False, path_type=Path),
            required=True,
            help="Folder for metrics.json and candidates.jsonl; a run that was killed goes on.",
        ),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def run_on_dataset(
    options: Mapping[str, Any], *, samples: int, unique: bool
) -> tuple[BenchmarkResult | None, RunFolder]:
    """Do the run that the options of :func:`dataset_options` ask for.

    Returns
    -------
    tuple
        What was measured, None where the folder holds this very run, finished; the folder.
    """
    from crystalicl_jobflow.flows.benchmark import (
        RunFolder,
        condition_names,
        conditional_benchmark,
    )

    names = condition_names(options["names"])
    sampling = read_sampling(options)
    constraint = read_constraint(options)
    settings = {
        "dataset": Path(options["dataset"]).name,
        "dataset_sha256": file_hash(options["dataset"]),
        "condition": names,
        "limit": options["limit"],
        "samples": samples,
        "seed": options["seed"],
        "shots": options["shots"],
        "strategy": options["strategy"] if options["shots"] else None,
        "pool": options["pool"] if options["shots"] else None,
        "text_format": options["text_format"],
        "constrain": constraint if isinstance(constraint, bool) else vars(constraint),
        "sampling": sampling.model_dump(),
        "model": model_identity(options),
    }
    folder = RunFolder(options["out"], settings)
    if folder.finished is not None:
        return None, folder
    if folder.resumed:
        note(f"Going on with the run in {options['out']}")
    pool: DemonstrationIndex | None = None
    if options["shots"]:
        pool = open_pool(options["pool"], strategy=options["strategy"])
    with stages() as report:
        result = conditional_benchmark(
            options["dataset"],
            generator=lambda: read_generator(options),
            condition=names,
            pool=pool,
            shots=options["shots"],
            strategy=options["strategy"],
            samples=samples,
            limit=options["limit"],
            seed=options["seed"],
            sampling=sampling,
            text_format=options["text_format"],
            constrain=constraint,
            processes=options["processes"],
            progress=report,
            folder=folder,
            unique=unique,
        )
    for name, reason in result.failed:
        note(f"Not read: {name}: {reason}")
    for name, reason in result.impossible:
        note(f"Written freely: {name}: {reason}")
    return result, folder


def run_metrics(result: BenchmarkResult, folder: RunFolder) -> dict[str, Any]:
    """Return what ``metrics.json`` holds of every run: rates, settings, speed, provenance."""
    from crystalicl_jobflow.cli import _output

    return {
        **_output.rates_document(result.evaluation),
        **{name: value for name, value in folder.settings.items() if name != "sampling"},
        "num_conditions": len(result.material_ids),
        "not_read": dict(result.failed),
        "written_freely": dict(result.impossible),
        "seconds": result.seconds,
        "speed": result.speed,
        **_output.shared_provenance(result.candidates),
        "material_ids": result.material_ids,
    }


def model_identity(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what names the model that the options ask for, with hashes of local weights."""
    from crystalicl_jobflow.generation.loading import model_hashes
    from crystalicl_jobflow.settings import SETTINGS

    base = options.get("model") or SETTINGS.MODEL
    adapter = options.get("adapter") or SETTINGS.ADAPTER
    return {
        "base": base,
        "adapter": adapter,
        **model_hashes(base, adapter),
        "dtype": options.get("dtype"),
        "quantization": options.get("quantization"),
    }


def file_hash(path: str | Path) -> str | None:
    """Return the SHA-256 of a file; None for what is no file (a folder, a store)."""
    file = Path(path)
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()

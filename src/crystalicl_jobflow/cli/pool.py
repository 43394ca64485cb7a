"""``crystalicl pool``: build and inspect pools of demonstrations."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from crystalicl_jobflow.cli._app import OneLineGroup, UserError
from crystalicl_jobflow.cli._console import note, say, stages, stdout_console, table
from crystalicl_jobflow.cli._outputs import check_store

if TYPE_CHECKING:
    from crystalicl_jobflow.retrieval import PoolReport

_SHOWN = 20
"""Failures printed; of the others, their number."""

_store_option = click.option(
    "--store",
    required=True,
    metavar="STORE",
    help="The pool: FILE.json, a folder or FILE.db, mongodb://HOST/DATABASE, FILE.yaml.",
)
_processes_option = click.option(
    "--processes",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes; by default one per core.",
)
_timeout_option = click.option(
    "--fingerprint-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="Time after which a crystal gets no fingerprint.",
)


@click.group(cls=OneLineGroup)
def pool() -> None:
    """Build and inspect pools of demonstrations."""


@pool.command()
@click.argument("source")
@_store_option
@click.option(
    "--fingerprints/--no-fingerprints",
    default=True,
    show_default=True,
    help="Compute CrystalNN fingerprints; strategies with F need them. They can be put off.",
)
@_processes_option
@click.option(
    "--limit", type=click.IntRange(min=0), metavar="N", help="Read at most N records of the source."
)
@_timeout_option
def build(
    source: str,
    store: str,
    fingerprints: bool,
    processes: int | None,
    limit: int | None,
    fingerprint_timeout: float,
) -> None:
    """Fill a pool with the crystals of SOURCE, doing only what is new.

    SOURCE is 'prototypes' (the AFLOW prototypes within pymatgen), a .csv or .csv.gz with a
    'cif' column, a .cif file or a folder of them (POSCAR and ASE's formats too), another
    store whose documents hold structures, or 'mp:' with search criteria
    ('mp:chemsys=Ca-O-Ti') for the Materials Project. An interrupted run continues where it was.
    """
    from crystalicl_jobflow.datasets.sources import open_source
    from crystalicl_jobflow.retrieval import DemonstrationIndex, fill_pool
    from crystalicl_jobflow.stores import open_store

    origin = open_source(source)  # a mistake in it must not create the store
    check_store(store, lambda _spec: None)  # the next line opens it
    target = open_store(store)
    try:
        with stages() as report:
            done = fill_pool(
                origin,
                target,
                fingerprints=fingerprints,
                processes=processes,
                limit=limit,
                fingerprint_timeout=fingerprint_timeout,
                progress=report,
            )
    except KeyboardInterrupt:
        note(f"Interrupted; the pool holds {target.count()}. Run the same command to continue.")
        raise click.exceptions.Exit(130) from None
    index = DemonstrationIndex.from_store(target)
    _show_failures("could not be read", done.failed)
    _show_failures("remarks on what was read", done.remarks)
    _show_failures("got no fingerprint", done.without_fingerprint)
    say(_summary(done, len(index)))
    if done.failed and not (done.added or done.updated or done.unchanged):
        raise UserError(f"no record of {source} could be read")


@pool.command()
@_store_option
def info(store: str) -> None:
    """Say what a pool holds."""
    import numpy as np

    from crystalicl_jobflow.retrieval import DemonstrationIndex
    from crystalicl_jobflow.stores import open_store

    index = DemonstrationIndex.from_store(open_store(store, must_exist=True, connect=False))
    columns = index.columns
    rows = table("What", "Value")
    rows.add_row("store", index.label)
    rows.add_row("demonstrations", str(len(index)))
    rows.add_row("with fingerprint", str(index.num_fingerprints))
    if len(index):
        sites = columns.num_sites
        rows.add_row("sources", ", ".join(columns.source.vocabulary))
        rows.add_row("formulas", str(len(columns.formula.vocabulary)))
        rows.add_row("anonymous formulas", str(len(columns.anonymous_formula.vocabulary)))
        rows.add_row("chemical systems", str(len(columns.chemsys.vocabulary)))
        rows.add_row("space groups", str(len(np.unique(columns.space_group))))
        rows.add_row("sites (primitive cell)", f"{sites.min()} to {sites.max()}")
        for name, values in columns.properties.items():
            known = values[~np.isnan(values)]
            if len(known):
                rows.add_row(name, f"{len(known)}: {known.min():.4g} to {known.max():.4g}")
        rows.add_row("index", f"{index.nbytes / 1e6:.1f} MB")
    stdout_console(asked_for=True).print(rows)


@pool.command()
@_store_option
@_processes_option
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Compute at most N.")
@click.option("--retry-failed", is_flag=True, help="Try again those that failed before.")
@_timeout_option
def fingerprints(
    store: str,
    processes: int | None,
    limit: int | None,
    retry_failed: bool,
    fingerprint_timeout: float,
) -> None:
    """Compute the fingerprints that a pool lacks."""
    from crystalicl_jobflow.retrieval import DemonstrationIndex, compute_fingerprints
    from crystalicl_jobflow.stores import open_store

    target = open_store(store, must_exist=True)
    try:
        with stages() as report:
            done = compute_fingerprints(
                target,
                processes=processes,
                limit=limit,
                retry_failed=retry_failed,
                timeout=fingerprint_timeout,
                progress=report,
            )
    except KeyboardInterrupt:
        note("Interrupted; what was done is kept. Run the same command to continue.")
        raise click.exceptions.Exit(130) from None
    index = DemonstrationIndex.from_store(target)
    _show_failures("got no fingerprint", done.without_fingerprint)
    say(
        f"{done.fingerprinted} fingerprints computed, {len(done.without_fingerprint)} failed,"
        f" {done.seconds:.1f} s; {index.num_fingerprints} of {len(index)} have one"
    )


def _show_failures(what: str, failed: list[tuple[str, str]]) -> None:
    if not failed:
        return
    note(f"{len(failed)} {what}:")
    for name, reason in failed[:_SHOWN]:
        note(f"  {name}: {reason}")
    if len(failed) > _SHOWN:
        note(f"  and {len(failed) - _SHOWN} more")


def _summary(done: PoolReport, size: int) -> str:
    parts = [f"{done.added} added", f"{done.updated} updated", f"{done.unchanged} unchanged"]
    parts.append(f"{len(done.failed)} failed")
    if done.fingerprinted:
        parts.append(f"{done.fingerprinted} fingerprints")
    return f"{', '.join(parts)}, {done.seconds:.1f} s; the pool holds {size}"

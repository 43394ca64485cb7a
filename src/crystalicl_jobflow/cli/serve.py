"""``crystalicl serve``: a page of one's own, to ask for crystals in a browser."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from crystalicl_jobflow.cli._app import UserError
from crystalicl_jobflow.cli._console import note
from crystalicl_jobflow.cli._options import (
    check_model,
    groups_option,
    model_options,
    open_pool,
    read_generator,
    retrieval_options,
)

if TYPE_CHECKING:
    from maggma.core import Store

    from crystalicl_jobflow.web import Limits
    from crystalicl_jobflow.web.database import Database
    from crystalicl_jobflow.web.generating import Generating

TOKEN_VARIABLE = "CRYSTALICL_WEB_TOKEN"
"""Environment variable with the token; one is drawn where it is not set."""

_TOKEN = re.compile(r"[\w.~-]{16,200}", re.ASCII)


@click.command(
    epilog="\b\ncrystalicl serve\n"
    "crystalicl serve --store candidates.sqlite --port 8080\n"
    "crystalicl serve --host 0.0.0.0 --model embedded+substitution --most-samples 16"
)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Where to listen: by default this machine alone can reach it; any other address needs"
    " a token.",
)
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 takes a free one.",
)
@click.option(
    "--token/--no-token",
    default=None,
    help="Whether pages need the token in the address that is printed.  [default: where other"
    " machines can reach them]",
)
@click.option(
    "--allow-host",
    "names",
    multiple=True,
    metavar="NAME",
    help="A further name by which browsers call this server; repeatable.",
)
@click.option(
    "--store",
    help="Store of candidates whose past runs are shown, and that keeps what is asked here.",
)
@click.option(
    "--read-only",
    is_flag=True,
    help="Only show what --store holds: then also a candidates.jsonl or the folder of a run.",
)
@click.option(
    "--most-samples",
    type=click.IntRange(1, 1000),
    default=32,
    show_default=True,
    help="Most texts of one question.",
)
@click.option(
    "--queue",
    "waiting",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Questions that wait; a further one is refused.",
)
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(1),
    default=600.0,
    show_default=True,
    help="Seconds after which a question is given up.",
)
@retrieval_options
@groups_option
@model_options
def serve(**options: Any) -> None:
    """Serve a page to ask for crystals, look at them and take them along.

    One model is loaded, once, while the page answers already, and one question is worked on
    at a time. Browsers say conditions only: model, pool and store are those of this command.
    Ctrl-C ends it.
    """
    from crystalicl_jobflow.web import Address, Limits, check_installed

    check_installed()
    if options["read_only"] and options["store"] is None:
        raise UserError("--read-only has no effect without --store")
    token = _token(options)
    address = Address(options["host"], options["port"], token, options["names"])
    limits = Limits(
        samples=options["most_samples"], waiting=options["waiting"], seconds=options["seconds"]
    )
    listening = address.listen()
    with listening:
        check_model(options)
        database = _database(options, limits)

        from crystalicl_jobflow.settings import SETTINGS
        from crystalicl_jobflow.web.generating import Loading
        from crystalicl_jobflow.web.place import Place
        from crystalicl_jobflow.web.serving import serve as serve_pages
        from crystalicl_jobflow.web.work import Work

        answer = Loading(partial(_generating, options))
        keep = None if database is None or options["read_only"] else database.write

        def prepare() -> None:
            answer.prepare()
            note("The model is loaded.")

        work = Work(answer, limits, keep=keep, prepare=prepare)
        place = Place(work, options["model"] or SETTINGS.MODEL, database, limits)

        def ending() -> None:
            note("Ending: what is being worked on is given up")
            answer.close()

        ended = serve_pages(
            place, address, listening=listening, ready=partial(_ready, token), ending=ending
        )
    if not ended:
        note("Ended in the midst of loading or writing.")
        os._exit(0)  # a library's thread may not be waited for
    note("Ended.")


def _token(options: Mapping[str, Any]) -> str | None:
    """Return the token that pages need; None for none.

    Raises
    ------
    UserError
        If others could reach the pages without one, or it is too simple.
    """
    from crystalicl_jobflow.web import Address

    loopback = Address(options["host"]).loopback
    wanted = options["token"]
    if wanted is None:
        wanted = not loopback
    if not wanted and not loopback:
        raise UserError(f"--no-token needs --host 127.0.0.1: others can reach {options['host']}")
    if not wanted:
        return None
    token = os.environ.get(TOKEN_VARIABLE) or secrets.token_urlsafe(24)
    if not _TOKEN.fullmatch(token):
        raise UserError(f"{TOKEN_VARIABLE} needs 16 to 200 letters, digits and . _ ~ -")
    return token


def _database(options: Mapping[str, Any], limits: Limits) -> Database | None:
    spec = options["store"]
    if spec is None:
        return None
    from crystalicl_jobflow.candidates import open_candidate_store, open_candidates
    from crystalicl_jobflow.utils.redaction import redact
    from crystalicl_jobflow.web.database import Database

    open_it: Callable[[], Store] = partial(open_candidates, spec)
    if not options["read_only"]:
        if str(spec).endswith(".jsonl"):
            raise UserError(f"{spec} can only be shown: add --read-only")
        open_it = partial(open_candidate_store, spec)
    # browsers are told the file's name, not where it lies
    label = redact(spec) if "://" in spec else Path(spec).name
    return Database(open_it, label, limits)


def _generating(options: Mapping[str, Any]) -> Generating:
    from crystalicl_jobflow.generation import Writing
    from crystalicl_jobflow.generation.loading import templates_needed
    from crystalicl_jobflow.settings import SETTINGS
    from crystalicl_jobflow.web.generating import Generating

    model = options["model"] or SETTINGS.MODEL
    generator = read_generator(options)
    own_pool = options["pool"] is not None
    drawn = own_pool and options["groups"] == "pool"
    pool = None
    if options["shots"] or templates_needed(model, 1) or drawn:
        pool = open_pool(options["pool"], strategy=options["strategy"])
    return Generating(
        generator, model, pool, own_pool, options["strategy"], options["shots"],
        Writing(groups=options["groups"]),
    )  # fmt: skip


def _ready(token: str | None, url: str) -> None:
    click.echo(f"Serving at {url}")
    note("The model is being loaded meanwhile.")
    if token is not None:
        note("Whoever has this address can ask; it is sent unencrypted.")
    note("Ctrl-C ends it.")

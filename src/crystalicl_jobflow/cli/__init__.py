"""The ``crystalicl`` command.

Commands are imported when they are called: ``crystalicl --help`` answers at once, and a
command whose extra is missing does not break the others.
"""

from __future__ import annotations

import logging
import sys
import warnings

import click

from crystalicl_jobflow.cli._app import LazyGroup
from crystalicl_jobflow.cli._terminal import show_what_can_be_shown
from crystalicl_jobflow.utils.redaction import RedactingFilter, show_traceback
from crystalicl_jobflow.utils.versions import __version__

_COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("demo:demo", "Run the whole chain once, on what ships with the package."),
    "init": ("init:init", "Copy ready-made stores, Flows and workers into a folder."),
    "generate": ("generate:generate", "Generate crystals for a condition."),
    "edit": ("edit:edit", "Change a crystal: other elements, filled orbits, new coordinates."),
    "submit": ("submit:submit", "Run or submit the Flow that a YAML file describes."),
    "collect": ("collect:collect", "Gather candidates from the outputs of jobs."),
    "query": ("query:query", "Search generated crystals."),
    "evaluate": ("evaluate:evaluate", "Evaluate generated crystals."),
    "text": ("text:text", "Write crystals as text and read them back."),
    "pool": ("pool:pool", "Build and inspect pools of demonstrations."),
    "train": ("train:train", "Train models and adapters."),
    "export": ("export:export", "Write candidates for leaderboards' own programs."),
    "predict-property": (
        "predict:predict_property",
        "Predict a property of given crystals with the language model.",
    ),
    "benchmark": ("benchmark:benchmark", "Measure quality on a data set."),
    "report": ("report:report", "Write a page to look at a run."),
    "serve": ("serve:serve", "Serve a page to ask for crystals in a browser."),
}


@click.command(
    cls=LazyGroup,
    lazy={
        name: (f"crystalicl_jobflow.cli.{place}", text) for name, (place, text) in _COMMANDS.items()
    },
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="crystalicl")
def cli() -> None:
    """Generate crystals with in-context language models.

    Begin with `crystalicl demo`. Every command explains itself with --help.
    """


def main() -> None:
    """Run the command line.

    Warnings of libraries are not shown, unless Python is asked for them (``-W``,
    ``PYTHONWARNINGS``): what a user has to know, the commands say themselves.
    """
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    sys.excepthook = show_traceback
    show_what_can_be_shown()
    if logging.lastResort is not None:
        logging.lastResort.addFilter(RedactingFilter())
    cli(prog_name="crystalicl")


__all__ = ["cli", "main"]

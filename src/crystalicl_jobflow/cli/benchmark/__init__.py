"""``crystalicl benchmark``: quality measured on data sets.

Each command has a module of its own, imported when it is called; one is added with a line
here.
"""

from __future__ import annotations

import click

from crystalicl_jobflow.cli._app import LazyGroup

_COMMANDS: dict[str, tuple[str, str]] = {
    "conditional": (
        "conditional:conditional",
        "Ask for the crystals of a data set by their conditions, and compare.",
    ),
    "prediction": (
        "prediction:prediction",
        "Predict the crystals of a data set; match rate with 1 to n samples.",
    ),
    "unconditional": (
        "unconditional:unconditional",
        "Write crystals without a condition; validity, coverage, distributions.",
    ),
    "discovery": (
        "discovery:discovery",
        "Relax crystals asked for by nothing and by chemical system; count S.U.N.",
    ),
    "cross-domain": (
        "cross_domain:cross_domain",
        "Ask for crystals of one data set with demonstrations of another.",
    ),
    "ablation": (
        "ablation:ablation",
        "Compare strategies, numbers of demonstrations, or models trained on less.",
    ),
    "property": (
        "property:property_command",
        "Predict a property of the crystals of a data set; mean absolute error.",
    ),
    "infill": (
        "infill:infill",
        "Mask an orbit of the crystals of a data set; how often it is found again.",
    ),
    "search": (
        "search:search",
        "Compare tree search with random sampling on the conditions that a model finds hard.",
    ),
    "xrd": (
        "xrd:xrd",
        "Predict crystals with and without a simulated powder pattern.",
    ),
    "evidence": (
        "evidence:evidence",
        "Fit the weights of the ranking by evidence on finished prediction runs.",
    ),
    "lattice-constants": (
        "lattice_constants:lattice_constants",
        "Compare lattice constants of cubic crystals in finished runs with the true ones.",
    ),
    "agreement": (
        "agreement:agreement",
        "Compare our verdicts with those that others published.",
    ),
    "groups": (
        "groups:groups",
        "Fit the weights by which a pool tells the space group of a formula.",
    ),
    "correction": (
        "correction:correction",
        "Fit the bias of a predictor on known values, to take it out.",
    ),
    "judge": ("judge:judge", "Judge the crystals of a finished benchmark by other predictors."),
    "table": ("table:table", "Put the rows of finished benchmarks into one table."),
    "check": (
        "check:check",
        "Hold the figures of pages against the stored results they come from.",
    ),
    "energies": (
        "energies:energies",
        "Compare predicted properties with the known ones of a data set.",
    ),
}


@click.group(
    cls=LazyGroup,
    lazy={
        name: (f"crystalicl_jobflow.cli.benchmark.{place}", text)
        for name, (place, text) in _COMMANDS.items()
    },
)
def benchmark() -> None:
    """Measure quality on a data set."""


__all__ = ["benchmark"]

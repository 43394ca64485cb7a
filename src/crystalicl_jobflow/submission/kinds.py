"""The Flows that have a name of their own in files, and their parts."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FlowKind:
    """A Flow Maker as files see it.

    Parameters
    ----------
    maker
        The Maker, as package.module.Maker.
    sections
        Section of the file → fields from the Maker down to that step's Maker.
    inputs
        Arguments of its ``make`` that a file gives under their own names; the first is
        needed.
    required
        Sections without which there is no such Flow.
    """

    maker: str
    sections: dict[str, tuple[str, ...]]
    inputs: tuple[str, ...]
    required: tuple[str, ...] = ()


_GENERATION = {
    "retrieve": ("retrieve_maker",),
    "generate": ("generate_maker",),
    "validate": ("validate_maker",),
}

KINDS: dict[str, FlowKind] = {
    "generate": FlowKind(
        "crystalicl_jobflow.flows.CrystalGenerationFlowMaker",
        {**_GENERATION, "evaluate": ("evaluate_maker",)},
        ("conditions", "references"),
    ),
    "discover": FlowKind(
        "crystalicl_jobflow.flows.DiscoveryFlowMaker",
        {
            **{name: ("generation_maker", *path) for name, path in _GENERATION.items()},
            "select": ("select_maker",),
            "relax": ("relax_maker",),
            "select_dft": ("dft_select_maker",),
            "dft": ("dft_maker",),
            "evaluate": ("evaluate_maker",),
        },
        ("conditions", "known", "references"),
        required=("relax",),
    ),
    "train": FlowKind(
        "crystalicl_jobflow.flows.TrainFlowMaker",
        {"instructions": ("instructions_maker",), "train": ("train_maker",)},
        ("data", "conditions", "references"),
    ),
    "benchmark": FlowKind("crystalicl_jobflow.flows.BenchmarkFlowMaker", {}, ("suite",)),
}
"""Name of a Flow in a file → its Maker and parts."""

SUITES: dict[str, str] = {
    "conditional": "conditional_suite",
    "prediction": "prediction_suite",
    "unconditional": "unconditional_suite",
    "cross-domain": "cross_domain_suite",
    "strategies": "strategies_suite",
    "shots": "shots_suite",
}
"""What a benchmark measures → the function that makes its rows."""

"""Documents of the benchmarks: what one part of a run gave."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from crystalicl_jobflow.schemas.base import Batched, Document
from crystalicl_jobflow.schemas.candidate import Candidate
from crystalicl_jobflow.schemas.retrieval import Demonstration

TABLE_FILE = "table.json"
"""What ``crystalicl benchmark`` writes beside its runs: the tables."""


class Comparison(Document):
    """A generated crystal beside the true one."""

    matched: bool
    rms: float | None = Field(
        None, description="RMS displacement over (volume per atom)^(1/3); None without a match."
    )
    max_distance: float | None = Field(
        None, description="Largest displacement, normalised likewise; None without a match."
    )
    reduced: bool = Field(
        False, description="Whether the matcher's reduction to primitive cells found the match."
    )


class SamplePart(Document):
    """Some conditions of a benchmark: their texts, read, checked and compared."""

    candidates: Batched[Candidate] = Field(
        default_factory=list, description="By condition and sample; in the store 'data'."
    )
    comparisons: list[Comparison | None] = Field(
        default_factory=list, description="One per candidate; None where there is no true crystal."
    )
    impossible: dict[int, str] = Field(
        default_factory=dict,
        description="Place of a condition that no text can meet → why; it was written freely.",
    )
    with_template: list[int] = Field(
        default_factory=list,
        description="Places of conditions for which a crystal of the pool was found that has their"
        " stoichiometry, and their group where that was asked for.",
    )
    in_pool: dict[int, bool] = Field(
        default_factory=dict,
        description="Place of a condition → whether the pool holds a crystal of the true one's"
        " formula and group, which is never shown; only where there is a pool.",
    )
    seconds: dict[str, float] = Field(
        default_factory=dict, description="Wall time of generate, check and match, in s."
    )


class RunDoc(Document):
    """One run of a benchmark: a row of its table with one seed."""

    label: str = Field(description="Name of the row.")
    seed: int
    figures: dict[str, float | None] = Field(
        default_factory=dict, description="Rates and other figures by name."
    )
    metrics: dict[str, Any] = Field(
        default_factory=dict, description="All that metrics.json holds of the run."
    )
    missing_parts: list[int] = Field(
        default_factory=list, description="Parts whose job failed, counted from 1; not counted."
    )

    @classmethod
    def from_metrics(
        cls, label: str, seed: int, metrics: Mapping[str, Any], *, missing: list[int] | None = None
    ) -> RunDoc:
        """Build the document of a run from what ``metrics.json`` holds."""
        figures: dict[str, float | None] = dict(metrics["metrics"])
        figures |= {name: rate["rate"] for name, rate in metrics["rates"].items()}
        for row in metrics.get("prediction", ()):
            figures[f"match_at_{row['n']}"] = row["match_rate"]
            figures[f"match_valid_at_{row['n']}"] = row["match_rate_valid"]
            figures[f"rms_at_{row['n']}"] = row["rms"]
            figures[f"rms_valid_at_{row['n']}"] = row["rms_valid"]
        for row in metrics.get("prediction_ranked", ()):
            figures[f"match_ranked_at_{row['n']}"] = row["match_rate"]
            figures[f"rms_ranked_at_{row['n']}"] = row["rms"]
        figures |= {
            name: metrics["speed"][name] for name in ("tokens_per_second", "crystals_per_second")
        }
        if metrics.get("seconds"):
            figures["seconds"] = sum(metrics["seconds"].values())
        return cls(
            label=label,
            seed=seed,
            figures=figures,
            metrics=dict(metrics),
            missing_parts=missing or [],
        )


class TableRow(Document):
    """A row of a table: ours, or a published one."""

    label: str
    data_set: str = Field("", description="Name of the data set.")
    source: str = Field("here", description="'here', or the paper and its table's number.")
    mean: dict[str, float | None] = Field(default_factory=dict, description="By figure's name.")
    std: dict[str, float | None] = Field(
        default_factory=dict, description="Standard deviation over the runs; None for one run."
    )
    uncertainty: dict[str, float] = Field(
        default_factory=dict,
        description="Half the width of the 95 % interval of a rate over the cases of all runs;"
        " tables show as many digits as it allows.",
    )
    of: dict[str, int] = Field(
        default_factory=dict, description="Runs in which there is such a figure."
    )
    runs: int = 0
    missing_runs: int = Field(0, description="Runs whose jobs failed.")
    missing_parts: int = Field(0, description="Parts of the other runs whose jobs failed.")


class TableDoc(Document):
    """A benchmark's table: our rows, and published ones beside them."""

    title: str
    columns: list[str] = Field(default_factory=list, description="Figures shown, by name.")
    rows: list[TableRow] = Field(default_factory=list)
    published: list[TableRow] = Field(default_factory=list)
    notes: list[str] = Field(default_factory=list)
    repeats: int = 1


class PlanDoc(Document):
    """What is asked for in one run, in the parts that go to the workers."""

    parts: list[dict[str, Any]] = Field(
        default_factory=list, description="Conditions by part, each in the store 'data'."
    )
    num_parts: int = 0
    num_texts: int = 0
    crystals: Batched[Demonstration] = Field(
        default_factory=list, description="The true crystals, in order."
    )
    failed: list[tuple[str, str]] = Field(
        default_factory=list, description="Id and reason of the rows that cannot be read."
    )
    identity: dict[str, Any] = Field(
        default_factory=dict, description="All that decides the run's figures."
    )
    finished: dict[str, Any] | None = Field(
        None, description="Metrics of this very run where the folder holds it, done."
    )


class TablesDoc(Document):
    """The tables of a benchmark."""

    tables: list[TableDoc] = Field(default_factory=list)
    markdown: str = ""

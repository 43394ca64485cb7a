"""Suites: the rows of each benchmark, and the tables that come of their runs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting, ModelChoice
from crystalicl_jobflow.benchmarks.tables import COLUMNS, benchmark_table
from crystalicl_jobflow.generation.substitution import SUBSTITUTION_MODEL
from crystalicl_jobflow.schemas import Strategy
from crystalicl_jobflow.schemas.benchmark import RunDoc, TableDoc
from crystalicl_jobflow.selection.ranking import PATTERN

if TYPE_CHECKING:
    from crystalicl_jobflow.energies import PropertyPredictor

STRATEGIES: tuple[Strategy, ...] = ("FR", "F", "R", "CFR", "CF", "CR", "C")
"""The strategies of CrystalICL's table 4, in its order."""

SHOTS: tuple[tuple[int, Strategy], ...] = (
    (1, "R"), (2, "R"), (3, "R"), (1, "C"), (2, "C"), (3, "C"),
)  # fmt: skip
"""Shots and strategies of CrystalICL's table 5, in its order."""


@dataclass(frozen=True)
class Suite:
    """Rows that belong together, and the published tables beside them.

    Parameters
    ----------
    title
        Words above the tables.
    settings
        One per row; their labels differ.
    tables
        Title, columns and published tables' numbers of each table over the same runs.
    notes
        Remarks below each table.

    Raises
    ------
    ValueError
        If two rows have the same label.
    """

    title: str
    settings: tuple[BenchmarkSetting, ...]
    tables: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        labels = [setting.label for setting in self.settings]
        for label in labels:
            if labels.count(label) > 1:
                raise ValueError(f"two rows are called {label!r}")

    def with_baseline(self) -> Suite:
        """Return the suite with a row of element substitution for each data set.

        Substitution needs a formula and known crystals: there is no such row where no pool is
        named, no formula is asked for, or substitution is a row already.
        """
        rows: dict[str, BenchmarkSetting] = {}
        for setting in self.settings:
            if setting.model.base_model == SUBSTITUTION_MODEL:
                return self
            asked = setting.kind != "unconditional" and "formula" in setting.condition
            if setting.pool is None or not asked:
                continue
            several = len({row.dataset for row in self.settings}) > 1
            more = f", {setting.data_set_name}" if several else ""
            patterns = [name for name in setting.rankings if name.startswith(PATTERN)]
            changes = {
                "label": f"element substitution{more}",
                "model": ModelChoice(base_model=SUBSTITUTION_MODEL, adapter=None),
                "shots": 0,
                "strategy": "C",
                "rankings": ["order", *patterns] if setting.samples > 1 else [],
            }
            rows.setdefault(setting.dataset, setting.model_copy(update=changes))
        return replace(self, settings=(*self.settings, *rows.values()))

    def document(self) -> dict[str, Any]:
        """Return the suite as plain data."""
        return {
            "title": self.title,
            "settings": [setting.model_dump(mode="json") for setting in self.settings],
            "tables": [list(map(_plain, table)) for table in self.tables],
            "notes": list(self.notes),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Suite:
        """Read what :meth:`document` returned."""
        return cls(
            title=document["title"],
            settings=tuple(map(BenchmarkSetting.model_validate, document["settings"])),
            tables=tuple(
                (title, tuple(columns), tuple(numbers))
                for title, columns, numbers in document["tables"]
            ),
            notes=tuple(document["notes"]),
        )

    def make_tables(self, runs: Sequence[RunDoc | None], *, repeats: int) -> list[TableDoc]:
        """Put the runs into tables.

        Parameters
        ----------
        runs
            Of all rows and seeds, in any order; None for those that failed.
        repeats
            Runs per row.
        """
        labels = {setting.label: setting.data_set_name for setting in self.settings}
        made = [
            benchmark_table(
                f"{self.title}: {title}" if title else self.title,
                labels,
                runs,
                columns=columns,
                repeats=repeats,
                tables=numbers,
                notes=self.notes,
            )
            for title, columns, numbers in self.tables
        ]
        return [table for table in made if table.columns] or made[:1]


def conditional_suite(
    setting: BenchmarkSetting, *, shots: Sequence[int] = (0, 3), strategy: Strategy = "C"
) -> Suite:
    """Success on a data set with several numbers of demonstrations: tables 1 and 7, figure 4.

    Parameters
    ----------
    setting
        What all rows have in common.
    shots
        Demonstrations of each row.
    strategy
        How they are chosen.
    """
    rows = tuple(table_row_setting(setting, shots=count, strategy=strategy) for count in shots)
    name = setting.data_set_name
    figure = ("figure 4",) if name in ("perov_5", "carbon_24") else ("1",)
    return Suite(
        title=f"Conditional generation, {name}",
        settings=rows,
        tables=(
            ("success", COLUMNS["conditional"], figure),
            ("realism", COLUMNS["realism"], ("7",)),
        ),
        notes=_constraint_notes(rows),
    )


def unconditional_suite(setting: BenchmarkSetting) -> Suite:
    """Ask for nothing; validity, coverage and distributions: table 2."""
    row = table_row_setting(setting, kind="unconditional", shots=0)
    return Suite(
        title=f"Unconditional generation, {setting.data_set_name}",
        settings=(row,),
        tables=(("", COLUMNS["unconditional"], ("2",)),),
        notes=(
            f"{row.samples} texts, {sampling_words(row)}.",
            "COV-R and COV-P: each cut-off is asked of the nearest crystal by that fingerprint"
            " alone, as in the published code; one crystal: both of the same one, a stricter rule.",
            "W is the Wasserstein distance to the test set, over valid crystals.",
            *_predictor_notes(row),
        ),
    )


def cross_domain_suite(
    setting: BenchmarkSetting, datasets: Sequence[str], *, shots: Sequence[int] = (0, 3)
) -> Suite:
    """Demonstrations of one data set, conditions of others: figure 5.

    Parameters
    ----------
    setting
        What all rows have in common; its pool is of the one data set.
    datasets
        Test files of the others.
    shots
        Demonstrations of each row.
    """
    rows = []
    for dataset in datasets:
        other = setting.model_copy(update={"dataset": dataset})
        rows += [
            table_row_setting(other, shots=count, more=f", {other.data_set_name}")
            for count in shots
        ]
    return Suite(
        title="Cross-domain conditional generation",
        settings=tuple(rows),
        tables=(("success", COLUMNS["conditional"], ("figure 5",)),),
        notes=_constraint_notes(rows),
    )


def strategies_suite(
    setting: BenchmarkSetting, *, strategies: Sequence[Strategy] = STRATEGIES, shots: int = 3
) -> Suite:
    """Ways of choosing demonstrations: table 4.

    Parameters
    ----------
    setting
        What all rows share.
    strategies
        One row each.
    shots
        Demonstrations in each prompt.
    """
    rows = tuple(
        setting.model_copy(update={"label": name, "strategy": name, "shots": shots})
        for name in strategies
    )
    return Suite(
        title=f"Selection of the demonstrations, {shots}-shot, {setting.data_set_name}",
        settings=rows,
        tables=(("", COLUMNS["conditional"], ("4",)),),
        notes=_constraint_notes(rows),
    )


def shots_suite(
    setting: BenchmarkSetting, *, choices: Sequence[tuple[int, Strategy]] = SHOTS
) -> Suite:
    """Numbers of demonstrations: table 5."""
    rows = tuple(
        setting.model_copy(
            update={"label": f"{count}-shot {name}", "strategy": name, "shots": count}
        )
        for count, name in choices
    )
    return Suite(
        title=f"Number of demonstrations, {setting.data_set_name}",
        settings=rows,
        tables=(("", COLUMNS["conditional"], ("5",)),),
        notes=_constraint_notes(rows),
    )


def models_suite(
    setting: BenchmarkSetting, models: Mapping[str, ModelChoice], *, shots: Sequence[int] = (0, 3)
) -> Suite:
    """Models trained on different instruction sets: table 3.

    Parameters
    ----------
    setting
        What all rows have in common.
    models
        Name → model.
    shots
        Demonstrations of each row.
    """
    rows = tuple(
        setting.model_copy(
            update={"label": f"{name}, {count}-shot", "model": model, "shots": count}
        )
        for count in shots
        for name, model in models.items()
    )
    return Suite(
        title=f"Instruction types in the tuning set, {setting.data_set_name}",
        settings=rows,
        tables=(("", COLUMNS["conditional"], ("3",)),),
        notes=_constraint_notes(rows),
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def table_row_setting(
    setting: BenchmarkSetting,
    *,
    shots: int,
    strategy: Strategy | None = None,
    kind: str | None = None,
    more: str = "",
) -> BenchmarkSetting:
    """Return a row with its label: the model, the text, the shots."""
    name = setting.label or re.split(r"[/#]", setting.model.base_model.rstrip("/#"))[-1]
    asked_for = kind or setting.kind
    label = f"{name} ({setting.text_format.upper()})"
    if asked_for != "unconditional":
        label += f" {shots}-shot"
    changes = {"label": label + more, "shots": shots, "kind": asked_for}
    if strategy is not None:
        changes["strategy"] = strategy
    return setting.model_copy(update=changes)


def run_notes(rows: Sequence[BenchmarkSetting]) -> tuple[str, ...]:
    """Say how many conditions there are, and how many draws went into a sample."""
    first = rows[0]
    drawn = "All conditions of the file" if first.limit is None else f"{first.limit} conditions"
    notes = [f"{drawn} in each run, drawn with its seed; {sampling_words(first)}."]
    if first.sampling.best_of > 1:
        notes.append(f"Each sample is the most probable of {first.sampling.best_of} draws.")
    return tuple(notes)


def sampling_words(row: BenchmarkSetting) -> str:
    """Say how texts are drawn."""
    sampling = row.sampling
    top_k = "" if sampling.top_k is None else f", top-k {sampling.top_k}"
    return f"temperature {sampling.temperature:g}, top-p {sampling.top_p:g}{top_k}"


def _constraint_notes(rows: Sequence[BenchmarkSetting]) -> tuple[str, ...]:
    """Say what a constraint guarantees, and who predicted the properties."""
    notes = list(run_notes(rows))
    if any(row.constrain is not False for row in rows):
        notes.append(
            "Written under constraint: formula and space group are met as the text is written;"
            " compare with --no-constrain."
        )
    return (*notes, *_predictor_notes(rows[0]))


def _predictor_notes(row: BenchmarkSetting) -> tuple[str, ...]:
    return (predictor_note(row.load_predictors()),) if row.predictors else ()


PREDICTED = "Properties are predicted: "
"""With this the note on predictors begins."""


def predictor_note(predictors: Sequence[PropertyPredictor]) -> str:
    """Say what predicted the properties."""
    named = ", ".join(
        f"{item.property_name.replace('_', ' ')} by {item.name} ({item.version})"
        for item in predictors
    )
    return f"{PREDICTED}{named}; the papers used MEGNet."

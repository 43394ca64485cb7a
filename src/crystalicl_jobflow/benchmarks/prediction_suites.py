"""Suites of structure prediction: match rates of the first samples, with powder patterns too."""

from __future__ import annotations

from collections.abc import Sequence

from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting
from crystalicl_jobflow.benchmarks.simulated_patterns import PatternSimulation
from crystalicl_jobflow.benchmarks.suites import Suite, run_notes, table_row_setting
from crystalicl_jobflow.benchmarks.tables import COLUMNS, seed_rows
from crystalicl_jobflow.evaluation.structure_prediction import SAMPLES
from crystalicl_jobflow.selection.ranking import PATTERN, SIMILARITY

_RANKED_NOTE = "Ranked: of all {n} samples, the different crystals, by {by}."


def prediction_suite(
    setting: BenchmarkSetting, *, shots: Sequence[int] = (0,), top: Sequence[int] = ()
) -> Suite:
    """Match rate and RMS with 1 to n samples: CrystaLLM's table 3, CSPML's 90 crystals.

    Parameters
    ----------
    setting
        What all rows have in common.
    shots
        Demonstrations of each row.
    top
        Numbers of samples that have a column; 1 and all by default.

    Raises
    ------
    ValueError
        If one of them is not among the samples.
    """
    for count in top:
        if not 1 <= count <= setting.samples:
            raise ValueError(f"top {count}: there are {setting.samples} samples of a condition")
    rows = tuple(table_row_setting(setting, kind="prediction", shots=count) for count in shots)
    counts = sorted({*top}) or sorted({1, setting.samples})
    fewer = [count for count in top or SAMPLES if count < setting.samples]
    columns = tuple(
        name.format(n=count)
        for group, numbers in (("prediction", counts), ("ranked", fewer))
        for count in numbers
        for name in COLUMNS[group]
    )
    columns += ("seconds",)
    asked = ", ".join(setting.condition)
    given = seed_rows(["CrystaLLM 3"], data_set=setting.data_set_name)
    return Suite(
        title=f"Structure prediction, {setting.data_set_name}, asked for {asked}",
        settings=rows,
        tables=(("", columns, ("CrystaLLM 3", "CSPML")),),
        notes=(
            *run_notes(rows),
            *([_RANKED_NOTE.format(n=setting.samples, by=_ranked_by(setting))] if fewer else []),
            *(
                ["The published models were given the cell composition, not the space group."]
                if given
                else []
            ),
        ),
    )


XRD_RANKINGS = ("times_drawn", PATTERN, SIMILARITY)  # without the pattern, and with it


def xrd_suite(
    setting: BenchmarkSetting, simulation: PatternSimulation, *, shots: Sequence[int] = (3,)
) -> Suite:
    """Match rate of the first crystal with and without a simulated powder pattern.

    Parameters
    ----------
    setting
        What all rows have in common; its samples are ranked.
    simulation
        How the patterns of the true crystals are simulated.
    shots
        Demonstrations of each row.
    """
    base = setting.model_copy(update={"xrd": simulation, "rankings": list(XRD_RANKINGS)})
    rows = tuple(table_row_setting(base, kind="prediction", shots=count) for count in shots)
    ranked = (f"match_ranked_{name}_at_1" for name in XRD_RANKINGS)
    columns = ("match_at_1", *ranked, f"match_at_{setting.samples}", "seconds")
    return Suite(
        title=f"Powder patterns, {setting.data_set_name}, asked for {', '.join(setting.condition)}",
        settings=rows,
        tables=(("", columns, ()),),
        notes=(
            *run_notes(rows),
            f"All columns are of the same {setting.samples} draws. match at 1: the first draw (the"
            " nearest template); times drawn: the crystal drawn most often; xrd: similarity to the"
            " pattern and votes; xrd similarity: the pattern alone.",
            f"Simulated patterns: {simulation.model_dump()}.",
        ),
    )


def _ranked_by(setting: BenchmarkSetting) -> str:
    """Return the first ranking in words."""
    if not setting.rankings:
        return (
            "what meets the condition first, then what was drawn most often, then the most probable"
        )
    return ", then ".join(setting.rankings[0].replace("_", " ").split(","))

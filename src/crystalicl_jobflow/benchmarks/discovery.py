"""Discovery: how many crystals are stable, unique and new once they are relaxed.

Asked for are nothing, and chemical systems of a data set's crystals. Beside both stands element
substitution for the same systems.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from crystalicl_jobflow.benchmarks.conditional import cached_data_set
from crystalicl_jobflow.benchmarks.new_substitutions import substituted
from crystalicl_jobflow.benchmarks.run_folder import CANDIDATES, RunFolder
from crystalicl_jobflow.benchmarks.runs import run_setting
from crystalicl_jobflow.benchmarks.settings import BenchmarkSetting, label_slug, lasting_path
from crystalicl_jobflow.benchmarks.suites import sampling_words
from crystalicl_jobflow.candidates import load_candidates
from crystalicl_jobflow.datasets.crystal_data import CrystalData
from crystalicl_jobflow.datasets.sources import open_source
from crystalicl_jobflow.energies.kept import ENERGIES_FILE
from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_and_judge
from crystalicl_jobflow.evaluation.intervals import CONFIDENCE, wilson_interval
from crystalicl_jobflow.schemas.benchmark import SamplePart
from crystalicl_jobflow.utils.hashing import file_hash
from crystalicl_jobflow.utils.progress import StageProgress

NOTHING, SYSTEM = "nothing", "a chemical system"
"""What is asked for: the names of the rows."""

SUBSTITUTION = "element substitution"
"""Name of the row of element substitution, for the same chemical systems."""

COUNTED = {
    "valid": "valid",
    "relaxed": "relaxed",
    "unique": "unique",
    "novel": "novel",
    "stable": "stable",
    "metastable": "metastable",
    "sun": "S.U.N.",
    "metastable_sun": "metastable S.U.N.",
}
"""Rates of the table, with their headings."""

JUDGED = "judged"
"""Folder of a row's relaxed and judged candidates."""


@dataclass(frozen=True)
class DiscoverySetting:
    """What a discovery benchmark asks for, and by what it judges.

    Parameters
    ----------
    texts
        The setting of the texts: data set of the chemical systems, model, sampling, pool.
    samples
        Crystals of each row.
    known
        Known crystals: novelty and the convex hull are against them.
    energies
        Potential that relaxes and judges, see
        :func:`~crystalicl_jobflow.energies.load_energy_model`.
    seed
        Seed of rows, texts and templates.
    baseline
        Whether element substitution is a row; its templates are those of the pool, of the known
        crystals where none is named.
    """

    texts: BenchmarkSetting
    samples: int
    known: str
    energies: str = "chgnet"
    seed: int = 0
    baseline: bool = True


@dataclass
class DiscoveryResult:
    """What was measured: the metrics of each row.

    Parameters
    ----------
    setting
        What was asked for.
    metrics
        Row to ``metrics.json``.
    """

    setting: DiscoverySetting
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """Return the table as ``crystalicl benchmark check`` reads it, with all that decides it."""
        rows = [
            [head, *(_counted(item["rates"].get(name)) for item in self.metrics.values())]
            for name, head in COUNTED.items()
        ]
        judged = {k: item["rates"].get("stable") for k, item in self.metrics.items()}
        place = list(COUNTED).index("stable")
        rows.insert(
            place,
            [
                "judged by the hull",
                *("-" if rate is None else str(rate["of"]) for rate in judged.values()),
            ],
        )
        rows += [
            [
                f"seconds of {name}",
                *(f"{item['seconds'][name]:.0f}" for item in self.metrics.values()),
            ]
            for name in ("writing", "judging")
        ]
        first = next(iter(self.metrics.values()))
        return {
            "kind": "table",
            "heads": ["asked for", *self.metrics],
            "rows": rows,
            "measured": {
                label: {
                    **{name: (item["rates"].get(name) or {}).get("count") for name in COUNTED},
                    "judged": None if judged[label] is None else judged[label]["of"],
                    "hull": item["tolerances"].get("hull"),
                    "seconds": item["seconds"],
                }
                for label, item in self.metrics.items()
            },
            "notes": [
                f"{self.setting.samples} crystals of each, seed {self.setting.seed};"
                f" {sampling_words(self.setting.texts)}. Element substitution is of the"
                " same chemical systems.",
                f"Relaxed and judged by {first['energies']}; novelty and hull against"
                f" {first['known_crystals']} known crystals. In brackets Wilson's intervals at"
                f" {100 * CONFIDENCE:.0f} per cent.",
            ],
        }


def run_discovery(
    setting: DiscoverySetting,
    out: Path,
    *,
    pools: Any,
    processes: int = 1,
    progress: StageProgress | None = None,
) -> DiscoveryResult:
    """Write, relax and judge the crystals of all rows, or what is missing of them.

    Parameters
    ----------
    setting
        What is asked for.
    out
        Folder of the runs. Texts are kept in parts, energies and relaxations one by one, so that a
        killed run goes on.
    pools
        Opens a pool, given its name and the strategy.
    processes
        Processes for checks and comparisons.
    progress
        Called with (what, done, total).

    Raises
    ------
    ValueError
        If a source cannot be read, or a folder holds a run of other settings; one line.
    """
    for source in filter(None, (setting.known, setting.texts.pool)):
        open_source(source)  # one that is not there is told before hours of work
    written = _write(setting, out, pools=pools, processes=processes, progress=progress)
    result = DiscoveryResult(setting)
    for label, (place, seconds) in written.items():
        folder = RunFolder(place / JUDGED, _judged_by(setting, place))
        metrics = folder.finished
        if metrics is None:
            folder.begin(1)
            metrics = _judge(
                setting,
                place,
                folder,
                cached_data_set(setting.known),
                out,
                processes,
                progress,
                seconds,
            )
        result.metrics[label] = metrics
    return result


def _write(
    setting: DiscoverySetting,
    out: Path,
    *,
    pools: Any,
    processes: int,
    progress: StageProgress | None,
) -> dict[str, tuple[Path, float]]:
    """Write the texts of all rows; return each one's folder and the seconds that it took."""
    found: dict[str, tuple[Path, float]] = {}
    asked = {
        NOTHING: {"kind": "unconditional", "samples": setting.samples, "shots": 0},
        SYSTEM: {"kind": "conditional", "condition": ["chemsys"], "limit": setting.samples},
    }
    for label, changes in asked.items():
        row = setting.texts.model_copy(update={**changes, "label": label})
        place = out / label_slug(label)
        folder = RunFolder(place, row.identity(setting.seed))
        run, _ = run_setting(
            row, setting.seed, folder=folder, pools=pools, processes=processes, progress=progress
        )
        found[label] = place, float(run.metrics["seconds"]["generate"])
    if setting.baseline:
        place = out / label_slug(SUBSTITUTION)
        source = setting.texts.pool or setting.known
        settings = {
            "systems_sha256": file_hash(found[SYSTEM][0] / CANDIDATES),
            "pool": lasting_path(source),
            "seed": setting.seed,
        }
        folder = RunFolder(place, settings)
        finished = folder.finished
        if finished is None:
            folder.begin(1)
            systems = [
                str(candidate.condition.chemsys)
                for candidate in load_candidates(found[SYSTEM][0] / CANDIDATES)
            ]
            started = time.perf_counter()
            candidates = substituted(systems, pools(source, "C"), seed=setting.seed)
            finished = {"seconds": {"generate": round(time.perf_counter() - started, 3)}}
            folder.finish([SamplePart(candidates=candidates)], finished)
        found[SUBSTITUTION] = place, finished["seconds"]["generate"]
    return found


def _judged_by(setting: DiscoverySetting, place: Path) -> dict[str, Any]:
    from crystalicl_jobflow.energies import load_energy_model

    model = load_energy_model(setting.energies)
    return {
        "candidates_sha256": file_hash(place / CANDIDATES),
        "known": lasting_path(setting.known),
        "energies": f"{model.name} {model.version}",
    }


def _judge(
    setting: DiscoverySetting,
    place: Path,
    folder: RunFolder,
    known: CrystalData,
    out: Path,
    processes: int,
    progress: StageProgress | None,
    seconds: float,
) -> dict[str, Any]:
    """Relax and judge one row, write it down, and return its metrics."""
    started = time.perf_counter()
    options = EvaluationOptions(
        novelty=True,
        energies=setting.energies,
        relax=True,
        energies_cache=str(out / ENERGIES_FILE),
        hull=setting.known,
        reference_energies=False,
        processes=processes,
    )
    evaluation, judged = evaluate_and_judge(
        load_candidates(place / CANDIDATES), options, known=known, progress=progress
    )
    metrics = {
        "rates": {name: rate.model_dump() for name, rate in evaluation.rates.items()},
        "reasons": evaluation.reasons,
        "metrics": evaluation.metrics,
        "tolerances": evaluation.tolerances,
        "versions": evaluation.versions,
        "known_crystals": len(known),
        **folder.settings,
        "seconds": {"writing": seconds, "judging": round(time.perf_counter() - started, 3)},
    }
    folder.finish([SamplePart(candidates=judged)], metrics, evaluation)
    return metrics


def _counted(rate: Mapping[str, Any] | None) -> str:
    """Return a rate with its interval: few relaxations leave it wide."""
    if rate is None or not rate["of"]:
        return "-"
    interval = wilson_interval(rate["count"], rate["of"])
    assert interval is not None
    low, high = interval
    return f"{rate['count']} of {rate['of']} ({low:.2f} to {high:.2f})"

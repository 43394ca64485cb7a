"""The parts of the report as plain values, which the template only lays out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from crystalicl_jobflow.crystal import space_groups
from crystalicl_jobflow.evaluation.intervals import wilson_interval
from crystalicl_jobflow.evaluation.rates import main_rates, rate_meaning, rate_title
from crystalicl_jobflow.report.charts import Distribution, categories, histogram
from crystalicl_jobflow.report.reference import Reference
from crystalicl_jobflow.report.run import Run
from crystalicl_jobflow.report.stability import NOT_JUDGED
from crystalicl_jobflow.report.wording import number, pretty_symbol, words
from crystalicl_jobflow.schemas import PROPERTIES, STRUCTURE_COLUMNS, Candidate, Rate
from crystalicl_jobflow.utils.redaction import redact

LOWER_IS_BETTER = frozenset({"overlap", "redrawn"})

CRYSTAL_SYSTEMS = tuple(dict.fromkeys(space_groups.crystal_system(n) for n in range(1, 231)))
"""The seven crystal systems, in the order of the space-group numbers."""

ENERGIES = ("formation_energy_per_atom", "energy_above_hull")
"""Properties that come of an energy, after a relaxation where one was made."""

MAX_ROWS = 2_000
"""Most candidates that the page lists; the table of structures has all."""

MAX_EXAMPLES = 3
"""Most texts shown for one reason of failure."""

_AGAINST = {
    "novel": "novel_against", "sun": "novel_against", "coverage": "coverage_reference",
}  # fmt: skip
"""Beginning of a rate's name → the tolerance that names what it is against."""

_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("As asked for", ("joint", "formula", "space_group")),
    ("Validity", (
        "valid", "structure_valid", "structure_valid_radii", "composition_valid", "overlap",
        "symmetry_adherence", "crystallm", "crystext", "formula_consistent",
        "multiplicity_consistent", "space_group_consistent", "bonds_reasonable", "bond_length",
    )),
    ("Against the true structures", ("match", "polymorphs")),
    ("Within the set, and against known crystals", (
        "unique", "novel", "coverage", "recall", "precision", "covers",
    )),
    ("Energy and stability", (
        "energy", "relaxed", "negative", "stable", "metastable", "sun", "metastable_sun",
        "sun_of_all", "metastable_sun_of_all",
    )),
    ("Texts and draws", ("parsed", "finished", "redrawn", "parsed_per_draw")),
)  # fmt: skip


@dataclass(frozen=True)
class RateRow:
    """One rate with its interval."""

    name: str
    title: str
    meaning: str
    rate: Rate
    low: float | None
    high: float | None
    lower_is_better: bool
    against: str | None


@dataclass(frozen=True)
class ConditionRow:
    """One condition, and what became of its candidates."""

    label: str
    count: int
    parsed: int
    valid: int
    met: int | None
    matched: int | None


@dataclass(frozen=True)
class Failure:
    """One reason of failure, with examples."""

    reason: str
    count: int
    of: int
    examples: tuple[Candidate, ...]


@dataclass(frozen=True)
class Column:
    """A column of the list of candidates."""

    name: str
    title: str
    description: str
    numeric: bool


def rate_groups(run: Run) -> list[tuple[str, list[RateRow]]]:
    """Return all rates, sorted into groups; none is left out."""
    parts = {name for candidate in run.candidates for name in candidate.success}
    groups: dict[str, list[RateRow]] = {title: [] for title, _ in _GROUPS}
    other: list[RateRow] = []
    for name, rate in run.rates.items():
        place = _group_of(name, parts)
        (groups[place] if place else other).append(_rate_row(run, name, rate))
    for title, names in _GROUPS:
        order = {name: rank for rank, name in enumerate(names)}
        groups[title].sort(key=lambda row: order.get(row.name, len(order)))
    found = [(title, rows) for title, rows in groups.items() if rows]
    return [*found, ("Other", other)] if other else found


def _group_of(name: str, parts: set[str]) -> str | None:
    if name in parts:
        return _GROUPS[0][0]
    for title, names in _GROUPS:
        if name in names:
            return title
    # longest beginning first: metastable_… is not match_…
    for title, names in _GROUPS:
        if any(name.startswith(f"{known}_") for known in names):
            return title
    return None


def _rate_row(run: Run, name: str, rate: Rate) -> RateRow:
    bounds = wilson_interval(rate.count, rate.of)
    return RateRow(
        name=name,
        title=rate_title(name),
        meaning=run.meanings.get(name) or rate_meaning(name) or "",
        rate=rate,
        low=None if bounds is None else bounds[0],
        high=None if bounds is None else bounds[1],
        lower_is_better=name in LOWER_IS_BETTER,
        against=_against(run, name),
    )


def _against(run: Run, name: str) -> str | None:
    """Return the known crystals behind a rate, where the run's file names them."""
    key = _AGAINST.get(name.split("_", maxsplit=1)[0])
    if key is None and name.startswith(("unique_novel", "metastable_sun")):
        key = "novel_against"
    found = None if key is None else run.tolerances.get(key)
    return None if found is None else redact(str(found))


def headline(run: Run) -> list[RateRow]:
    """Return the few rates that the page begins with."""
    return [_rate_row(run, name, run.rates[name]) for name in main_rates(run.rates, most=4)]


def figures(run: Run) -> list[tuple[str, str]]:
    """Return the metrics that are not rates."""
    return [
        (words(name), "not known" if value is None else number(value))
        for name, value in run.metrics.items()
        if value is None or isinstance(value, int | float)
    ]


def cell_text(run: Run, place: int, column: Column) -> str:
    """Return what a candidate's cell in a column says; an empty text where nothing is known.

    An energy above the hull that nothing competes with is "not judged".

    Parameters
    ----------
    run
        The run.
    place
        Place of the candidate.
    column
        The column.
    """
    value = run.value(place, column.name)
    if value is None:
        unjudged = column.name == "energy_above_hull" and run.value(place, "no_hull_reason")
        return NOT_JUDGED if unjudged else ""
    if isinstance(value, float) and column.numeric:
        return f"{value:.3f}"
    return number(value)


def asked_for(run: Run) -> list[str]:
    """Return the parts of all conditions in words."""
    return list(dict.fromkeys(words(name) for c in run.candidates for name in c.success))


def conditions(run: Run) -> list[ConditionRow]:
    """Return the conditions in the order of their first candidates."""
    places: dict[str, list[int]] = {}
    for place, candidate in enumerate(run.candidates):
        places.setdefault(candidate.condition.label(), []).append(place)
    rows = []
    for label, members in places.items():
        met = [run.candidates[i].joint_success for i in members]
        matched = [run.columns[i]["match"] for i in members if "match" in run.columns[i]]
        rows.append(
            ConditionRow(
                label=label,
                count=len(members),
                parsed=sum(run.candidates[i].parsed for i in members),
                valid=sum(run.candidates[i].valid for i in members),
                met=None if all(item is None for item in met) else sum(map(bool, met)),
                matched=sum(map(bool, matched)) if matched else None,
            )
        )
    return rows


def distributions(run: Run, reference: Reference | None) -> list[Distribution]:
    """Return the distributions of the valid crystals beside those of the reference."""
    valid = [place for place, candidate in enumerate(run.candidates) if candidate.valid]
    if not valid:
        return []
    known = {} if reference is None else reference.columns
    charts = []
    density = _values(run, valid, "density")
    if density:
        charts.append(histogram("Density (g/cm³)", density, known.get("density", ())))
        charts[-1].figures.extend(_distance(run, "density", "g/cm³"))
    elements = [len(run.candidates[i].elements) for i in valid]
    others = [int(value) for value in known.get("num_elements", ())]
    charts.append(
        categories(
            "Number of elements",
            [str(value) for value in elements],
            [str(value) for value in others],
            order=[str(value) for value in sorted({*elements, *others})],
        )
    )
    charts[-1].figures.extend(_distance(run, "num_elements", ""))
    for name, spec in PROPERTIES.items():
        places = valid
        if name in ENERGIES:  # an energy that a relaxation did not reach decides nothing
            places = [place for place in valid if run.value(place, "relaxed") is not False]
        values = _values(run, places, name)
        if values:
            title = f"{spec.phrase[0].upper()}{spec.phrase[1:]} ({spec.unit})"
            charts.append(histogram(title, values, known.get(name, ())))
            charts[-1].figures.extend(_distance(run, name, spec.unit))
            left_out = len(valid) - len(values)
            if left_out and name in ENERGIES:
                why = "not judged or not relaxed" if name == "energy_above_hull" else "without one"
                charts[-1].remarks.append(f"{left_out} valid crystals are {why}, and not shown.")
            if known.get(name):
                charts[-1].remarks.append(
                    f"Generated: predicted ({_predictor(run, name)}); reference: its own values."
                )
    groups = [c.space_group for c in (run.candidates[i] for i in valid) if c.space_group]
    others = [int(value) for value in known.get("space_group", ())]
    if groups:
        charts.append(
            categories(
                "Crystal systems",
                [space_groups.crystal_system(group) for group in groups],
                [space_groups.crystal_system(group) for group in others],
                order=CRYSTAL_SYSTEMS,
            )
        )
        charts.append(
            categories(
                "Most frequent space groups",
                [_group_name(group) for group in groups],
                [_group_name(group) for group in others],
            )
        )
    return charts


def _distance(run: Run, name: str, unit: str) -> list[tuple[str, str]]:
    """Return the run's own Wasserstein distance of a property, which its reference gave it."""
    value = run.metrics.get(f"wasserstein:{name}")
    if value is None:
        return []
    against = run.tolerances.get("distributions_against")
    words_of = "Wasserstein distance" + (f" from {against}" if against else "")
    return [(words_of, f"{value:.3g} {unit}".strip())]


def _predictor(run: Run, name: str) -> str:
    """Return the model behind a predicted property, where the run's file names it."""
    keys = [f"predictor:{name}"]
    if name in ENERGIES:
        keys.append("energies")
    for key in keys:
        if key in run.tolerances:
            return str(run.tolerances[key])
    return "by a model that the run's file does not name"


def _values(run: Run, places: Iterable[int], name: str) -> list[float]:
    values = (run.value(place, name) for place in places)
    return [
        float(value)
        for value in values
        if isinstance(value, int | float) and not isinstance(value, bool)
    ]


def _group_name(number: int) -> str:
    return f"{pretty_symbol(space_groups.symbol(number))} ({number})"


def failures(run: Run) -> list[Failure]:
    """Return the reasons of failure, the most frequent first."""
    by_reason: dict[str, list[Candidate]] = {}
    for candidate in run.candidates:
        if candidate.failure_reason is not None:
            by_reason.setdefault(str(candidate.failure_reason), []).append(candidate)
    found = [
        Failure(reason, len(members), len(run.candidates), tuple(members[:MAX_EXAMPLES]))
        for reason, members in by_reason.items()
    ]
    return sorted(found, key=lambda item: (-item.count, item.reason))


_LISTED = (
    "nsites_primitive", "density", "min_distance", "formation_energy_per_atom", "energy_above_hull",
    "band_gap", "match", "rms", "unique", "novel", "known_as", "stable", "metastable", "relaxed",
    "bond_length_score", "crystext_reward", "structure_distance",
)  # fmt: skip


_TITLES = {
    "nsites_primitive": "atoms",
    "min_distance": "shortest distance",
    "formation_energy_per_atom": "formation energy",
    "energy_above_hull": "energy above hull",
}


def marks(run: Run, place: int) -> list[str]:
    """Return what was found about a crystal beyond its validity, in a few words each."""
    found = []
    if run.value(place, "stable") is not None:
        names = [name for name in ("stable", "metastable") if run.value(place, name)]
        found.append(names[0] if names else "unstable")
    elif run.value(place, "no_hull_reason"):
        found.append(f"stability not judged: {run.value(place, 'no_hull_reason')}")
    if run.value(place, "relaxed") is False:
        found.append("its relaxation failed")
    novel, known = run.value(place, "novel"), run.value(place, "known_as")
    if novel is not None:
        found.append("novel" if novel else f"known as {known}" if known else "known")
    if run.value(place, "match") is not None:
        match = run.value(place, "match")
        found.append("matches the true crystal" if match else "differs from the true crystal")
    return found


def listed_columns(run: Run) -> list[Column]:
    """Return the columns of the list of candidates that hold anything in this run."""
    found = []
    for name in _LISTED:
        if any(run.value(place, name) is not None for place in range(len(run.candidates))):
            known = STRUCTURE_COLUMNS[name]
            unit = f" ({known.unit})" if known.unit else ""
            found.append(
                Column(
                    name,
                    _TITLES.get(name, words(name)) + unit,
                    known.description,
                    known.kind in ("number", "integer"),
                )
            )
    return found

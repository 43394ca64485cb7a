"""Where the candidates of a run come from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from crystalicl_jobflow.report.run import Run
from crystalicl_jobflow.report.wording import number, words


@dataclass(frozen=True)
class Fact:
    """One line of the provenance: every value that occurs, with how often."""

    name: str
    values: tuple[tuple[str, int], ...]
    of: int = 0


@dataclass
class Provenance:
    """Where the candidates come from."""

    run: list[Fact] = field(default_factory=list)
    model: list[Fact] = field(default_factory=list)
    sampling: list[Fact] = field(default_factory=list)
    demonstrations: list[Fact] = field(default_factory=list)
    most_shown: list[tuple[str, int]] = field(default_factory=list)
    versions: list[Fact] = field(default_factory=list)
    tolerances: list[tuple[str, str]] = field(default_factory=list)


def provenance(run: Run) -> Provenance:
    """Return where the candidates come from; what differs among them is counted."""
    records = [candidate.provenance for candidate in run.candidates]
    models = [record.model.model_dump() for record in records if record.model is not None]
    drawn = [record.sampling.model_dump() for record in records if record.sampling is not None]
    shown = Counter(name for record in records for name in record.demonstration_ids)
    found = Provenance(
        run=_run_facts(run.document),
        model=_facts(models),
        sampling=[
            *_facts(drawn),
            *_facts([{"constraint": _constraint(r.constraint)} for r in records]),
        ],
        demonstrations=[
            *_facts(
                [
                    {
                        "strategy": record.strategy,
                        "demonstrations in the prompt": len(record.demonstration_ids),
                        "given up to find enough": words(", ".join(record.relaxed)) or "nothing",
                    }
                    for record in records
                ]
            ),
            Fact("different demonstrations", ((str(len(shown)), len(records)),), len(records)),
        ],
        most_shown=shown.most_common(10),
        versions=_facts([record.versions for record in records]),
        tolerances=[(words(name), number(value)) for name, value in run.tolerances.items()],
    )
    found.run.append(
        Fact("created", ((_span([c.created_at for c in run.candidates]), len(records)),))
    )
    return found


def _constraint(text: str | None) -> str:
    """Return a constraint without what differs from condition to condition."""
    return "none, written freely" if text is None else text.split(";")[0] + " and the condition"


def _span(moments: Sequence[Any]) -> str:
    first, last = (f"{moment:%Y-%m-%d %H:%M} UTC" for moment in (min(moments), max(moments)))
    return first if first == last else f"{first} to {last}"


def _facts(records: Sequence[Mapping[str, Any]]) -> list[Fact]:
    names = dict.fromkeys(name for record in records for name in record)
    facts = []
    for name in names:
        counts = Counter(number(record[name]) for record in records if record.get(name) is not None)
        if counts:
            facts.append(Fact(words(name), tuple(counts.most_common(6)), len(records)))
    return facts


_ELSEWHERE = frozenset(
    {"rates", "metrics", "reasons", "tolerances", "versions", "model", "sampling", "constraints",
     "conditions", "cifs", "material_ids", "num_candidates", "num_valid", "strategy", "results"}
)  # fmt: skip


def _run_facts(document: Mapping[str, Any]) -> list[Fact]:
    """Return the short fields of the run's own file."""
    facts = []
    for name, value in document.items():
        if name in _ELSEWHERE or value is None:
            continue
        if isinstance(value, Mapping):
            parts = [f"{words(str(key))} {number(item)}" for key, item in value.items()]
            text = ", ".join(parts) if 0 < len(parts) <= 12 else ""
        elif isinstance(value, list | tuple) and not any(isinstance(v, Mapping) for v in value):
            text = ", ".join(number(item) for item in value) if 0 < len(value) <= 12 else ""
        elif isinstance(value, list | tuple):
            text = ""
        else:
            text = number(value)
        if text:
            facts.append(Fact(words(str(name)), ((text, 1),)))
    return facts

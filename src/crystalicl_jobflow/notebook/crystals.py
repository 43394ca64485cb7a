"""Generated crystals as a person holds them: different ones, the best first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, overload

from pymatgen.core import Structure

from crystalicl_jobflow.notebook import html
from crystalicl_jobflow.notebook.crystal import COLUMNS, GeneratedCrystal
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.selection import SelectionRules, select_candidates
from crystalicl_jobflow.selection.select import has_pattern
from crystalicl_jobflow.utils.files import safe_name, write_text
from crystalicl_jobflow.utils.numbers import whole_number
from crystalicl_jobflow.utils.progress import progress_bar

if TYPE_CHECKING:
    import pandas as pd
    from ase import Atoms

    from crystalicl_jobflow.schemas import Evaluation
    from crystalicl_jobflow.schemas.diffraction import PowderPattern


class Crystals(Sequence[GeneratedCrystal]):
    """Different crystals, the best first, with all the draws that they came from.

    Valid crystals come before others; among them those that meet the condition, then those
    drawn most often and most probable (the default ranking of `select_candidates`); with a measured
    pattern, those most similar to it.

    Parameters
    ----------
    crystals
        The different crystals.
    candidates
        Every draw, also those that are no crystal.
    pattern
        The measured pattern that they were compared with; None where there was none.
    """

    def __init__(
        self,
        crystals: Sequence[GeneratedCrystal],
        candidates: Sequence[Candidate] = (),
        pattern: PowderPattern | None = None,
    ) -> None:
        self._crystals = tuple(crystals)
        self.candidates = list(candidates)
        self.pattern = pattern
        self._evaluated: Evaluation | None = None  # what the report shows

    @classmethod
    def from_candidates(
        cls,
        candidates: Sequence[Candidate],
        *,
        pattern: PowderPattern | None = None,
        ranking: str | Sequence[str] | None = None,
    ) -> Crystals:
        """Find the different crystals among candidates, condition after condition.

        Parameters
        ----------
        candidates
            Of one or several conditions, valid or not.
        pattern
            The measured pattern that they were compared with.
        ranking
            What is best, see `SelectionRules`; valid crystals come before others either way.
        """
        by_condition: dict[int, list[Candidate]] = {}
        for candidate in candidates:
            place = candidate.provenance.request_index
            by_condition.setdefault(place, []).append(candidate)
        asked = SelectionRules(ranking=ranking)
        names = asked.rankings(relaxed=False, pattern=has_pattern(candidates))
        rules = SelectionRules(ranking=("valid", *names), valid=False)
        crystals = []
        for members in by_condition.values():
            by_id = {item.candidate_id: item for item in members}
            rows, chosen = select_candidates(members, rules)
            drawn = {row.candidate_id: row.times_drawn or 1 for row in rows}
            crystals += [
                GeneratedCrystal(by_id[item.candidate_id], drawn[item.candidate_id])
                for item in chosen
            ]
        return cls(crystals, candidates, pattern)

    def _with(self, crystals: Sequence[GeneratedCrystal]) -> Crystals:
        """Return other crystals of the same draws."""
        others = Crystals(crystals, self.candidates, self.pattern)
        others._evaluated = self._evaluated
        return others

    def __len__(self) -> int:
        return len(self._crystals)

    @overload
    def __getitem__(self, index: int) -> GeneratedCrystal: ...

    @overload
    def __getitem__(self, index: slice) -> Crystals: ...

    def __getitem__(self, index: int | slice) -> GeneratedCrystal | Crystals:
        if isinstance(index, slice):
            return self._with(self._crystals[index])
        return self._crystals[index]

    def __iter__(self) -> Iterator[GeneratedCrystal]:
        return iter(self._crystals)

    @property
    def valid(self) -> Crystals:
        """Those that passed every check."""
        return self._with([item for item in self if item.valid])

    @property
    def structures(self) -> list[Structure]:
        """The valid crystals, best first."""
        return [item.structure for item in self if item.valid]

    @property
    def atoms(self) -> list[Atoms]:
        """The valid crystals for ASE, best first."""
        return [item.atoms for item in self if item.valid]

    @property
    def failures(self) -> dict[str, int]:
        """Reason → number of draws that are no crystal."""
        return dict(
            Counter(
                str(item.failure_reason.value).replace("_", " ")
                for item in self.candidates
                if item.structure is None and item.failure_reason is not None
            ).most_common()
        )

    def best(self, number: int) -> Crystals:
        """Return the first valid crystals.

        Parameters
        ----------
        number
            How many at most.
        """
        return self.valid[: whole_number(number, "number", least=0)]

    def to_frame(self) -> pd.DataFrame:
        """Return a table with a row per crystal, see `COLUMNS`."""
        import pandas as pd

        return pd.DataFrame([item.row() for item in self], columns=None if self else list(COLUMNS))

    def to_cif(self, folder: str | Path) -> list[Path]:
        """Write the valid crystals as CIF files.

        Parameters
        ----------
        folder
            Made where it is missing; files are called by rank and formula.

        Returns
        -------
        list of Path
            The files, best first.
        """
        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        paths = []
        for number, item in enumerate(self.valid, start=1):
            path = place / f"{number:03d}-{safe_name(item.formula)}.cif"
            write_text(path, item.structure.to(fmt="cif"))
            paths.append(path)
        return paths

    def relax(self, model: str = "CHGNet", *, max_steps: int = 500) -> Crystals:
        """Relax the valid crystals with a potential.

        Parameters
        ----------
        model
            What :func:`~crystalicl_jobflow.energies.load_energy_model` takes, in any case.
        max_steps
            Steps after which to give up on one.

        Returns
        -------
        Crystals
            The same with `GeneratedCrystal.relaxation`, each condition's lowest energy first;
            crystals that are not valid are left out.
        """
        from crystalicl_jobflow.energies import load_energy_model

        items = list(self.valid)
        if not isinstance(model, str):
            raise ValueError(f"a potential is named by a text such as 'CHGNet', not {model!r}")
        max_steps = whole_number(max_steps, "max_steps")
        potential = load_energy_model(model.lower() if model.lower() == "chgnet" else model)
        structures = [item.structure for item in items]
        with progress_bar() as report:
            done = potential.relax(
                structures, max_steps=max_steps, progress=partial(report, "Relax")
            )
        relaxed = [replace(item, relaxation=one) for item, one in zip(items, done, strict=True)]
        relaxed.sort(
            key=lambda item: (
                item.candidate.provenance.request_index,
                item.energy_per_atom is None,
                item.energy_per_atom or 0.0,
            )
        )
        return self._with(relaxed)

    def evaluate(self, reference: str | Path | None = None) -> Evaluation:
        """Return rates over every draw; a report that is written afterwards shows them.

        Parameters
        ----------
        reference
            Known crystals that novelty is against: a CSV file, a store, …; None for none.
        """
        from crystalicl_jobflow.datasets.crystal_data import read_data_set
        from crystalicl_jobflow.evaluation import EvaluationOptions, evaluate_all

        known = None if reference is None else read_data_set(reference)
        options = EvaluationOptions(novelty=known is not None)
        with progress_bar() as report:
            self._evaluated = evaluate_all(
                self.candidates, options, reference=known, progress=report
            )
        return self._evaluated

    def report(self, path: str | Path = "report.html") -> Path:
        """Write the report of these draws as one HTML page, with the last evaluation's results.

        Parameters
        ----------
        path
            The file.
        """
        from crystalicl_jobflow.report import build_page, build_run

        run = build_run("Generated crystals", self.candidates, evaluation=self._evaluated)
        run.pattern = self.pattern
        place = Path(path)
        write_text(place, build_page(run))
        return place

    @property
    def summary(self) -> str:
        """What was drawn, in one sentence."""
        return html.draws_sentence(len(self), sum(item.valid for item in self), self.candidates)

    def __repr__(self) -> str:
        return html.text_table(self.summary, [item.row() for item in self])

    def _repr_html_(self) -> str:
        return html.html_table(self.summary, [item.row() for item in self])

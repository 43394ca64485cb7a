"""The Flow from conditions to relaxed crystals above (or on) the convex hull."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from jobflow import Flow, Job, Maker, OnMissing

from crystalicl_jobflow.flows.generate import CrystalGenerationFlowMaker
from crystalicl_jobflow.jobs import EvaluateMaker, RelaxMaker, SelectMaker, summarize_discovery
from crystalicl_jobflow.jobs._inputs import Conditions
from crystalicl_jobflow.jobs._job import add_to_name, mark_run
from crystalicl_jobflow.jobs.retrieve import lasting_store
from crystalicl_jobflow.utils.numbers import whole_number


@dataclass
class DiscoveryFlowMaker(Maker):
    """Generate candidates, relax the new ones, and say how stable they are.

    The jobs, in order: 'retrieve', 'generate', 'validate', 'select'; then 'start
    forcefield', 'relax forcefield 1/1' …, 'gather forcefield'; with a ``dft_maker`` 'select
    dft', 'start dft', 'relax dft 1/5: …', 'gather dft'; at the end 'evaluate' and
    'summary'. The names of the first four and of 'evaluate' go on with what is asked for, as in
    'generate CaTiO3 221 ×20'. Where ``relax_maker`` is no force field, its jobs are those of 'dft'.

    Whatever fails on the way costs its own candidate only, and the Flow ends with its
    documents even where not one candidate is left.

    Parameters
    ----------
    relax_maker
        Any Maker of atomate2 whose ``make`` takes a structure: ``ForceFieldRelaxMaker``,
        ``DoubleRelaxMaker``, ``MPGGADoubleRelaxMaker`` …; or a `RelaxMaker` with settings.
    dft_maker
        Such a Maker for the best of the relaxed ones; None for none.
    name
        Name of the Flow.
    n_generate
        Texts for each condition; None leaves it to the generation's Maker.
    n_relax
        Crystals that are relaxed, at most; None for all new ones.
    n_dft
        Relaxed crystals that ``dft_maker`` gets, at most; None for all.
    ranking
        Who is first when ``n_relax`` is short, see :class:`SelectMaker`.
    dft_ranking
        The same for ``n_dft``; energy above the hull by default.
    max_energy_above_hull
        Energy above the hull in eV/atom up to which crystals are relaxed by ``dft_maker`` too.
    generation_maker
        Retrieves, generates, validates; its evaluation is left out.
    select_maker, dft_select_maker
        Choose; budget and ranking are set on them.
    evaluate_maker
        Computes rates; None leaves it out.

    Raises
    ------
    ValueError
        If a budget is negative, a ranking not known, nothing validates, a Maker cannot relax,
        or the evaluation has an energy model of its own.

    Examples
    --------
    >>> from atomate2.forcefields.jobs import ForceFieldRelaxMaker
    >>> from atomate2.vasp.flows.mp import MPGGADoubleRelaxMaker
    >>> from crystalicl_jobflow.flows import DiscoveryFlowMaker
    >>> maker = DiscoveryFlowMaker(
    ...     ForceFieldRelaxMaker(force_field_name="CHGNet"),
    ...     MPGGADoubleRelaxMaker(),
    ...     n_generate=20,
    ...     n_relax=10,
    ...     n_dft=2,
    ... )
    >>> flow = maker.make({"chemsys": "Ca-Ti-O"})
    >>> [job.name for job in flow.jobs][3:7]
    ['select Ca-Ti-O ×20', 'start forcefield', 'select dft', 'start dft']
    >>> flow.output.structures  # doctest: +ELLIPSIS
    OutputReference(..., .structures)
    """

    relax_maker: Maker
    dft_maker: Maker | None = None
    name: str = "discovery"
    n_generate: int | None = None
    n_relax: int | None = None
    n_dft: int | None = None
    ranking: str | list[str] | None = None
    dft_ranking: str | list[str] | None = None
    max_energy_above_hull: float | None = None
    generation_maker: CrystalGenerationFlowMaker = field(default_factory=CrystalGenerationFlowMaker)
    select_maker: SelectMaker = field(default_factory=SelectMaker)
    dft_select_maker: SelectMaker = field(default_factory=lambda: SelectMaker(name="select dft"))
    evaluate_maker: EvaluateMaker | None = field(default_factory=EvaluateMaker)

    def __post_init__(self) -> None:
        if self.generation_maker.validate_maker is None:
            raise ValueError("a discovery needs a validate_maker: it relaxes candidates")
        if self.evaluate_maker is not None and self.evaluate_maker.energies is not None:
            raise ValueError(
                "a discovery evaluates the energies of its relaxations; leave out those of"
                " evaluate_maker"
            )
        for option, least in (("n_generate", 1), ("n_relax", 0), ("n_dft", 0)):
            value = getattr(self, option)
            if value is not None:
                setattr(self, option, whole_number(value, option, least=least))
        self._selections()
        as_relax_maker(self.relax_maker)
        if self.dft_maker is not None:
            as_relax_maker(self.dft_maker)

    def make(self, conditions: Conditions, known: Any = None, references: Any = None) -> Flow:
        """Build the Flow.

        Parameters
        ----------
        conditions
            A condition or a list of them, or a reference to another job's output.
        known
            Known crystals, that novelty and the convex hull are against: structures or
            documents that hold one, or the name of a CSV or store that can be read where the
            jobs run (a relative path becomes absolute). None: everything is new, and
            there is no hull: stability is not judged.
        references
            The true crystals for the evaluation, one per condition; None for none.

        Returns
        -------
        Flow
            Its output is a :class:`~crystalicl_jobflow.schemas.discovery.DiscoveryDoc`.

        Raises
        ------
        ValueError
            If ``max_energy_above_hull`` is given and nothing to make a hull of; one line.
        """
        if isinstance(known, str | Path):
            known = lasting_store(known)
        first_stage = as_relax_maker(self.relax_maker)
        if self.max_energy_above_hull is not None and known is None and first_stage.hull is None:
            raise ValueError("max_energy_above_hull needs known crystals: there is no hull without")
        words = self._generation().words(conditions)
        jobs: list[Job | Flow] = self._generation().jobs(conditions)
        validate = jobs[-1]
        candidates = validate.output.candidates
        first, second = self._selections()
        select = first.make(candidates, known)
        add_to_name(select, first, words)
        start = first_stage.make(select.output, known)
        jobs += [select, start]
        selections, relaxations = [select.output], [start.output]
        if self.dft_maker is not None:
            select = second.make(candidates, known, relaxations=[start.output])
            start = as_relax_maker(self.dft_maker).make(select.output, known)
            jobs += [select, start]
            selections.append(select.output)
            relaxations.append(start.output)
        evaluation = None
        if self.evaluate_maker is not None:
            maker = self.evaluate_maker
            if known is not None:
                maker = replace(maker, novelty=True)
            evaluate = maker.make(candidates, references, known=known, relaxations=relaxations)
            add_to_name(evaluate, maker, words)
            # None for a stage whose gathering failed: the other one counts
            evaluate.config.on_missing_references = OnMissing.NONE
            jobs.append(evaluate)
            evaluation = evaluate.output
        summary = summarize_discovery(candidates, selections, relaxations, evaluation)
        jobs.append(summary)
        return mark_run(Flow(jobs, output=summary.output, name=self.name), conditions)

    def _generation(self) -> CrystalGenerationFlowMaker:
        maker = replace(self.generation_maker, evaluate_maker=None)
        if self.n_generate is not None:
            maker.generate_maker = maker.generate_maker.with_texts(self.n_generate)
        return maker

    def _selections(self) -> tuple[SelectMaker, SelectMaker]:
        first, second = self.select_maker, self.dft_select_maker
        if self.n_relax is not None:
            first = replace(first, number=self.n_relax)
        if self.ranking is not None:
            first = replace(first, ranking=self.ranking)
        if self.n_dft is not None:
            second = replace(second, number=self.n_dft)
        if self.dft_ranking is not None:
            second = replace(second, ranking=self.dft_ranking)
        if self.max_energy_above_hull is not None:
            second = replace(second, max_energy_above_hull=self.max_energy_above_hull)
        return first, second


def as_relax_maker(maker: Maker) -> RelaxMaker:
    """Return a `RelaxMaker` around any other relaxation Maker."""
    return maker if isinstance(maker, RelaxMaker) else RelaxMaker(maker)

"""What an evaluation computes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class EvaluationOptions:
    """What is computed beyond checks, success and matches. All that is long is off.

    Parameters
    ----------
    unique
        Whether candidates are compared with each other.
    reward
        Whether CrysText-RL's reward is computed.
    coverage
        Data set whose cut-offs of coverage are taken (``mp-20``, ``perov-5``,
        ``carbon-24``); None for no coverage.
    novelty
        Whether candidates are compared with the known crystals.
    energies
        Energy model by name, see
        :func:`~crystalicl_jobflow.energies.load_energy_model`; None for none.
    relax
        Whether candidates are relaxed with it first.
    energies_cache
        Where energies and relaxations are kept as they are found, so that an evaluation that
        was killed goes on, see :class:`~crystalicl_jobflow.energies.kept.KeptEnergies`.
    reference_energies
        Whether all reference crystals get energies of the same model, too: the
        distribution of formation energies needs them. A hull alone needs only those of the
        candidates' chemical systems.
    hull
        Source of the convex hull, see
        :func:`~crystalicl_jobflow.energies.hull.reference_hull`; the reference
        crystals by default.
    predict
        Property name → predictor (None for the default one), see
        :func:`~crystalicl_jobflow.energies.load_predictor`.
    also
        Other papers' counting rules that add their rates, see
        :data:`~crystalicl_jobflow.evaluation.counting.COUNTING_RULES`.
    cache
        Where fingerprints are kept, see
        :func:`~crystalicl_jobflow.comparison.fingerprint_sets.crystal_fingerprints`.
    processes
        Processes to share the work.
    """

    unique: bool = True
    reward: bool = False
    coverage: str | None = None
    novelty: bool = False
    energies: str | None = None
    relax: bool = False
    energies_cache: Any = None
    reference_energies: bool = True
    hull: str | Path | None = None
    predict: Mapping[str, str | None] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    cache: Any = None
    processes: int = 1

    def check(self, *, reference: bool, known: bool) -> None:
        """Refuse what cannot be computed.

        Raises
        ------
        ValueError
            If a metric needs known crystals and there are none, or is not known; one line.
        """
        from crystalicl_jobflow.comparison.coverage import coverage_cutoffs

        if self.coverage is not None:
            coverage_cutoffs(self.coverage.replace("-", "_"))
            if not reference:
                raise ValueError("coverage needs a reference set")
        if self.novelty and not known:
            raise ValueError("novelty needs known crystals, or a reference set")
        if self.relax and self.energies is None:
            raise ValueError("a relaxation needs an energy model, for example chgnet")
        if self.hull is not None and self.energies is None:
            raise ValueError("a hull needs an energy model, for example chgnet")

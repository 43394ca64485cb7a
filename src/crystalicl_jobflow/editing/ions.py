"""Ions that may take the place of others, and how probable that is."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from pymatgen.core import Composition, Species

if TYPE_CHECKING:
    from pymatgen.core.structure_prediction.substitution_probability import (
        SubstitutionProbability,
    )


@cache
def _table() -> SubstitutionProbability:
    from pymatgen.analysis.structure_prediction.substitution_probability import (
        SubstitutionProbability,
    )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return SubstitutionProbability()


def ions_of(composition: Composition) -> dict[str, Species]:
    """Return the ion of each element, by the most probable oxidation states.

    Parameters
    ----------
    composition
        Elements and amounts.

    Returns
    -------
    dict
        Empty where no whole oxidation states balance, as in alloys.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        guesses = composition.reduced_composition.oxi_state_guesses(max_sites=-1)
    if not guesses or any(state != round(state) for state in guesses[0].values()):
        return {}
    return {name: Species(name, round(state)) for name, state in guesses[0].items()}


def same_charge(ion: Species) -> list[str]:
    """Return the elements with an ion of the same charge, the most probable to replace it first.

    Parameters
    ----------
    ion
        The ion that is replaced.
    """
    table = _table()
    if ion not in table.species:
        return []
    others = [
        other
        for other in table.species
        if other.oxi_state == ion.oxi_state and other.symbol != ion.symbol
    ]
    return [
        other.symbol for other in sorted(others, key=lambda o: (-table.cond_prob(o, ion), o.symbol))
    ]


def substitution_probability(
    ions: Mapping[str, Species], replaced: Mapping[str, str]
) -> float | None:
    """Return the conditional probability of new ions given the old ones.

    Parameters
    ----------
    ions
        The ion of each element before, see `ions_of`.
    replaced
        Old element to new one.

    Returns
    -------
    float or None
        Product over the replaced ions of pymatgen's ``cond_prob``, new ions having the charge of
        the old ones; after G. Hautier et al., Inorganic Chemistry 50, 656 (2011). None where one
        is not in the table.
    """
    table = _table()
    product = 1.0
    for old, new in replaced.items():
        if old == new:
            continue
        before = ions.get(old)
        if before is None:
            return None
        after = Species(new, before.oxi_state)
        if before not in table.species or after not in table.species:
            return None
        product *= table.cond_prob(after, before)
    return float(product)

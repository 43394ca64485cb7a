"""Crystals by element substitution: the structure of a known crystal with other elements.

No language model is used; this is the baseline for every model. Known crystals of the requested
stoichiometry and space group are taken, those with the most similar elements first, and their
elements are replaced.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import islice, permutations, product

from pymatgen.core import Composition, Element

from crystalicl_jobflow.comparison.matching import MATCH, PairMatcher, Prepared
from crystalicl_jobflow.crystal.radii import atomic_radius
from crystalicl_jobflow.crystal.wyckoff_letters import WyckoffLetters, same_letters
from crystalicl_jobflow.generation.base import (
    AcceptText,
    CompletionCallback,
    GenerationRequest,
    Progress,
)
from crystalicl_jobflow.generation.prompting import as_shown
from crystalicl_jobflow.prompts import response_text
from crystalicl_jobflow.schemas import Completion, Demonstration, ModelInfo, SamplingParams
from crystalicl_jobflow.text import SGS, SGSCrystal, TextError
from crystalicl_jobflow.text.formats import crystal_text
from crystalicl_jobflow.text.sgs import read_wyckoff

SUBSTITUTION_MODEL = "substitution"
"""Name that selects element substitution instead of a language model."""

ASSIGNMENTS = 2
"""Maximum number of assignments of elements tried for one template, the most similar first."""

LARGEST_GROUP = 6
"""Maximum number of elements of equal amount whose assignments are all tried; beyond it, only the
best one."""

VOTERS = 30
"""Proposals looked at in any case: how many of them give a crystal is evidence for it."""

NEARLY = 0.04
"""Largest difference of fractional coordinates, of logarithms of lengths, and, in units of 100°,
of angles, at which two descriptions are those of one crystal; far below what a match allows."""

LEAST_RADIUS = 0.3
"""Radius (Å) used for an element without a tabulated one."""

_SYMBOL = re.compile(r"[A-Z][a-z]?")


@dataclass(frozen=True)
class Proposal:
    """A known crystal with other elements.

    Parameters
    ----------
    template_id
        Id of the known crystal.
    elements
        Element of the template to the element that takes its place.
    distance
        Sum of the differences of the Mendeleev numbers of each pair.
    crystal
        Group and sites of the template, the cell scaled to the new elements' volume.
    """

    template_id: str
    elements: tuple[tuple[str, str], ...]
    distance: float
    crystal: SGSCrystal


def propose(
    templates: Sequence[Demonstration],
    formula: str,
    *,
    assignments: int = ASSIGNMENTS,
    wyckoff: WyckoffLetters | None = None,
) -> list[Proposal]:
    """Put the elements of a formula into known crystals of the same stoichiometry.

    Parameters
    ----------
    templates
        Known crystals; those of another stoichiometry, or of the formula itself, are left out.
    formula
        The requested formula.
    assignments
        Maximum number of ways of replacing the elements of one template.
    wyckoff
        The requested Wyckoff letters in the templates' group: other proposals are left out.

    Returns
    -------
    list of Proposal
        The most similar elements first, by the sum of the differences of Mendeleev numbers (D. G.
        Pettifor, Solid State Communications 51, 31 (1984), as pymatgen has them); equal ones in
        the order of the templates' ids. The cell volume is scaled by the total volume of the
        atoms, taken as spheres of their atomic radii: on 150 crystals of MP-20's test file this is
        within 5 % of the true volume at the median; the unchanged template volume and pymatgen's
        data-mined lattice scaling are within 9 %.
    """
    ranked = [
        (distance, template.demonstration_id, mapping, template)
        for template in templates
        if template.formula != formula
        for distance, mapping in islice(_assignments(template, formula, wyckoff), assignments)
    ]
    ranked.sort(key=lambda item: item[:3])
    return [
        Proposal(
            identifier,
            mapping,
            distance,
            with_elements(SGS.parse(template.text), dict(mapping), template.formula, formula),
        )
        for distance, identifier, mapping, template in ranked
    ]


def _assignments(
    template: Demonstration, formula: str, wyckoff: WyckoffLetters | None
) -> Iterator[tuple[float, tuple[tuple[str, str], ...]]]:
    """Yield the ways of replacing a template's elements that give the requested letters."""
    found = None if wyckoff is None else read_wyckoff(template.text)
    for distance, mapping in element_assignments(template.formula, formula):
        new = dict(mapping)
        if wyckoff is None:
            yield distance, mapping
        elif found is not None and found[1].keys() == new.keys():
            number, letters = found
            replaced = {new[name]: orbits for name, orbits in letters.items()}
            if same_letters(replaced, wyckoff, number):
                yield distance, mapping


def element_assignments(
    known: str, asked: str
) -> Iterator[tuple[float, tuple[tuple[str, str], ...]]]:
    """Yield the ways of replacing one formula's elements by another's.

    Parameters
    ----------
    known, asked
        Reduced formulas.

    Yields
    ------
    distance : float
        Sum of the differences of Mendeleev numbers.
    mapping : tuple of (str, str)
        Element of `known` to element of `asked`; both occur in equal amounts. The most similar
        first. Nothing is yielded where the stoichiometries differ.
    """
    old, new = _by_amount(known), _by_amount(asked)
    if {amount: len(symbols) for amount, symbols in old.items()} != {
        amount: len(symbols) for amount, symbols in new.items()
    }:
        return
    choices = []
    for amount, symbols in old.items():
        targets = new[amount]
        if len(symbols) > LARGEST_GROUP:
            # with both sorted by Mendeleev number, this is the most similar assignment
            choices.append([tuple(zip(symbols, targets, strict=True))])
        else:
            choices.append(
                [tuple(zip(symbols, order, strict=True)) for order in permutations(targets)]
            )
    mappings = [tuple(pair for part in parts for pair in part) for parts in product(*choices)]
    yield from sorted(
        (sum(abs(_mendeleev(a) - _mendeleev(b)) for a, b in one), one) for one in mappings
    )


def _by_amount(formula: str) -> dict[float, list[str]]:
    groups: dict[float, list[str]] = {}
    amounts = Composition(formula).get_el_amt_dict()
    for symbol in sorted(amounts, key=lambda name: (_mendeleev(name), name)):
        groups.setdefault(amounts[symbol], []).append(symbol)
    return groups


@cache
def _mendeleev(symbol: str) -> float:
    return float(Element(symbol).mendeleev_no or 0)


def with_elements(
    crystal: SGSCrystal, mapping: Mapping[str, str], known: str, formula: str
) -> SGSCrystal:
    """Put other elements into a crystal, and scale its cell to their volume.

    Parameters
    ----------
    crystal
        Group, cell and sites.
    mapping
        Element of the crystal to the one that takes its place.
    known, formula
        Formulas before and after, of as many atoms.
    """
    factor = (_sphere_volume(formula) / _sphere_volume(known)) ** (1 / 3)
    a, b, c = (length * factor for length in crystal.lengths)
    return replace(
        crystal,
        lengths=(a, b, c),
        sites=tuple(
            replace(site, species=_SYMBOL.sub(lambda found: mapping[found[0]], site.species))
            for site in crystal.sites
        ),
    )


def _sphere_volume(formula: str) -> float:
    """Return the volume of a formula unit's atoms as spheres, without the factor 4/3 π (Å³)."""
    return sum(
        amount * max(atomic_radius(symbol), LEAST_RADIUS) ** 3
        for symbol, amount in Composition(formula).get_el_amt_dict().items()
    )


@dataclass
class Substituted:
    """A crystal that substitution gives, with the first proposal of it.

    Parameters
    ----------
    proposal
        The one with the most similar elements.
    votes
        Proposals looked at that give this crystal.
    """

    proposal: Proposal
    votes: int = 1


def different_crystals(
    templates: Sequence[Demonstration],
    formula: str,
    *,
    wanted: int | None = None,
    wyckoff: WyckoffLetters | None = None,
) -> list[Substituted]:
    """Return the different crystals among the proposals, the most similar first.

    Parameters
    ----------
    templates, formula, wyckoff
        As in `propose`.
    wanted
        Number of crystals; None for all. At least `VOTERS` proposals are looked at in any case,
        so that their votes count, and no more than it takes.

    Returns
    -------
    list of Substituted
        No crystal matches one before it under the tolerances of structure prediction.
    """
    matcher = PairMatcher(MATCH)
    found: list[tuple[Prepared, Substituted]] = []
    seen: list[tuple[SGSCrystal, Substituted]] = []
    for number, proposal in enumerate(propose(templates, formula, wyckoff=wyckoff)):
        full = wanted is not None and len(found) >= wanted
        if full and number >= VOTERS:
            break
        crystal = proposal.crystal
        known = next((item for other, item in seen if _nearly_equal(other, crystal)), None)
        if known is None:
            try:
                prepared = matcher.prepare(SGS.build(crystal))
            except TextError:
                continue  # the template cannot be rebuilt from its own text
            known = next((item for other, item in found if matcher.same(other, prepared)), None)
            if known is None:
                known = Substituted(proposal, votes=0)
                if not full:  # nobody tells those apart that are not wanted
                    found.append((prepared, known))
            seen.append((crystal, known))
        known.votes += 1
    return [known for _, known in found]


def _nearly_equal(first: SGSCrystal, second: SGSCrystal) -> bool:
    """Tell, at little cost, whether two descriptions differ little; if not, crystals may match."""
    if first.space_group_number != second.space_group_number:
        return False
    if len(first.sites) != len(second.sites):
        return False
    mine, other = (
        sorted((site.species, site.frac_coords) for site in crystal.sites)
        for crystal in (first, second)
    )
    if any(a[0] != b[0] for a, b in zip(mine, other, strict=True)):
        return False
    moved = max(
        abs(x - y - round(x - y))
        for a, b in zip(mine, other, strict=True)
        for x, y in zip(a[1], b[1], strict=True)
    )
    longer = max(abs(math.log(x / y)) for x, y in zip(first.lengths, second.lengths, strict=True))
    wider = max(abs(x - y) for x, y in zip(first.angles, second.angles, strict=True))
    return moved <= NEARLY and longer <= NEARLY and wider <= 100 * NEARLY


class SubstitutionGenerator:
    """Writes the crystals of `different_crystals` as texts: sample i is the i-th of them.

    Nothing is random, so seed and temperature have no effect. Samples beyond the last distinct
    crystal have no text but state the reason.
    """

    def __init__(self) -> None:
        self.versions: dict[str, str] = {}

    @property
    def info(self) -> ModelInfo:
        """The generator, for provenance."""
        return ModelInfo(engine=SUBSTITUTION_MODEL, base_model=SUBSTITUTION_MODEL, dtype="none")

    def generate(
        self,
        requests: Sequence[GenerationRequest],
        sampling: SamplingParams,  # noqa: ARG002  # part of what every generator takes
        *,
        accept: AcceptText | None = None,
        progress: Progress | None = None,
        on_completion: CompletionCallback | None = None,
    ) -> list[list[Completion]]:
        """Write the crystals; see `TextGenerator.generate`, `accept` judges each text once."""
        total = sum(request.num_samples for request in requests)
        done = 0
        answers = []
        for place, request in enumerate(requests):
            completions = self._samples(place, request, accept)
            answers.append(completions)
            for completion in completions:
                if on_completion is not None:
                    on_completion(place, completion)
            done += len(completions)
            if progress is not None:
                progress(done, total)
        return answers

    def _samples(
        self, place: int, request: GenerationRequest, accept: AcceptText | None
    ) -> list[Completion]:
        wanted = request.first_sample + request.num_samples
        found: list[Substituted] = []
        if request.formula is not None:
            found = different_crystals(
                request.templates, request.formula, wanted=wanted, wyckoff=request.wyckoff
            )
        proposals = [item.proposal for item in found[request.first_sample :]]
        crystals = [proposal.crystal for proposal in proposals]
        if request.text_format == "sgs":
            texts = as_shown(crystals, request.demonstrations)
        else:
            texts = [crystal_text(crystal, request.text_format) for crystal in crystals]
        completions = []
        for sample in range(request.num_samples):
            number = request.first_sample + sample
            base = {"request_index": place, "sample_index": sample, "num_tokens": 0}
            if number >= len(found):
                completions.append(
                    Completion(**base, text="", finished=False, error=_why_none(request, found))
                )
                continue
            proposal = proposals[sample]
            text = response_text(texts[sample], template=request.template)
            flaw = None if accept is None else accept(text, request)
            completions.append(
                Completion(
                    **base,
                    text=text,
                    finished=True,
                    flaw=flaw,
                    template_id=proposal.template_id,
                    template_rank=number,
                    template_distance=proposal.distance,
                    template_votes=found[number].votes,
                )
            )
        return completions


def _why_none(request: GenerationRequest, found: Sequence[object]) -> str:
    if request.formula is None:
        return "Substitution needs a formula."
    if not request.templates:
        return "The pool has no crystal of this stoichiometry and space group."
    return f"Substitution gives {len(found)} different crystals here."

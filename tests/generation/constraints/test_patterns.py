"""Texts of which parts are given: the parts are kept, whatever is drawn for the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from pymatgen.core import Composition

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints import (
    ConstraintOptions,
    ImpossibleConditionError,
    SGSConstraint,
    build_constraint,
)
from crystalicl_jobflow.schemas import Condition
from crystalicl_jobflow.text import SGS, PatternError, SGSCrystal, SGSPattern, parse_pattern
from crystalicl_jobflow.text.alignment import with_positions
from crystalicl_jobflow.text.asymmetric_unit import SGSSite
from crystalicl_jobflow.text.pattern import FREE, GapPattern, SitePattern
from reciting import PEROVSKITE

from .writing import follow, walk

TEXTS = {
    "perovskite": PEROVSKITE,
    "spinel": "Fd-3m\n8.1 8.1 8.1\n90 90 90\nMg\n0.00 0.00 0.00\nAl\n0.63 0.63 0.63\nO\n"
    "0.39 0.39 0.39",
    "rutile": "P4_2/mnm\n4.6 4.6 3.0\n90 90 90\nTi\n0.00 0.00 0.00\nO\n0.31 0.31 0.00",
    "GdFeO3": "Pnma\n5.4 7.6 5.4\n90 90 90\nCa\n0.04 0.25 0.49\nTi\n0.00 0.00 0.00\nO\n"
    "0.48 0.25 0.57\nO\n0.29 0.04 0.21",
    "corundum": "R-3c\n4.8 4.8 13.0\n90 90 120\nAl\n0.00 0.00 0.35\nO\n0.31 0.00 0.25",
    "gypsum-like": "C2/c\n5.7 15.2 6.5\n90 119 90\nCa\n0.00 0.17 0.25\nS\n0.00 0.67 0.25\nO\n"
    "0.08 0.27 0.59\nO\n0.20 0.38 0.91\nO\n0.22 0.07 0.08",
    "triclinic": "P-1\n4.9 6.1 7.2\n87 103 95\nCu\n0.00 0.00 0.00\nS\n0.31 0.27 0.62",
}
"""Known prototypes."""


def read(text: str) -> SGSCrystal:
    """Return a text's crystal with Wyckoff positions, at the coordinates as they are written."""
    written = SGS.parse(text)
    found = with_positions(written)
    assert found is not None
    sites = [
        replace(site, frac_coords=own.frac_coords)
        for site, own in zip(found.sites, written.sites, strict=True)
    ]
    return replace(found, sites=tuple(sites))


def inside(value: float, spans: object, *, period: float = 0.0) -> bool:
    if spans is None:
        return True
    shifts = (0.0, period) if period else (0.0,)
    return any(
        low - 1e-6 <= value + shift <= high + 1e-6
        for low, high in spans  # type: ignore[attr-defined]
        for shift in shifts
    )


def is_orbit(site: SGSSite, item: SitePattern) -> bool:
    return (
        (item.elements is None or site.species in item.elements)
        and (item.letters is None or site.wyckoff_letter in item.letters)
        and all(
            inside(x, spans, period=1.0)
            for x, spans in zip(site.frac_coords, item.frac_coords, strict=True)
        )
    )


def orbits_fit(sites: Sequence[SGSSite], items: Sequence[SitePattern | GapPattern]) -> bool:
    """Return whether orbits are those of a pattern, read like an expression with wildcards."""
    if not items:
        return not sites
    first, *rest = items
    if isinstance(first, GapPattern):
        return orbits_fit(sites, rest) or (
            bool(sites)
            and (first.elements is None or sites[0].species in first.elements)
            and orbits_fit(sites[1:], items)
        )
    return bool(sites) and is_orbit(sites[0], first) and orbits_fit(sites[1:], rest)


def fits(text: str, pattern: SGSPattern) -> bool:
    """Return whether a text has what is given in a pattern."""
    crystal = read(text)
    return (
        (pattern.groups is None or crystal.space_group_number in pattern.groups)
        and all(map(inside, crystal.lengths, pattern.lengths))
        and all(map(inside, crystal.angles, pattern.angles))
        and orbits_fit(crystal.sites, pattern.orbits)
    )


def formula_of(crystal: SGSCrystal) -> str:
    atoms: dict[str, int] = {}
    for site in crystal.sites:
        atoms[site.species] = atoms.get(site.species, 0) + (site.multiplicity or 0)
    return str(Composition(atoms).reduced_formula)


def freed(crystal: SGSCrystal, rng: np.random.Generator) -> SGSPattern:
    """Return the pattern of a crystal with fields left free at random."""
    whole = SGSPattern.of_crystal(crystal, letters=True)
    orbits: list[SitePattern | GapPattern] = []
    for site in crystal.sites:
        chance = rng.random(4)
        if chance[0] < 0.25:
            if not orbits or not isinstance(orbits[-1], GapPattern):
                orbits.append(GapPattern())
            continue
        (item,) = SGSPattern.of_crystal(replace(crystal, sites=(site,)), letters=True).sites
        if chance[1] < 0.3:
            item = replace(item, elements=None if chance[1] < 0.15 else (site.species, "O", "F"))
        if chance[2] < 0.5:
            item = replace(item, letters=None)
        if chance[3] < 0.4:
            kept = tuple(spans if rng.random() < 0.3 else None for spans in item.frac_coords)
            item = replace(item, frac_coords=(kept[0], kept[1], kept[2]))
        orbits.append(item)
    pattern = replace(whole, orbits=tuple(orbits) or (GapPattern(),))
    if rng.random() < 0.5:
        pattern = replace(pattern, lengths=FREE)
    if rng.random() < 0.5:
        pattern = replace(pattern, angles=FREE)
    if rng.random() < 0.2:
        pattern = replace(pattern, groups=None)
    return pattern


def constraint_of(
    condition: Condition, pattern: SGSPattern, text_format: str = "sgs", **options: float
) -> SGSConstraint:
    found = build_constraint(condition, ConstraintOptions(**options), text_format, pattern)
    assert found is not None
    return found


@pytest.mark.parametrize("text_format", ["sgs", "sgsw"])
@pytest.mark.parametrize("name", TEXTS)
def test_whatever_is_drawn_has_what_is_given(
    name: str, text_format: str, words: TokenVocabulary
) -> None:
    crystal = read(TEXTS[name])
    condition = Condition(formula=formula_of(crystal))
    for seed in range(6):
        pattern = freed(crystal, np.random.default_rng([seed, len(name)]))
        constraint = constraint_of(condition, pattern, text_format)
        text, state = walk(constraint, words, [seed, len(name)])
        assert fits(text, pattern), f"{text}\n-- is not --\n{pattern.format()}"
        structure = SGS.decode(text)
        assert structure.composition.reduced_formula == condition.formula
        counted = wyckoff.centring_multiplicity(read(text).space_group_number)
        assert sum(state.counts.values()) * counted == len(structure)


@pytest.mark.parametrize("name", TEXTS)
def test_the_crystal_itself_may_be_written(
    name: str, words: TokenVocabulary, word_tokens: Callable[[str], list[int]]
) -> None:
    crystal = read(TEXTS[name])
    condition = Condition(formula=formula_of(crystal))
    for seed in range(6):
        pattern = freed(crystal, np.random.default_rng([seed, 7]))
        constraint = constraint_of(condition, pattern, min_distance=0.5)
        assert follow(constraint, words, word_tokens(TEXTS[name])) is None


def test_a_text_that_is_given_whole_is_the_only_one(words: TokenVocabulary) -> None:
    constraint = constraint_of(Condition(formula="CaTiO3"), parse_pattern(PEROVSKITE))
    assert {walk(constraint, words, seed)[0] for seed in range(5)} == {
        "".join(f"\n### {line}" for line in PEROVSKITE.splitlines())
    }


def test_orbits_in_a_gap_are_of_its_elements_only(words: TokenVocabulary) -> None:
    pattern = parse_pattern("Fm-3m\n5.6 5.6 5.6\n90 90 90\nNa\n0.00 0.00 0.00\nF|Br\n?\n... F|Br")
    constraint = constraint_of(Condition(elements=["Na"], space_group=225), pattern)
    for seed in range(10):
        crystal = read(walk(constraint, words, seed)[0])
        assert crystal.sites[0] == read(pattern_of_sodium()).sites[0]
        assert {site.species for site in crystal.sites[1:]} <= {"F", "Br"}
        assert len(crystal.sites) > 1


def pattern_of_sodium() -> str:
    return "Fm-3m\n5.6 5.6 5.6\n90 90 90\nNa\n0.00 0.00 0.00"


def test_nothing_is_put_onto_an_orbit_that_is_given_later(words: TokenVocabulary) -> None:
    """The gap comes first, so the oxygen has to leave room for calcium and titanium."""
    pattern = parse_pattern("Pm-3m\n3.9 3.9 3.9\n?\n... O\nCa\n0 0 0\nTi\n0.5 0.5 0.5")
    constraint = constraint_of(Condition(formula="CaTiO3"), pattern)
    for seed in range(10):
        text, state = walk(constraint, words, seed)
        letters = [site.wyckoff_letter for site in read(text).sites]
        assert sorted(letters[:1]) in (["c"], ["d"])
        assert letters[1:] == ["a", "b"]
        assert not state.relaxed


@pytest.mark.parametrize(
    ("condition", "text", "words"),
    [
        ({"formula": "SrTiO3"}, PEROVSKITE, "cannot become SrTiO3"),
        ({"formula": "CaTiO3"}, PEROVSKITE.replace("O\n0.00", "O b\n0.00"), "that is 3c"),
        ({"formula": "CaTiO3", "space_group": 225}, PEROVSKITE, "not the one asked for"),
        ({"formula": "CaTiO3"}, PEROVSKITE.replace("90 90 90", "90 90 120"), "do not belong"),
        ({"formula": "CaTiO3"}, PEROVSKITE.replace("3.9 3.9 3.9", "3.9 3.9 4.5"), "belong"),
        ({"formula": "CaTiO3"}, PEROVSKITE.replace("3.9 3.9 3.9", "?").replace("Ti", "Ca a"), "2"),
        ({"formula": "CaTiO3"}, "Pm-3m\n?\n?\nCa z\n?\n...", "no Wyckoff position z"),
        ({"formula": "CaO"}, "Pm-3m\n?\n?\nCa 1a\n?\nO 1a\n?", "two orbits are given on position"),
        ({"formula": "CaTiO3"}, "Pm-3m\n900 ? ?\n?\n...", "cannot be written"),
        ({"formula": "CaTiO3"}, "Pm-3m\n?\n?\n... Ti|O", "cannot become CaTiO3"),
    ],
)
def test_what_cannot_become_a_crystal_is_one_line(
    condition: dict[str, object], text: str, words: str
) -> None:
    with pytest.raises((PatternError, ImpossibleConditionError), match=words) as caught:
        build_constraint(Condition(**condition), pattern=parse_pattern(text))
    assert "\n" not in str(caught.value)


def test_subword_tokens_keep_what_is_given(
    byte_level: tuple[object, TokenVocabulary], sentencepiece: tuple[object, TokenVocabulary]
) -> None:
    pattern = parse_pattern("Pnma\n?\n?\nCa c\n?\nTi\n0.00 0.00 0.00\n... O")
    constraint = constraint_of(Condition(formula="CaTiO3"), pattern)
    for _, vocabulary in (byte_level, sentencepiece):
        for seed in range(3):
            text, _ = walk(constraint, vocabulary, seed)
            assert fits(text, pattern)

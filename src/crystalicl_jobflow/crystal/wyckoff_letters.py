"""The Wyckoff letters of a crystal's elements: as they are given, and which of them are equal.

Letters mean something in one space group and one setting: that of the texts (`wyckoff`). The same
crystal has other letters from another origin, and along other axes where the group allows them
(Ca 1a, Ti 1b, O 3c and Ca 1b, Ti 1a, O 3d are both the cubic perovskite). Which letters change
places is the group's normalizer; International Tables A, chapter 3.5.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pymatgen.core import Element

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.crystal.formula import element_rank

WyckoffLetters = Mapping[str, tuple[str, ...]]
"""Element to the letters of its orbits, in the order of the letters; one for each orbit."""

LETTERS = "abcdefghijklmnopqrstuvwxyzA"
"""Wyckoff letters in their order; ``A`` stands for alpha in group 47."""

_ORBIT = re.compile(r"(\d*)([a-zA])", re.ASCII)
_ITEM = re.compile(
    r"\s*([A-Za-z]+)\s*:\s*((?:\d*[a-zA][,\s]*)+?)\s*(?=$|;|[A-Z][a-z]?\s*:)", re.ASCII
)
_PARAMETERS = np.array([0.1234, 0.2718, 0.4142])  # of a point in general position


def read_letters(value: Any, number: int) -> dict[str, tuple[str, ...]]:
    """Read the Wyckoff letters of a crystal.

    Parameters
    ----------
    value
        Element to letters, ``{"Ca": "a", "O": ["c", "d"]}``, or a text, ``Ca:a O:c,d``. The
        multiplicity may stand before a letter: ``3c``.
    number
        Space-group number, whose letters they are.

    Returns
    -------
    dict
        Elements in the order of texts. Of equivalent origins that one is chosen whose letters
        come first, as `SGSFormat.analyze` chooses it.

    Raises
    ------
    ValueError
        If it cannot be read, or the group has no such positions; one line.
    """
    items = _items_of_text(value) if isinstance(value, str) else value
    if not isinstance(items, Mapping):
        raise ValueError(
            f"Wyckoff letters are given as Ca:a O:c,d, or by element, not as {value!r}"
        )
    letters = {_element(name): _orbits(name, given, number) for name, given in items.items()}
    if not letters:
        raise ValueError("Wyckoff letters: no element is named")
    if len(letters) < len(items):
        raise ValueError("Wyckoff letters: an element is named twice")
    taken = Counter(itertools.chain.from_iterable(letters.values()))
    for position in wyckoff.wyckoff_positions(number):
        if not position.degrees_of_freedom and taken[position.letter] > 1:
            raise ValueError(
                f"Wyckoff position {position.multiplicity}{position.letter} of {_group(number)} has"
                f" no free coordinate: one orbit can take it, not {taken[position.letter]}"
            )
    return first_description(letters, number)


def _items_of_text(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    place = 0
    while place < len(text.rstrip(" ;")):
        match = _ITEM.match(text, place)
        if match is None or match[1] in found:
            raise ValueError(
                f"Wyckoff letters are written as Ca:a Ti:b O:c,d, each element once; got {text!r}"
            )
        found[match[1]] = match[2]
        place = match.end() + (text[match.end() : match.end() + 1] == ";")
    return found


def _element(name: Any) -> str:
    symbol = str(name).strip()
    if not Element.is_valid_symbol(symbol) or symbol in ("D", "T"):
        raise ValueError(f"Wyckoff letters: {symbol!r} is not an element")
    return symbol


def _orbits(name: Any, given: Any, number: int) -> tuple[str, ...]:
    texts = [given] if isinstance(given, str) else list(given) if _is_list(given) else [repr(given)]
    positions = {position.letter: position for position in wyckoff.wyckoff_positions(number)}
    letters = []
    for text in texts:
        rest = re.sub(r"[\s,]", "", str(text))
        found = _ORBIT.findall(rest)
        if not found or "".join(map("".join, found)) != rest:
            raise ValueError(f"Wyckoff letters of {name}: {text!r} names none, such as a or 3c")
        for multiplicity, letter in found:
            position = positions.get(letter)
            if position is None:
                raise ValueError(
                    f"Wyckoff letters of {name}: {_group(number)} has no position {letter},"
                    f" it has {', '.join(positions)}"
                )
            if multiplicity and int(multiplicity) != position.multiplicity:
                raise ValueError(
                    f"Wyckoff letters of {name}: position {letter} of {_group(number)} has"
                    f" {position.multiplicity} points, not {multiplicity}"
                )
            letters.append(letter)
    if not letters:
        raise ValueError(f"Wyckoff letters of {name}: {given!r} names none, such as a or 3c")
    return in_order(letters)


def _is_list(given: Any) -> bool:
    return isinstance(given, Iterable) and not isinstance(given, Mapping | bytes)


def _group(number: int) -> str:
    return f"space group {wyckoff.symbol(number)} ({number})"


def in_order(letters: Iterable[str]) -> tuple[str, ...]:
    """Return letters in their order, ``a`` first."""
    return tuple(sorted(letters, key=LETTERS.index))


def letters_text(letters: WyckoffLetters) -> str:
    """Write letters as one line; `read_letters` reads it: ``Ca:a Ti:b O:c,d``."""
    return " ".join(f"{name}:{','.join(orbits)}" for name, orbits in letters.items())


def atoms_of(letters: WyckoffLetters, number: int) -> dict[str, int]:
    """Return how many atoms of each element the primitive cell holds."""
    sizes = {
        position.letter: position.multiplicity for position in wyckoff.wyckoff_positions(number)
    }
    centring = wyckoff.centring_multiplicity(number)
    return {
        name: sum(sizes[letter] for letter in orbits) // centring
        for name, orbits in letters.items()
    }


def descriptions(letters: WyckoffLetters, number: int) -> list[dict[str, tuple[str, ...]]]:
    """Return the letters of the same crystal from all equivalent origins, each once.

    Parameters
    ----------
    letters
        Of one description.
    number
        Space-group number.

    Returns
    -------
    list of dict
        Over the cosets of the group in its Euclidean normalizer: the axes stay those of the
        standard cell. The description whose letters come first, element after element in the
        order of texts, is the first.
    """
    order = sorted(letters, key=element_rank)
    found = {
        tuple(in_order(mapping[letter] for letter in letters[name]) for name in order)
        for mapping in wyckoff.normalizer(number).letters
    }
    return [dict(zip(order, one, strict=True)) for one in sorted(found, key=_places)]


def _places(one: tuple[tuple[str, ...], ...]) -> list[list[int]]:
    return [[LETTERS.index(letter) for letter in orbits] for orbits in one]


def first_description(letters: WyckoffLetters, number: int) -> dict[str, tuple[str, ...]]:
    """Return the letters of the origin whose letters come first; see `descriptions`."""
    return descriptions(letters, number)[0]


def same_letters(one: WyckoffLetters, other: WyckoffLetters, number: int) -> bool:
    """Return whether two crystals of a group have their elements on the same positions.

    Parameters
    ----------
    one, other
        Their letters, in the setting of the texts.
    number
        Space-group number.

    Returns
    -------
    bool
        True also where it takes another origin or other axes that leave the group as it is: the
        axes of orthorhombic, monoclinic and triclinic cells are chosen by their lengths, which
        say nothing of the positions.
    """
    if one.keys() != other.keys():
        return False
    return _key(_frozen(one), number) == _key(_frozen(other), number)


def positions_key(letters: WyckoffLetters, number: int) -> tuple[tuple[str, ...], ...]:
    """Return what crystals of a group have in common whose elements lie on the same positions.

    Whichever elements these are; equivalent descriptions have one key, as in `same_letters`.
    """
    return _nameless_key(tuple(sorted(map(in_order, letters.values()))), number)


def _frozen(letters: WyckoffLetters) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return tuple(sorted(letters.items()))


@lru_cache(maxsize=1 << 16)
def _key(
    letters: tuple[tuple[str, tuple[str, ...]], ...], number: int
) -> tuple[tuple[str, tuple[str, ...]], ...]:
    return min(
        tuple((name, in_order(mapping[letter] for letter in orbits)) for name, orbits in letters)
        for mapping in equivalent_letters(number)
    )


@lru_cache(maxsize=1 << 16)
def _nameless_key(orbits: tuple[tuple[str, ...], ...], number: int) -> tuple[tuple[str, ...], ...]:
    return min(
        tuple(sorted(in_order(mapping[letter] for letter in one) for one in orbits))
        for mapping in equivalent_letters(number)
    )


@cache
def equivalent_letters(number: int) -> tuple[dict[str, str], ...]:
    """Return what the letters become under each change of origin and axes that keeps the group.

    The identity comes first. These are the permutations that the affine normalizer makes: beside
    the Euclidean one, which the tables hold and which is the whole of it from the tetragonal
    groups on, permutations of orthorhombic axes and other bases of monoclinic and triclinic
    cells.
    """
    names = [position.letter for position in wyckoff.wyckoff_positions(number)]
    steps = {
        tuple(mapping[name] for name in names) for mapping in wyckoff.normalizer(number).letters
    }
    steps.update(_by_axes(number, names))
    found = {tuple(names): None}  # in order, each once
    waiting = [tuple(names)]
    while waiting:
        start = dict(zip(names, waiting.pop(), strict=True))
        for step in steps:
            through = dict(zip(names, step, strict=True))
            end = tuple(through[start[name]] for name in names)
            if end not in found:
                found[end] = None
                waiting.append(end)
    return tuple(dict(zip(names, end, strict=True)) for end in found)


def _by_axes(number: int, names: list[str]) -> Iterator[tuple[str, ...]]:
    """Yield what the letters become along other axes."""
    positions = wyckoff.wyckoff_positions(number)
    points = np.array([p.rotation @ _PARAMETERS + p.translation for p in positions])
    sizes = np.array([position.multiplicity for position in positions])
    for turn in _turns(wyckoff.crystal_system(number)):
        for shift in itertools.product((0.0, 0.25, 0.5, 0.75), repeat=3):
            if not _keeps_group(turn, np.array(shift), number):
                continue
            moved = np.asarray(points @ turn.T + shift, dtype=np.float64)
            indices = wyckoff.wyckoff_index(moved, number, sizes)
            yield tuple(names[index] for index in indices)


def _turns(system: str) -> list[NDArray[np.int64]]:
    """Return changes of the axes of which all others that matter are made."""
    if system == "orthorhombic":
        swap = np.array([[0, 1, 0], [1, 0, 0], [0, 0, -1]])
        cycle = np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]])
        return [swap, cycle, cycle @ cycle, swap @ cycle, swap @ cycle @ cycle]
    if system == "monoclinic":
        # of a and c: they make every group of bases that keeps centring and glides, which
        # depend on whether the entries are even
        bases = (
            (0, 1, -1, 0), (1, 1, 0, 1), (1, 0, 1, 1), (1, 2, 0, 1), (1, 0, 2, 1), (0, 1, -1, -1),
            (-1, 0, 0, -1), (1, 0, 0, -1),
        )  # fmt: skip
        return [np.array([[a, 0, b], [0, a * d - b * c, 0], [c, 0, d]]) for a, b, c, d in bases]
    if system == "triclinic":
        shear = np.array([[1, 1, 0], [0, 1, 0], [0, 0, 1]])
        return [shear, *_turns("orthorhombic")]
    return []


def _keeps_group(turn: NDArray[np.int64], shift: NDArray[np.float64], number: int) -> bool:
    """Return whether a group's operations are the same ones from other axes and origin."""
    group = wyckoff.operations(number)
    back = np.rint(np.linalg.inv(turn)).astype(np.int64)
    rotations = turn @ group.rotations @ back
    translations = group.translations @ turn.T + shift - rotations @ shift
    return _operations(rotations, translations) == _own_operations(number)


@cache
def _own_operations(number: int) -> set[tuple[int, ...]]:
    group = wyckoff.operations(number)
    return _operations(group.rotations, group.translations)


def _operations(
    rotations: NDArray[np.int64], translations: NDArray[np.float64]
) -> set[tuple[int, ...]]:
    twentyfourths = np.rint(translations * 24).astype(int) % 24
    rows = np.concatenate([rotations.reshape(-1, 9), twentyfourths], axis=1)
    return set(map(tuple, rows.tolist()))

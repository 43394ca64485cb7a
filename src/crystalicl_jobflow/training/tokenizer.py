r"""A word-level tokenizer for crystal texts and prompts.

Every word of the SGS text is one token, and so is every fixed phrase of the prompts: a
space-group line, an element line, a coordinate, a length, an angle, ``The spacegroup number
is 221.``. A zero-shot prompt then costs about ten tokens and a crystal 7 + 4 n for n orbits.
A variant of the tokenizer also knows the words of CIF texts.
Nothing is normalised: decoding the ids of an ASCII text gives the text back, character
by character, because every printable character is a token as well.

A word includes the characters before it: ``'\n### Ca'`` (a line's first word), ``' 0.50'`` (a
later one), ``'Ca'`` (within a formula).
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from pymatgen.core import Element

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.prompts import MAX_SHOTS, RESPONSE, crystal_prompt, property_prompt
from crystalicl_jobflow.schemas import PROPERTIES, Condition
from crystalicl_jobflow.text.cif import SITE_FIELDS

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = "<pad>", "<s>", "</s>", "<unk>"
SPECIAL_TOKENS = (PAD, BOS, EOS, UNK)
"""Special tokens; their ids are their places here."""

LINE = "\n### "
"""Prefix of every line of a response."""

MAX_LENGTH = 80.0
"""Longest cell edge (Å) with a token of its own; longer ones are spelled in characters."""
ANGLES = (20, 160)
"""Smallest and largest cell angle (degrees) with a token of its own."""
MAX_POSITIONS = 2048
"""Longest row, in tokens, for which the tokenizer's model is made."""


@dataclass(frozen=True)
class WordFamily:
    """Tokens of one kind and the regular expression that finds them.

    Parameters
    ----------
    name
        Kind of the words, e.g. 'length'.
    words
        All tokens of the kind.
    pattern
        Finds exactly the words, and only as whole words.
    values
        Number that each word writes, or None where it writes none.
    """

    name: str
    words: tuple[str, ...]
    pattern: str
    values: tuple[float, ...] | None = None


@cache
def word_families(text_format: str = "sgs") -> tuple[WordFamily, ...]:
    """Return the kinds of words in the order in which they are looked for.

    Parameters
    ----------
    text_format
        'sgs', which also covers SGSW and XYZ, or 'cif' to include the words of CIF texts.
    """
    elements = [Element.from_Z(number).symbol for number in range(1, 119)]
    symbols = [wyckoff.symbol(number) for number in range(1, 231)]
    positions = sorted(
        {
            f"{position.multiplicity}{position.letter}"
            for number in range(1, 231)
            for position in wyckoff.wyckoff_positions(number)
        },
        key=lambda word: (int(word[:-1]), word[-1]),
    )
    coordinates = [f"{index / 100:.2f}" for index in range(100)]
    lengths = [f"{index / 10:.1f}" for index in range(10, round(MAX_LENGTH * 10) + 1)]
    angles = [str(angle) for angle in range(ANGLES[0], ANGLES[1] + 1)]
    end = r"(?![\w.+/-])"  # a longer number or symbol is a different word
    families = [WordFamily("phrase", *_literal(_phrases()))]
    for start in (LINE, " ", ""):
        sentences = [f"{start}The spacegroup number is {number}." for number in range(1, 231)]
        # alternatives over a common beginning: one test of it instead of 230
        beginning = re.escape(f"{start}The spacegroup number is ")
        numbers = _alternatives([str(number) for number in range(1, 231)])
        families.append(
            WordFamily("space group number", tuple(sentences), rf"{beginning}{numbers}\.")
        )
    families += [
        _numbers("coordinate", LINE, coordinates, r"0\.\d\d" + end),
        _numbers("length", LINE, lengths, r"(?:[1-9]|[1-7]\d)\.\d" + end, "80.0" + end),
        _numbers("angle", LINE, angles, r"(?:[2-9]\d|1[0-5]\d|160)" + end),
        _words("space group", LINE, symbols, r"(?![\w./-])"),
        _words("element", LINE, elements, r"(?![a-z])"),
        _numbers("coordinate", " ", coordinates, r"0\.\d\d" + end),
        _numbers("length", " ", lengths, r"(?:[1-9]|[1-7]\d)\.\d" + end, "80.0" + end),
        _numbers("angle", " ", angles, r"(?:[2-9]\d|1[0-5]\d|160)" + end),
        _words("wyckoff position", " ", positions, end),
        _words("element", "", elements, r"(?![a-z])"),
    ]
    if text_format == "cif":
        families += _cif_families(symbols, elements, coordinates)
    # words that are prefixes of others come after them
    openings = [f"{start}The spacegroup number is " for start in (LINE, " ", "")]
    families.append(WordFamily("opening", *_literal([*openings, LINE])))
    characters = tuple(c for c in string.printable if c.isprintable() or c in "\n\t\r")
    taken = {word for family in families for word in family.words}
    left = tuple(sorted(set(characters) - taken))
    return (*families, WordFamily("character", left, r"[\s\S]"))


def build_tokenizer(text_format: str = "sgs") -> PreTrainedTokenizerFast:
    r"""Build the tokenizer of the embedded model.

    Parameters
    ----------
    text_format
        Text format: 'sgs', 'sgsw', 'xyz' or 'cif'.

    Returns
    -------
    transformers.PreTrainedTokenizerFast
        Loads again with ``AutoTokenizer.from_pretrained``. It adds no special tokens by
        itself except the begin-of-text one. Pads on the left, as generation needs.

    Examples
    --------
    >>> tokenizer = build_tokenizer()
    >>> tokenizer.tokenize("\n### Response:\n### P4/mmm\n### 4.2 4.2 4.2")
    ['\n### Response:', '\n### P4/mmm', '\n### 4.2', ' 4.2', ' 4.2']
    """
    from tokenizers import Regex, Tokenizer
    from tokenizers.decoders import Fuse
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Split
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    families = word_families("cif" if text_format == "cif" else "sgs")
    words = list(SPECIAL_TOKENS)
    for family in families:
        words += family.words
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys(words))}
    backend = Tokenizer(WordLevel(vocabulary, unk_token=UNK))
    pattern = "|".join(f"(?:{family.pattern})" for family in families)
    backend.pre_tokenizer = Split(Regex(pattern), "isolated")
    backend.decoder = Fuse()
    backend.post_processor = TemplateProcessing(
        single=f"{BOS} $A",
        pair=f"{BOS} $A {BOS} $B",
        special_tokens=[(BOS, vocabulary[BOS])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        model_max_length=MAX_POSITIONS,
        padding_side="left",
        clean_up_tokenization_spaces=False,
    )


def number_words() -> Iterator[tuple[str, str, float]]:
    """Yield (kind, token, value) of every token that writes a number of a crystal."""
    for family in word_families():
        if family.values is not None:
            for word, value in zip(family.words, family.values, strict=True):
                yield family.name, word, value


def _cif_families(
    symbols: list[str], elements: list[str], coordinates: list[str]
) -> list[WordFamily]:
    """Return the words of CIF texts: fields, and numbers of four decimals in two parts.

    ``0.2500`` is ``0.25`` and ``00``: CrystaLLM writes digit by digit, which takes three
    times as many tokens.
    """
    fields = [
        "data_", "loop_", "_symmetry_space_group_name_H-M", "_symmetry_Int_Tables_number",
        "_chemical_formula_structural", "_chemical_formula_sum", "_cell_volume",
        "_cell_formula_units_Z", *SITE_FIELDS,
        *(f"_cell_length_{axis}" for axis in "abc"),
        *(f"_cell_angle_{name}" for name in ("alpha", "beta", "gamma")),
    ]  # fmt: skip
    lengths = [f"{index / 10:.1f}" for index in range(10, round(MAX_LENGTH * 10))]
    angles = [str(angle) for angle in range(ANGLES[0], ANGLES[1] + 1)]
    four = r"(?=\d\d(?!\d))"
    return [
        WordFamily("field", *_literal([LINE + field for field in fields])),
        _words("space group", " ", symbols, r"(?![\w./-])"),
        _numbers("coordinate", " ", coordinates, r"0\.\d\d" + four),
        _numbers("length", " ", lengths, r"(?:[1-9]|[1-7]\d)\.\d(?=\d\d\d(?!\d))"),
        _numbers("angle", " ", angles, r"(?:[2-9]\d|1[0-5]\d|160)(?=\.\d\d\d\d(?!\d))"),
        WordFamily(
            "decimals",
            tuple(f"{index:02d}" for index in range(100)),
            r"(?:(?<=\.)\d\d(?=\d\d(?!\d))|(?<=\.\d\d)\d\d(?!\d))",
        ),
        _words("element", " ", elements, r"(?![a-z])"),
        _words("count", " ", [str(index) for index in range(1, 231)], r"(?![\w.+/-])"),
    ]


def _numbers(name: str, start: str, numbers: list[str], *patterns: str) -> WordFamily:
    return WordFamily(
        name,
        tuple(start + number for number in numbers),
        re.escape(start) + f"(?:{'|'.join(patterns)})",
        tuple(float(number) for number in numbers),
    )


def _words(name: str, start: str, words: list[str], end: str) -> WordFamily:
    return WordFamily(
        name,
        tuple(start + word for word in words),
        re.escape(start) + _alternatives(words) + end,
    )


def _literal(words: list[str]) -> tuple[tuple[str, ...], str]:
    return tuple(words), _alternatives(words)


def _alternatives(words: list[str]) -> str:
    """Return a pattern of the words, with longer ones before their prefixes."""
    ordered = sorted(words, key=lambda word: (-len(word), word))
    return f"(?:{'|'.join(re.escape(word) for word in ordered)})"


def _phrases() -> list[str]:
    """Return the fixed phrases of the prompts, cut out of prompts built by their room."""
    mark = Condition(formula="CaTiO3")
    sentence = "The chemical formula is CaTiO3."
    found: dict[str, None] = {f"\n{RESPONSE}": None}
    for text_format in ("sgs", "xyz", "cif"):
        zero = crystal_prompt(mark, text_format=text_format).removesuffix(f"\n{RESPONSE}")
        found.update(dict.fromkeys(zero.split(f" {sentence}")))
        for shots in range(1, MAX_SHOTS + 1):
            few = crystal_prompt(mark, [(sentence, "@")] * shots, text_format=text_format)
            head, *middle, task = few.removesuffix(f"\n{RESPONSE}").split(f"\n### {sentence}")
            found[head] = None
            for example in middle:
                found[example.removeprefix("\n### @")] = None
            found[task] = None
            # the same for an empty condition: the task starts its line
            found[f"\n###{task}"] = None
    for name, spec in PROPERTIES.items():
        lines = property_prompt(name, "@").split("\n### ")
        found[lines[0]] = None
        found.update({LINE + line: None for line in (lines[1], lines[3])})
        _add_openings(found, f"The {spec.phrase} is ")
    for words in (
        "The chemical formula is ",
        "The anonymous formula is ",
        "The chemical system is ",
        "The elements include ",
        "The number of sites is ",
    ):
        _add_openings(found, words)
    return [phrase for phrase in found if phrase]


def _add_openings(found: dict[str, None], sentence: str) -> None:
    found.update({start + sentence: None for start in (LINE, " ", "")})

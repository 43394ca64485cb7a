"""The tokenizer loses nothing and spends one token per word."""

from __future__ import annotations

import csv
import gzip
import random
import string
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer

from crystalicl_jobflow.crystal import wyckoff
from crystalicl_jobflow.generation import TokenVocabulary
from crystalicl_jobflow.prompts import crystal_prompt, property_prompt, response_text
from crystalicl_jobflow.schemas import PROPERTIES, Condition
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.text.formats import crystal_text
from crystalicl_jobflow.training import HYBRID_MIXTURE, InstructionSet, build_tokenizer
from crystalicl_jobflow.training.tokenizer import LINE, word_families

TOKENIZER = build_tokenizer()


def ids(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def test_every_word_of_every_family_is_one_token() -> None:
    for family in word_families():
        for word in family.words:
            assert TOKENIZER.convert_ids_to_tokens(ids(word)) == [word], family.name


@given(st.text(alphabet=string.printable.replace("\x0b", "").replace("\x0c", "")))
def test_any_ascii_text_comes_back_unchanged(text: str) -> None:
    assert TOKENIZER.decode(ids(text)) == text
    assert TOKENIZER.unk_token_id not in ids(text)


@given(
    st.lists(
        st.sampled_from([word for family in word_families() for word in family.words]),
        max_size=30,
    )
)
def test_any_sequence_of_words_comes_back_unchanged(words: list[str]) -> None:
    text = "".join(words)
    assert TOKENIZER.decode(ids(text)) == text


def test_the_cif_variant_keeps_every_word_of_the_plain_one() -> None:
    plain, cif = TOKENIZER.get_vocab(), build_tokenizer("cif").get_vocab()
    assert plain.keys() < cif.keys()
    # saved models rely on the ids of the plain one
    assert build_tokenizer("sgsw").get_vocab() == plain


@given(st.text(alphabet=string.printable.replace("\x0b", "").replace("\x0c", "")))
def test_any_text_comes_back_from_the_cif_variant(text: str) -> None:
    tokenizer = _cif_tokenizer()
    found = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(found) == text
    assert tokenizer.unk_token_id not in found


def test_a_cif_text_costs_few_tokens_and_none_unknown(prototypes) -> None:
    tokenizer = _cif_tokenizer()
    for item in prototypes:
        text = response_text(crystal_text(item.crystal, "cif"))
        found = tokenizer(text, add_special_tokens=False)["input_ids"]
        assert tokenizer.decode(found) == text
        assert tokenizer.unk_token_id not in found
        assert len(found) <= 85 + 14 * item.num_orbits, text


@cache
def _cif_tokenizer():
    return build_tokenizer("cif")


@pytest.mark.parametrize("text_format", ["sgs", "sgsw"])
def test_a_crystal_costs_seven_tokens_and_four_or_five_per_orbit(prototypes, text_format) -> None:
    for item in prototypes:
        text = response_text(crystal_text(item.crystal, text_format))
        per_orbit = 4 if text_format == "sgs" else 5
        assert len(ids(text)) == 7 + per_orbit * item.num_orbits, text


def test_a_zero_shot_prompt_costs_about_ten_tokens() -> None:
    prompt = crystal_prompt(Condition(formula="CaTiO3", space_group=221))
    tokens = TOKENIZER.tokenize(prompt)
    assert tokens[1:7] == [" The chemical formula is ", "Ca", "Ti", "O", "3", "."]
    assert tokens[7] == " The spacegroup number is 221."
    assert len(tokens) == 10


def test_a_response_begins_at_a_border_of_tokens(prototypes) -> None:
    """What follows the prompt must be the same ids alone and in the whole text."""
    instructions = InstructionSet(prototypes, mixture=HYBRID_MIXTURE)
    for instruction in instructions.epoch(0):
        whole = ids(instruction.prompt + instruction.response)
        assert whole == ids(instruction.prompt) + ids(instruction.response)


def test_all_prompts_of_the_paper_are_spelled_without_single_letters(prototypes) -> None:
    conditions = Condition(
        formula="CaTiO3", space_group=221, properties=dict.fromkeys(PROPERTIES, 0.25)
    )
    pair = ("The chemical formula is BaO.", SGS.format(prototypes[0].crystal))
    prompts = [
        crystal_prompt(condition, [pair] * shots)
        for condition in (Condition(), conditions)
        for shots in range(6)
    ]
    prompts += [property_prompt(name, pair[1]) for name in PROPERTIES]
    for prompt in prompts:
        letters = [t for t in TOKENIZER.tokenize(prompt) if len(t) == 1 and t.islower()]
        assert not letters, prompt


def test_symbols_that_begin_alike_are_told_apart() -> None:
    for number in range(1, 231):
        line = LINE + wyckoff.symbol(number)
        assert TOKENIZER.tokenize(line + LINE + "5.0 5.0 5.0")[0] == line
    # P, Pm and Cm are elements or groups; the text alone says which
    assert TOKENIZER.tokenize(LINE + "P" + LINE + "0.00")[0] == LINE + "P"


def test_disordered_species_and_long_cells_are_spelled_out() -> None:
    text = "\n### P1\n### 123.4 4.0 4.0\n### 90 90 90\n### Cu0.75 Au0.25\n### 0.00 0.00 0.00"
    assert TOKENIZER.decode(ids(text)) == text
    assert TOKENIZER.unk_token_id not in ids(text)


def test_it_is_the_same_after_saving(tmp_path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = crystal_prompt(Condition(formula="NaCl")) + "\n### Fm-3m\n### 5.7 5.7 5.7"
    assert loaded(text)["input_ids"] == TOKENIZER(text)["input_ids"]
    assert loaded(text)["input_ids"][0] == loaded.bos_token_id
    assert loaded.decode(loaded(text)["input_ids"], skip_special_tokens=True) == text
    assert (loaded.pad_token_id, loaded.padding_side) == (TOKENIZER.pad_token_id, "left")


def test_the_constraint_vocabulary_reads_the_exact_words() -> None:
    vocabulary = TokenVocabulary.from_tokenizer(TOKENIZER)
    text = "\n### Pm-3m\n### 3.9 3.9 3.9\n### 90 90 90\n### Ca 1a\n### 0.00 0.00 0.00"
    assert "".join(vocabulary.strings[token] for token in ids(text)) == text
    assert vocabulary.eos_token_ids == (TOKENIZER.eos_token_id,)


def test_real_crystals_are_spelled_in_whole_words(shared_data) -> None:
    csv.field_size_limit(10**9)
    with gzip.open(shared_data / "mp_20_test.csv.gz", "rt", newline="") as lines:
        rows = random.Random(0).sample(list(csv.DictReader(lines)), 60)
    from pymatgen.core import Structure

    for row in rows:
        crystal = SGS.analyze(Structure.from_str(row["cif"], fmt="cif"))
        text = response_text(SGS.format(crystal))
        assert len(ids(text)) == 7 + 4 * len(crystal.sites), text
        assert TOKENIZER.decode(ids(text)) == text

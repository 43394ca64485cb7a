"""Vocabularies of every kind, made on the spot."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from crystalicl_jobflow.generation.base import TokenVocabulary
from crystalicl_jobflow.generation.constraints.budget import ELEMENTS
from crystalicl_jobflow.generation.constraints.plan import GROUP_VALUES

from .writing import LINE, word_strings


@pytest.fixture(scope="session")
def words() -> TokenVocabulary:
    return TokenVocabulary(["", *word_strings()], (0,))


@pytest.fixture(scope="session")
def word_tokens(words: TokenVocabulary) -> Callable[[str], list[int]]:
    index = {text: token for token, text in enumerate(words.strings)}

    def tokenize(text: str) -> list[int]:
        tokens = []
        for line in text.split("\n"):
            first, *rest = line.split(" ")
            tokens += [index[LINE + first], *(index[" " + word] for word in rest)]
        return tokens

    return tokenize


def _corpus() -> list[str]:
    rng = np.random.default_rng(0)
    texts = []
    for _ in range(1500):
        lines = [GROUP_VALUES.strings[rng.integers(230)]]
        lines.append(" ".join(f"{x:.1f}" for x in rng.uniform(2, 15, 3)))
        lines.append(str(rng.choice(["90 90 90", "90 90 120", "90 104 90"])))
        for _ in range(rng.integers(1, 5)):
            lines.append(ELEMENTS[rng.integers(94)])
            lines.append(" ".join(f"{x:.2f}" for x in rng.choice([0, 0.25, 0.33, 0.5, 0.71], 3)))
        texts.append("".join(LINE + line for line in lines))
    return texts


def _wrap(tokenizer: Tokenizer) -> tuple[PreTrainedTokenizerFast, TokenVocabulary]:
    wrapped = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
    return wrapped, TokenVocabulary.from_tokenizer(wrapped)


def _byte_level(*, regex: bool) -> tuple[PreTrainedTokenizerFast, TokenVocabulary]:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=regex)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=900,
        special_tokens=["</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(_corpus(), trainer)
    return _wrap(tokenizer)


@pytest.fixture(scope="session")
def byte_level() -> tuple[PreTrainedTokenizerFast, TokenVocabulary]:
    """A tokenizer as of Llama 3 and Qwen: merges of bytes within words."""
    return _byte_level(regex=True)


@pytest.fixture(scope="session")
def crossing() -> tuple[PreTrainedTokenizerFast, TokenVocabulary]:
    """Merges of bytes across everything: tokens that end one field and begin the next."""
    return _byte_level(regex=False)


@pytest.fixture(scope="session")
def sentencepiece() -> tuple[PreTrainedTokenizerFast, TokenVocabulary]:
    """A tokenizer as of Llama 2: '▁' for a space, single digits, bytes for the rest."""
    pieces = ["</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    singles = sorted(set("".join(word_strings())) - {"\n", " "})
    pieces += ["▁", *singles, "##", "▁#", "###", "▁###"]
    pieces += ["▁" + char for char in singles if char.isalpha()]
    pieces += [symbol for symbol in ELEMENTS if len(symbol) == 2]
    pieces += ["▁" + symbol for symbol in ELEMENTS if len(symbol) == 2]
    vocabulary = {piece: i for i, piece in enumerate(dict.fromkeys(pieces))}
    merges = [("#", "#"), ("##", "#"), ("▁", "#"), ("▁", "###")]
    merges += [("▁", char) for char in singles if char.isalpha()]
    merges += [(s[0], s[1]) for s in ELEMENTS if len(s) == 2]
    merges += [("▁", s) for s in ELEMENTS if len(s) == 2]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, byte_fallback=True))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    tokenizer.add_special_tokens([AddedToken("</s>", special=True)])
    return _wrap(tokenizer)

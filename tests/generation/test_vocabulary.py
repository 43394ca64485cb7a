"""Every token's text is exact: together they are what the tokenizer decodes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crystalicl_jobflow.generation import TokenVocabulary

from .tiny import word_level_tokenizer

CRYSTAL = "\n### P4/mmm\n### 4.2 4.2 4.2\n### 90 90 90\n### Mg\n### 0.00 0.00 0.00\n### O"
CORPUS = [CRYSTAL, "### Instruction: Below is a description of a bulk material.", "Å ä €"] * 20


def sentencepiece_like() -> Any:
    """Return a tokenizer built as Llama 2's is: '▁' for blanks, bytes as a last resort."""
    from tokenizers import Tokenizer, decoders, models, normalizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=special, initial_alphabet=["#", "▁", "M", "g"]
    )
    # without line ends, which Llama 2 has as a byte only
    tokenizer.train_from_iterator([text.replace("\n", " ") for text in CORPUS], trainer)
    # the bytes are ordinary tokens there
    state = tokenizer.to_str().replace('"special":true', '"special":false')
    tokenizer = Tokenizer.from_str(state)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    )


def byte_level() -> Any:
    """Return a tokenizer built as Llama 3's and Qwen's are: BPE over bytes, 'Ġ' for blanks."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")


BUILDERS = {
    "word level": word_level_tokenizer,
    "sentencepiece": sentencepiece_like,
    "byte level": byte_level,
}


@pytest.fixture(scope="module", params=sorted(BUILDERS))
def tokenizer(request: pytest.FixtureRequest) -> Any:
    """Return one tokenizer of each kind."""
    return BUILDERS[request.param]()


def test_a_crystal_after_a_prompt_is_put_together_exactly(tokenizer: Any) -> None:
    vocabulary = TokenVocabulary.from_tokenizer(tokenizer)
    prompt = tokenizer("### Response:", add_special_tokens=False)["input_ids"]
    text = "\n### Pm-3m\n### 4.2 4.2 4.2\n### 90 90 90\n### Ca\n### 0.00 0.50 0.00"
    whole = tokenizer("### Response:" + text, add_special_tokens=False)["input_ids"]
    assert whole[: len(prompt)] == prompt
    assert vocabulary.decode(whole[len(prompt) :]) == text
    assert "".join(vocabulary.strings[token] for token in whole[len(prompt) :]) == text


def test_special_tokens_write_nothing_and_the_end_is_known(tokenizer: Any) -> None:
    vocabulary = TokenVocabulary.from_tokenizer(tokenizer)
    assert vocabulary.eos_token_ids == (tokenizer.eos_token_id,)
    assert all(vocabulary.strings[token] == "" for token in tokenizer.all_special_ids)
    assert len(vocabulary) == len(tokenizer)


@pytest.mark.parametrize("kind", ["sentencepiece", "byte level"])
@given(text=st.text(alphabet="#. \n\tMg0é€中", max_size=30))
def test_any_text_survives_its_tokens(kind: str, text: str) -> None:
    tokenizer = _cached(kind)
    vocabulary = TokenVocabulary.from_tokenizer(tokenizer)
    start = tokenizer("#", add_special_tokens=False)["input_ids"]
    ids = tokenizer("#" + text, add_special_tokens=False)["input_ids"]
    expected = " #" if kind == "sentencepiece" else "#"
    assert vocabulary.decode(start) == expected
    assert vocabulary.decode(ids) == expected + text


_TOKENIZERS: dict[str, Any] = {}


def _cached(kind: str) -> Any:
    if kind not in _TOKENIZERS:
        _TOKENIZERS[kind] = BUILDERS[kind]()
    return _TOKENIZERS[kind]


def test_pieces_of_characters_are_no_strings(tokenizer: Any) -> None:
    vocabulary = TokenVocabulary.from_tokenizer(tokenizer)
    for text, piece in zip(vocabulary.strings, vocabulary.pieces, strict=True):
        assert text.encode() == piece or text == ""
        assert "\ufffd" not in text


def test_equal_vocabularies_share_tables(tokenizer: Any) -> None:
    first = TokenVocabulary.from_tokenizer(tokenizer)
    second = TokenVocabulary.from_tokenizer(tokenizer)
    assert {first: "table"}[second] == "table"
    other = TokenVocabulary(first.strings, (0,))
    assert (other == first) == (first.eos_token_ids == (0,))


def test_several_end_tokens(tokenizer: Any) -> None:
    vocabulary = TokenVocabulary.from_tokenizer(tokenizer, eos_token_ids=[7])
    assert set(vocabulary.eos_token_ids) == {7, tokenizer.eos_token_id}
    assert vocabulary.strings[7] == ""


def test_the_embedded_models_tokenizer() -> None:
    from crystalicl_jobflow.training.tokenizer import build_tokenizer

    tokenizer = build_tokenizer()
    vocabulary = TokenVocabulary.from_tokenizer(tokenizer)
    ids = tokenizer(CRYSTAL, add_special_tokens=False)["input_ids"]
    assert vocabulary.decode(ids) == CRYSTAL

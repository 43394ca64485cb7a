"""A text has the scores in a batch that it has alone, in every architecture that is accepted."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain
from typing import Any

import pytest
import torch
import transformers
from transformers import AutoModelForCausalLM, PreTrainedConfig

from crystalicl_jobflow.generation import GenerationError, GenerationRequest
from crystalicl_jobflow.generation.transformers_engine import TransformersGenerator
from crystalicl_jobflow.generation.transformers_engine.batch import ROUNDING
from crystalicl_jobflow.generation.transformers_engine.batch_check import max_positions
from crystalicl_jobflow.generation.transformers_engine.kv_cache import SlotCache
from crystalicl_jobflow.schemas import FailureReason, ModelInfo, SamplingParams

from .tiny import PROMPT, word_level_tokenizer

POSITIONS = 128
WINDOW = 5
TOKENS = {"vocab_size": 347, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZE = {
    "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "max_position_embeddings": POSITIONS, "initializer_range": 0.3,
}  # fmt: skip
GQA = {**SIZE, "num_key_value_heads": 2}
GPT = {
    "n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": POSITIONS, "initializer_range": 0.3,
}  # fmt: skip
SLIDING = {
    **GQA, "head_dim": 8, "sliding_window": WINDOW,
    "layer_types": ["sliding_attention", "full_attention"],
}  # fmt: skip
EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": GQA,
    "Mistral": {**GQA, "sliding_window": WINDOW},
    "Mixtral": {**GQA, "sliding_window": WINDOW, **EXPERTS},
    "Qwen2": {**GQA, "use_sliding_window": True, "sliding_window": WINDOW, "max_window_layers": 1},
    "Gemma2": {**GQA, "head_dim": 8, "sliding_window": WINDOW},
    "Gemma3Text": SLIDING,
    "GptOss": {**SLIDING, **EXPERTS},
    "Llama4Text": {
        **GQA, "head_dim": 8, "attention_chunk_size": 8, "num_local_experts": 2,
        "intermediate_size_mlp": 32, "no_rope_layers": [1, 0],
        "layer_types": ["chunked_attention", "full_attention"],
    },
    "Phi3": {
        **GQA, "original_max_position_embeddings": 64,
        "rope_parameters": {"rope_type": "longrope", "short_factor": [1.0] * 4,
                            "long_factor": [3.0] * 4, "rope_theta": 1e4},
    },
    "Mpt": {
        "d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": POSITIONS,
        "expansion_ratio": 1, "initializer_range": 0.3,
    },
    "Bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3},
    "Falcon": {
        "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "alibi": True,
        "initializer_range": 0.3,
    },
    "GPT2": GPT,
    "GPTNeo": {
        "hidden_size": 32, "num_layers": 2, "num_heads": 4, "window_size": WINDOW,
        "attention_types": [[["global", "local"], 1]], "max_position_embeddings": POSITIONS,
        "initializer_range": 0.3,
    },
    "OPT": {
        "hidden_size": 32, "ffn_dim": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "word_embed_proj_dim": 32, "max_position_embeddings": POSITIONS, "init_std": 0.3,
    },
}  # fmt: skip
"""Configuration class of transformers, without 'Config' → its arguments."""

LIMITS = {
    "GPT2": "n_positions",
    "Mpt": "max_seq_len",
    "Phi3": "original_max_position_embeddings",
}
"""Where the number of positions stands; elsewhere in ``max_position_embeddings``."""


def config_of(name: str, **changes: Any) -> PreTrainedConfig:
    options = {**TOKENS, **ARCHITECTURES.get(name, GQA), **changes}
    config: PreTrainedConfig = getattr(transformers, f"{name}Config")(**options)
    return config


def build(config: PreTrainedConfig, *, batch_size: int = 3) -> TransformersGenerator:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    info = ModelInfo(engine="transformers", base_model=config.model_type)
    return TransformersGenerator(model, word_level_tokenizer(), info=info, batch_size=batch_size)


def refusal(config: PreTrainedConfig) -> str:
    with pytest.raises(GenerationError) as caught:
        build(config)
    assert "\n" not in str(caught.value)
    return str(caught.value)


class Slots:
    """Rows with made-up tokens in the slots of one cache, as a batch computes them."""

    def __init__(self, generator: TransformersGenerator, num_slots: int) -> None:
        self.causal = generator.causal
        self.random = torch.Generator().manual_seed(1)
        self.rows: list[tuple[int, ...]] = [()] * num_slots
        self.cache: SlotCache | None = None
        self.largest = 0.0

    def tokens(self, count: int) -> tuple[int, ...]:
        return tuple(torch.randint(3, 60, (count,), generator=self.random).tolist())

    def read(self, *lengths: int) -> list[tuple[Any, Any]]:
        contexts = [self.tokens(length) for length in lengths]
        prefixes = self.causal.read(contexts)
        for context, prefix in zip(contexts, prefixes, strict=True):
            self.compare(context, prefix.logits)
        return list(zip(contexts, prefixes, strict=True))

    def place(self, slot: int, context: tuple[int, ...], prefix: Any) -> None:
        if self.cache is None:
            self.cache = SlotCache(len(self.rows), like=prefix, width=prefix.num_tokens)
        self.cache.place(slot, prefix)
        self.rows[slot] = context

    def write(self, steps: int) -> None:
        assert self.cache is not None
        for _ in range(steps):
            self.rows = [row and (*row, *self.tokens(1)) for row in self.rows]
            logits = self.causal.forward(
                torch.tensor([[row[-1] if row else 0] for row in self.rows]),
                position_ids=torch.tensor([[max(0, len(row) - 1)] for row in self.rows]),
                attention_mask=self.cache.open(),
                cache=self.cache,
            )
            self.cache.close()
            for row, scores in zip(self.rows, logits, strict=True):
                if row:
                    self.compare(row, scores)

    def write_runs(self, *counts: int) -> None:
        """Write several tokens of each row in one step."""
        assert self.cache is not None
        width = max(counts)
        before = self.rows
        self.rows = [(*row, *self.tokens(n)) for row, n in zip(before, counts, strict=True)]
        lines = [slot for slot, n in enumerate(counts) for _ in range(n)]
        columns = [width - n + place for n in counts for place in range(n)]
        logits = self.causal.forward(
            torch.tensor([(*[0] * width, *row)[-width:] for row in self.rows]),
            position_ids=torch.tensor(
                [[max(0, len(row) - width + i) for i in range(width)] for row in self.rows]
            ),
            attention_mask=self.cache.open(counts),
            cache=self.cache,
            places=(lines, columns),
        )
        self.cache.close()
        assert len(logits) == sum(counts)
        for slot, column, scores in zip(lines, columns, logits, strict=True):
            row = self.rows[slot]
            self.compare(row[: len(row) - width + 1 + column], scores)

    def compare(self, row: tuple[int, ...], scores: torch.Tensor) -> None:
        difference = (self.causal.read_alone(row) - scores).abs().max()
        self.largest = max(self.largest, float(difference))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_scores_are_those_of_the_text_alone(name: str) -> None:
    """Rows that join late, end early, and are longer than the window."""
    slots = Slots(build(config_of(name)), 3)
    with torch.inference_mode():
        short, middle, long = slots.read(4, 9, 30)
        slots.place(0, *short)
        slots.write(2)
        slots.place(1, *long)  # longer than all that the cache holds
        slots.write(7)
        slots.place(2, *middle)
        slots.write(3)
        slots.place(0, *middle)  # in place of a row that has ended
        slots.write(3)
        assert slots.cache is not None
        slots.rows = slots.rows[1:]
        slots.cache.keep([1, 2])
        slots.write(2)
    assert slots.largest < ROUNDING[torch.float32]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_rows_that_read_runs_of_tokens_have_the_scores_that_they_have_alone(name: str) -> None:
    """Rows of one step read different numbers of tokens, where the architecture allows it."""
    generator = build(config_of(name))
    counts_columns = {"Mistral", "Mixtral", "Gemma2", "Gemma3Text", "GptOss", "Llama4Text", "Mpt",
                      "Bloom", "GPTNeo", "Qwen2"}  # fmt: skip
    assert generator.causal.reads_runs is (name not in counts_columns)
    if not generator.causal.reads_runs:
        return
    slots = Slots(generator, 3)
    with torch.inference_mode():
        short, middle, long = slots.read(4, 9, 30)
        for slot, row in enumerate((short, long, middle)):
            slots.place(slot, *row)
        slots.write_runs(1, 3, 1)
        slots.write(1)
        slots.write_runs(4, 1, 2)
        slots.place(1, *middle)  # in place of the longest
        slots.write_runs(1, 2, 5)
        assert slots.cache is not None
        slots.cache.keep([0, 1, 2])  # closes the gaps
        slots.write(2)
    assert slots.largest < ROUNDING[torch.float32]


@pytest.mark.parametrize("name", ["Mistral", "Mpt"])
def test_texts_do_not_depend_on_the_batch(name: str) -> None:
    requests = [
        GenerationRequest(PROMPT + "\n### P1" * count, num_samples=2, key=str(count))
        for count in (0, 9, 2)
    ]
    sampling = SamplingParams(seed=2, max_new_tokens=25, top_p=1.0)
    generator = build(config_of(name), batch_size=3)
    together = generator.generate(requests, sampling)
    alone = build(config_of(name), batch_size=1).generate(requests, sampling)
    assert together == alone
    assert any(len(item.text) > 3 * WINDOW for item in chain(*together))


@pytest.mark.parametrize("name", ["Mistral", "Mpt", "GPT2"])
def test_given_texts_have_the_scores_that_they_have_alone(name: str) -> None:
    generator = build(config_of(name, **({"n_positions": 40} if name == "GPT2" else {})))
    causal = generator.causal
    prompt = PROMPT + "\n### P1" * 4
    start = causal.encode(prompt)
    texts = ["\n### Ca", "\n### 4.2 4.2 4.2\n### Ti 0.50", " O", " 0.50" * 50]
    found, none = generator.log_probs([prompt, PROMPT], [texts, []])
    if name == "GPT2":  # the last one is too long
        assert found.pop() is None
    ids = [[*causal.encode(prompt + text)[len(start) :], 2] for text in texts[: len(found)]]
    alone = [causal.log_prob_alone(start, row) for row in ids]
    assert found == pytest.approx(alone, abs=0.0051)
    assert none == []


class TestPositions:
    @pytest.mark.parametrize("name", ["GPT2", "Mpt", "Phi3"])
    def test_a_text_ends_where_the_positions_do(self, name: str) -> None:
        """Also where some rows are long gone, and columns of the cache are counted."""
        field = LIMITS.get(name, "max_position_embeddings")
        generator = build(config_of(name, **{field: 40}), batch_size=4)
        generator.causal.vocabulary.eos_token_ids = (3,)  # drawn now and then
        longer = PROMPT + "\n### P1" * 5
        prompts = [len(generator.causal.encode(prompt)) for prompt in (PROMPT, longer)]
        assert max(prompts) < 30
        requests = [GenerationRequest(PROMPT, 6, key="a"), GenerationRequest(longer, 6, key="b")]
        sampling = SamplingParams(seed=1, max_redraws=1, top_p=1.0, temperature=2.0)
        answers = generator.generate(requests, sampling, accept=lambda *_: None)
        cut = 0
        for row, prompt in zip(answers, prompts, strict=True):
            for item in row:
                assert item.finished or prompt + item.num_tokens == 40
                assert item.flaw is (None if item.finished else FailureReason.TRUNCATED)
                cut += not item.finished
        assert cut

    def test_a_prompt_without_room_costs_only_its_own_texts(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        generator = build(config_of("GPT2", n_positions=40))
        requests = [
            GenerationRequest(PROMPT + "\n### P1" * 40, 2, key="long"),
            GenerationRequest(PROMPT, 2, key="short"),
        ]
        progress: list[tuple[int, int]] = []
        with caplog.at_level("WARNING"):
            long, short = generator.generate(
                requests,
                SamplingParams(max_new_tokens=5),
                progress=lambda done, total: progress.append((done, total)),
            )
        assert {item.flaw for item in long} == {FailureReason.NOT_GENERATED}
        assert "the model 40 positions: show fewer demonstrations" in str(long[0].error)
        assert all(item.error is None and item.num_tokens for item in short)
        assert progress == [(2, 4), (3, 4), (4, 4)]
        assert "no text for 1 of 2 prompts" in caplog.text

    @pytest.mark.parametrize(
        ("name", "changes", "expected"),
        [
            ("Llama", {}, POSITIONS),
            ("GPT2", {}, POSITIONS),
            ("Mpt", {}, POSITIONS),
            ("Bloom", {}, None),
            ("Llama", {"rope_parameters": {"rope_type": "linear", "factor": 2.0,
                                           "rope_theta": 1e4}}, POSITIONS),
            ("Llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0,
                                           "rope_theta": 1e4}}, POSITIONS),
            ("Phi3", {"original_max_position_embeddings": 16}, 16),
        ],
    )  # fmt: skip
    def test_positions_whose_meaning_would_depend_on_the_batch_are_not_used(
        self, name: str, changes: dict[str, Any], expected: int | None
    ) -> None:
        assert max_positions(config_of(name, **changes)) == expected


class TestRefusals:
    @pytest.mark.parametrize(
        ("name", "changes"),
        [
            ("Mamba", {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 4}),
            ("Rwkv", {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32}),
            ("Lfm2", {**GQA, "layer_types": ["conv", "full_attention"]}),
        ],
    )
    def test_a_model_without_keys_and_values_is_refused(
        self, name: str, changes: dict[str, Any]
    ) -> None:
        config = getattr(transformers, f"{name}Config")(**TOKENS, **changes)
        message = refusal(config)
        assert f"({name}ForCausalLM) cannot be used" in message
        assert "keeps no keys and values" in message

    @pytest.mark.parametrize(
        ("name", "left_out"), [("Llama", "attention_mask"), ("GPT2", "position_ids")]
    )
    def test_a_model_whose_rows_see_each_other_is_refused(
        self, name: str, left_out: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model = getattr(transformers, f"{name}Model")
        forward: Callable[..., Any] = model.forward

        def careless(self: Any, *args: Any, **options: Any) -> Any:
            return forward(self, *args, **{**options, left_out: None})

        monkeypatch.setattr(model, "forward", careless)
        assert "depend on the other texts of its batch" in refusal(config_of(name))

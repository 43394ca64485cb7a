"""A model that is tuned by rewards of its own texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from jobflow import JobStore, run_locally
from maggma.stores import MemoryStore

from crystalicl_jobflow.cli import cli
from crystalicl_jobflow.generation.transformers_engine.model import CausalModel
from crystalicl_jobflow.jobs import GRPOMaker
from crystalicl_jobflow.retrieval.index import DemonstrationIndex
from crystalicl_jobflow.schemas import Condition, SamplingParams
from crystalicl_jobflow.schemas.training import GRPODoc
from crystalicl_jobflow.text import SGS
from crystalicl_jobflow.training import TrainingCrystal, build_base_model
from crystalicl_jobflow.training.base_model import save_base
from crystalicl_jobflow.training.checkpoints import read_log
from crystalicl_jobflow.training.grpo import (
    Attempt,
    GRPOSettings,
    find_reward,
    tune_with_rewards,
)
from crystalicl_jobflow.training.grpo.crystal_prompts import Prompts
from crystalicl_jobflow.training.grpo.policy import (
    Reference,
    batches_of,
    draw_texts,
    log_probs,
)
from crystalicl_jobflow.training.grpo.rewards import Rewarder, advantages

SETTINGS = GRPOSettings(
    group_size=3, prompts=2, steps=4, learning_rate=5e-3, max_new_tokens=15, constrained=False,
    shots=1, strategy="C", threads=1, checkpoint_every=0.0,
)  # fmt: skip


def few_tokens(attempt: Attempt) -> float:
    """Reward short texts."""
    return -float(len(attempt.text))


def share_of_digits(attempt: Attempt) -> float:
    """Reward numbers."""
    return sum(letter.isdigit() for letter in attempt.text) / max(1, len(attempt.text))


def attempt(text: str, crystal: TrainingCrystal) -> Attempt:
    known = crystal.demonstration
    condition = Condition(formula=known.formula, space_group=known.space_group)
    return Attempt(text, "sgs", True, condition, SGS.build(crystal.crystal))


@pytest.fixture
def model(tokenizer, tiny_size) -> Any:
    return build_base_model(tokenizer, tiny_size, seed=1)


@pytest.fixture(scope="session")
def pool(prototypes) -> DemonstrationIndex:
    return DemonstrationIndex.from_documents(
        crystal.demonstration.model_dump() for crystal in prototypes
    )


class TestRewards:
    def test_by_name(self, prototypes):
        right = attempt(SGS.format(prototypes[0].crystal), prototypes[0])
        wrong = attempt(SGS.format(prototypes[1].crystal), prototypes[0])
        broken = attempt("no crystal", prototypes[0])
        values = [[find_reward(name)(item) for item in (right, wrong, broken)] for name in
                  ("match", "crystext")]  # fmt: skip
        assert values[0] == [1.0, 0.0, 0.0]
        assert values[1][0] == 3.0
        assert values[1][0] > values[1][1] > values[1][2]

    def test_of_a_users_own(self):
        assert find_reward(f"{__name__}:few_tokens")(_of("abc")) == -3.0

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("joy", "reward 'joy' is not one of crystext, match, energy:POTENTIAL, MODULE:FUN"),
            ("no_module_here:f", "cannot be imported: No module named 'no_module_here'"),
            (f"{__name__}:SETTINGS", "is not a function"),
            ("energy:nothing", "no energy model 'nothing'"),
        ],
    )
    def test_unknown_ones_are_one_line(self, name, words):
        with pytest.raises(ValueError, match=words) as found:
            find_reward(name)
        assert "\n" not in str(found.value)

    def test_a_text_is_rewarded_once_and_a_failure_costs_only_itself(self):
        seen = []

        def function(item: Attempt) -> float | None:
            seen.append(item.text)
            return {"a": 1.0, "nan": float("nan")}[item.text]

        rewarder = Rewarder(function)
        assert rewarder.rewards([_of("a"), _of("b"), _of("nan"), _of("a")]) == [1.0, None, None, 1]
        assert rewarder.rewards([_of("b"), _of("a")]) == [None, 1.0]
        assert seen == ["a", "b", "nan"]

    def test_what_has_no_reward_is_worth_less_than_the_group(self):
        assert advantages([1.0, 0.0]) == [1.0, -1.0]
        assert advantages([None, 0.0, 0.0]) == pytest.approx([-(2**0.5), 0.5**0.5, 0.5**0.5])
        assert advantages([None, None]) == [0.0, 0.0]


def _of(text: str) -> Attempt:
    return Attempt(text, "sgs", True, Condition(formula="NaCl"), None)  # type: ignore[arg-type]


class TestProbabilities:
    @pytest.mark.parametrize("constrained", [False, True])
    def test_are_those_with_which_texts_are_drawn(
        self, model, tokenizer, prototypes, pool, constrained
    ):
        settings = GRPOSettings(constrained=constrained, shots=1, strategy="C")
        prompts = Prompts(prototypes, pool, settings)
        model.eval()
        request = prompts.request(2, 3, seed=0)
        sampling = SamplingParams(temperature=0.7, top_p=1.0, max_new_tokens=300, max_redraws=0)
        (texts,) = draw_texts(CausalModel(model, tokenizer), [request], sampling, batch_size=3)
        vocabulary = CausalModel(model, tokenizer).vocabulary
        with torch.no_grad():
            found = log_probs(model, texts, vocabulary, 0.7)
            alone = [log_probs(model, [text], vocabulary, 0.7)[0] for text in texts]
        for text, together, single in zip(texts, found, alone, strict=True):
            assert together.shape == (len(text.written),)
            assert torch.allclose(together, single, atol=1e-4)
            assert (together <= 1e-6).all()
            assert (text.choices is not None) is constrained
            if text.choices is None:
                ids = torch.tensor([[*text.prompt_ids, *text.written]])
                scores = model(ids).logits[0, len(text.prompt_ids) - 1 : -1].detach() / 0.7
                silent = [i for i, piece in enumerate(vocabulary.pieces) if not piece]
                scores[:, list(set(silent) - set(vocabulary.eos_token_ids))] = -torch.inf
                expected = torch.log_softmax(scores, -1)
                picked = expected[range(len(text.written)), list(text.written)]
                assert torch.allclose(together, picked, atol=1e-4)
            else:
                forced = [place for place, ids in enumerate(text.choices) if len(ids) == 1]
                assert forced
                assert together[forced].abs().max() < 1e-6

    def test_batches_hold_similar_lengths_and_every_text_once(
        self, model, tokenizer, prototypes, pool
    ):
        prompts = Prompts(prototypes, pool, SETTINGS)
        requests = [prompts.request(place, 2, seed=0) for place in range(6)]
        sampling = SamplingParams(max_new_tokens=20, max_redraws=0)
        causal = CausalModel(model.eval(), tokenizer)
        drawn = draw_texts(causal, requests, sampling, batch_size=4)
        texts = [text for group in drawn for text in group]
        batches = list(batches_of(texts, 600))
        assert sorted(place for batch in batches for place in batch) == list(range(12))
        for batch in batches:
            widest = max(len(texts[i].prompt_ids) + len(texts[i].written) for i in batch)
            assert len(batch) == 1 or len(batch) * widest <= 600

    def test_the_start_is_only_borrowed(self, model):
        start = Reference(model)
        before = {name: p.detach().clone() for name, p in model.named_parameters()}
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(1.0)
        with start.in_place(model):
            assert all(torch.equal(p, before[name]) for name, p in model.named_parameters())
        assert all(torch.equal(p, before[name] + 1) for name, p in model.named_parameters())


class TestTraining:
    def tune(self, model, tokenizer, prototypes, pool, folder, **options) -> Any:
        settings = options.pop("settings", SETTINGS)
        return tune_with_rewards(
            model, tokenizer, Prompts(prototypes, pool, settings), folder,
            **{"reward": few_tokens, "settings": settings, **options},
        )  # fmt: skip

    def test_what_is_rewarded_becomes_more_frequent(
        self, model, tokenizer, prototypes, pool, tmp_path
    ):
        settings = GRPOSettings(
            group_size=8, prompts=2, steps=14, learning_rate=1e-1, kl_weight=0.0,
            max_new_tokens=10, constrained=False, shots=0, threads=1, warmup_steps=1,
        )  # fmt: skip
        self.tune(
            model, tokenizer, prototypes, pool, tmp_path, settings=settings, reward=share_of_digits
        )
        rewards = [line["reward"] for line in read_log(tmp_path)]
        assert sum(rewards[-3:]) / 3 > sum(rewards[:3]) / 3 + 0.03
        assert (tmp_path / "rewards.png").stat().st_size > 5000

    def test_the_divergence_holds_it_back(self, model, tokenizer, prototypes, pool, tmp_path):
        divergences = []
        for weight in (0.0, 100.0):
            folder = tmp_path / str(weight)
            settings = GRPOSettings(
                group_size=4, prompts=1, steps=6, learning_rate=4e-3, kl_weight=weight,
                max_new_tokens=10, constrained=False, shots=0, threads=1,
            )  # fmt: skip
            fresh = build_base_model(tokenizer, _size(model), seed=1)
            self.tune(fresh, tokenizer, prototypes, pool, folder, settings=settings)
            divergences.append(read_log(folder)[-1]["kl"])
        assert 0 < divergences[1] < divergences[0]

    def test_after_a_kill_it_is_the_training_that_was_not_killed(
        self, tokenizer, tiny_size, prototypes, pool, tmp_path
    ):
        whole = build_base_model(tokenizer, tiny_size, seed=1)
        held_out = Prompts(prototypes[:3], pool, SETTINGS)
        self.tune(whole, tokenizer, prototypes, pool, tmp_path / "whole", held_out=held_out)

        class Killed(Exception):  # noqa: N818 - it is no error
            pass

        def kill(line: dict[str, float]) -> None:
            if line["step"] == 3:
                raise Killed

        cut = tmp_path / "cut"
        with pytest.raises(Killed):
            self.tune(
                build_base_model(tokenizer, tiny_size, seed=1), tokenizer, prototypes, pool, cut,
                held_out=held_out, progress=kill,
            )  # fmt: skip
        again = build_base_model(tokenizer, tiny_size, seed=1)
        result = self.tune(again, tokenizer, prototypes, pool, cut, held_out=held_out)
        assert result.state.step == SETTINGS.steps
        for first, second in zip(whole.parameters(), again.parameters(), strict=True):
            assert torch.equal(first, second)
        logs = [read_log(tmp_path / name) for name in ("whole", "cut")]
        for lines in logs:
            for line in lines:
                del line["seconds"]
        assert logs[0] == logs[1]
        assert result.before["crystals"] == result.after["crystals"] == 3

    def test_the_compound_itself_is_never_shown(self, prototypes, pool):
        prompts = Prompts(prototypes, pool, GRPOSettings(shots=5))
        for place in range(len(prototypes)):
            asked = prompts.condition(place).formula
            shown = prompts.request(place, 1, seed=3).prompt
            assert shown.count(f"The chemical formula is {asked}.") == 1

    @pytest.mark.parametrize(
        ("settings", "words"),
        [
            ({"group_size": 1}, "group_size must be at least 2"),
            ({"temperature": 0.0}, "temperature must be above 0"),
            ({"kl_weight": -1.0}, "kl_weight must be 0 or more"),
            ({"steps": 0}, "steps must be at least 1"),
        ],
    )
    def test_settings_without_sense_are_refused(self, settings, words):
        with pytest.raises(ValueError, match=words):
            GRPOSettings(**settings)


def _size(model: Any) -> Any:
    from crystalicl_jobflow.training import BaseSize

    return BaseSize(hidden_size=32, num_layers=2, num_heads=2, intermediate_size=64, dropout=0.1)


@pytest.fixture
def base(model, tokenizer, tmp_path) -> Path:
    save_base(model, tokenizer, tmp_path / "base")
    return tmp_path / "base"


QUICK = ["--steps", "2", "--prompts", "2", "--group-size", "2", "--max-new-tokens", "20",
         "--free", "--shots", "1", "--limit", "30", "--validation", "0.1"]  # fmt: skip


def test_the_command_tunes_the_whole_model_or_an_adapter(base, tmp_path):
    from transformers import AutoModelForCausalLM

    words = ["train", "grpo", "prototypes", "--base-model", str(base), *QUICK]
    result = CliRunner().invoke(cli, [*words, "--whole", "--out", str(tmp_path / "a")])
    assert result.exit_code == 0, result.output
    AutoModelForCausalLM.from_pretrained(tmp_path / "a" / "model")
    card = (tmp_path / "a" / "MODEL_CARD.md").read_text()
    assert "reward `crystext`" in card
    assert "before" in card
    assert "To train it again" in card
    assert json.loads((tmp_path / "a" / "grpo_args.json").read_text())["reward"] == "crystext"

    result = CliRunner().invoke(cli, [*words, "--reward", "match", "--out", str(tmp_path / "b")])
    assert result.exit_code == 0, result.output
    assert (tmp_path / "b" / "adapter" / "adapter_model.safetensors").is_file()
    # an adapter can be tuned further
    again = [*words, "--adapter", str(tmp_path / "b" / "adapter"), "--out", str(tmp_path / "c")]
    result = CliRunner().invoke(cli, again)
    assert result.exit_code == 0, result.output
    # the folder belongs to the training with that reward
    result = CliRunner().invoke(cli, [*words, "--out", str(tmp_path / "b")])
    assert result.exit_code != 0
    assert "holds a training with reward match, not crystext" in result.output


def test_a_job(base, tmp_path):
    settings = GRPOSettings(steps=2, prompts=2, group_size=2, max_new_tokens=20, constrained=False)
    maker = GRPOMaker(base_model=str(base), whole=True, settings=settings, limit=20)
    job = GRPOMaker.from_dict(maker.as_dict()).make("prototypes")
    store = JobStore(MemoryStore(), additional_stores={"data": MemoryStore()})
    run_locally(job, store=store, ensure_success=True, log=False, root_dir=tmp_path)
    done = GRPODoc.model_validate(job.output.resolve(store))
    assert done.steps == len(done.rewards) == 2
    assert Path(done.model, "config.json").is_file()
    assert set(done.before) == set(done.after)

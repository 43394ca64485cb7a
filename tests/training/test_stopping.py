"""Early stopping on what is held out; the best model is kept."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForCausalLM

from crystalicl_jobflow.training import InstructionSet, LoopSettings, train_base
from crystalicl_jobflow.training import loop as module
from crystalicl_jobflow.training.progress import draw_loss_curve, progress_words

SETTINGS = LoopSettings(
    learning_rate=5e-3, epochs=9, warmup_steps=1, tokens_per_batch=900, log_every=1, threads=1
)


@pytest.fixture
def few(prototypes):
    return InstructionSet(prototypes[:16])


@pytest.fixture
def held_out(prototypes):
    return list(InstructionSet(prototypes[16:22]).epoch(0))


def test_patience_ends_a_training_and_its_best_model_is_the_result(
    tmp_path, few, held_out, tiny_size, monkeypatch
) -> None:
    planned = iter([3.0, 2.0, 2.5, 2.1, 9.0])
    monkeypatch.setattr(module, "evaluate_loss", lambda *_, **__: next(planned))
    settings = replace(SETTINGS, patience=2, validate_every=1)
    kept = []

    def watch(line) -> None:
        if line["step"] == 3 and "loss" in line:  # the best is that of step 2
            kept.append((tmp_path / "best" / "model" / "model.safetensors").read_bytes())

    result = train_base(
        few, tmp_path, settings=settings, size=tiny_size, validation=held_out, progress=watch
    )
    state = result.state
    assert (state.stopped, state.step, state.best_step, state.best_loss) == (True, 4, 2, 2.0)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == kept[0]
    # once stopped it stays so: nothing is trained or measured again
    monkeypatch.setattr(module, "evaluate_loss", None)
    again = train_base(few, tmp_path, settings=settings, size=tiny_size, validation=held_out)
    assert again.state.step == 4
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == kept[0]


def test_without_patience_the_last_model_is_the_result_and_the_best_lies_beside(
    tmp_path, few, held_out, tiny_size, monkeypatch
) -> None:
    planned = iter([1.0, 2.0, 3.0])
    monkeypatch.setattr(module, "evaluate_loss", lambda *_, **__: next(planned))
    settings = replace(SETTINGS, epochs=3, validate_every=0)
    result = train_base(few, tmp_path, settings=settings, size=tiny_size, validation=held_out)
    assert not result.state.stopped
    assert result.state.epoch == 3
    assert [line["validation_loss"] for line in result.state.history] == [1.0, 2.0, 3.0]
    models = [
        AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()
        for folder in (tmp_path, tmp_path / "best")
    ]
    assert any(not torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_patience_without_a_validation_is_refused(tmp_path, few, tiny_size) -> None:
    with pytest.raises(ValueError, match="needs a validation share"):
        train_base(few, tmp_path, settings=replace(SETTINGS, patience=1), size=tiny_size)
    with pytest.raises(ValueError, match="patience must be at least 1, got 0"):
        replace(SETTINGS, patience=0)


def test_rows_that_are_too_long_are_counted_and_nothing_to_learn_is_said(
    tmp_path, few, tiny_size
) -> None:
    settings = replace(SETTINGS, epochs=1, max_tokens=60)
    result = train_base(few, tmp_path / "some", settings=settings, size=tiny_size)
    lengths = few.order(0)
    assert 0 < result.state.left_out < len(lengths)
    with pytest.raises(ValueError, match="no instruction fits into 2 tokens"):
        train_base(few, tmp_path / "none", settings=replace(settings, max_tokens=2))


def test_a_loss_that_is_no_number_stops_with_one_line(
    tmp_path, few, tiny_size, monkeypatch
) -> None:
    from crystalicl_jobflow.training.gradients import StepLoss

    monkeypatch.setattr(module, "compute_gradients", lambda *_, **__: StepLoss(float("nan"), 1))
    with pytest.raises(ValueError, match="the loss is nan at step 0: lower the learning rate"):
        train_base(few, tmp_path, settings=SETTINGS, size=tiny_size)


def test_the_loss_curve_is_a_picture_of_the_log(tmp_path) -> None:
    assert draw_loss_curve(tmp_path) is None
    lines = [
        f'{{"step": {step}, "epoch": {step // 4}, "loss": {3 - step / 5}}}' for step in range(9)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    first = draw_loss_curve(tmp_path)
    assert first is not None
    without = first.read_bytes()
    assert without[:8] == b"\x89PNG\r\n\x1a\n"
    held_out = '{"step": 6, "epoch": 1, "validation_loss": 2.5}\n'
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, held_out]))
    second = draw_loss_curve(tmp_path)
    assert second is not None
    assert second.read_bytes() != without


def test_log_lines_become_words() -> None:
    say = progress_words(epochs=3)
    line = {"step": 20, "epoch": 0, "tokens": 4000, "seconds": 2.0, "loss": 3.0, "share": 0.1}
    assert say(line) == "step 20  epoch 1/3  loss 3.000  2,000 tokens/s  10 % done, 18 s left"
    later = {**line, "step": 40, "tokens": 10_000, "seconds": 4.0, "share": 0.2}
    assert "3,000 tokens/s" in say(later)  # since the line before
    assert say({**line, "validation_loss": 2.0}) == "step 20  validation loss 2.000"
    assert "cut into 4 pieces" in say({**line, "splits": 4.0})

"""What becomes of a server's texts: ends, counts, probabilities, constraints, redraws."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from crystalicl_jobflow.evaluation import evaluate
from crystalicl_jobflow.generation import GenerationError, GenerationRequest
from crystalicl_jobflow.generation.constraints.number import NumberConstraint
from crystalicl_jobflow.generation.generate import generate_for_retrievals
from crystalicl_jobflow.generation.http_engine import ServerOptions, parse_address
from crystalicl_jobflow.generation.http_engine.engine import HTTPGenerator
from crystalicl_jobflow.prompts import response_text
from crystalicl_jobflow.schemas import (
    Completion,
    Condition,
    FailureReason,
    Generation,
    Retrieval,
    SamplingParams,
)
from crystalicl_jobflow.validation.validate import build_candidates
from model_server import ModelServer, Reply, chat, completion
from reciting import NO_CRYSTAL, OVERLAPPING, PEROVSKITE, ROCK_SALT

SALT = Condition(formula="NaCl", space_group=225)

CUTS = ["length", "abort", "repetition", "error", "content_filter", "tool_calls", "eos", None]
"""What servers give as the end of a text that did not end properly; None: they give nothing."""


def generator(server: ModelServer, **options: Any) -> HTTPGenerator:
    # one at a time: the servers here give their replies in turn
    given = ServerOptions(**{"backoff": 0.0, "concurrency": 1, **options})
    return HTTPGenerator(parse_address(server.url), given)


def one(server: ModelServer, sampling: SamplingParams | None = None, **options: Any) -> Completion:
    ((found,),) = generator(server, **options).generate(
        [GenerationRequest("p")], sampling or SamplingParams()
    )
    return found


def texts(*given: str) -> Callable[[dict[str, Any]], Reply]:
    """Answer with these texts one after the other, then with the last again."""
    left = list(given)
    return lambda body: completion(response_text(left.pop(0) if len(left) > 1 else left[0]))


def ask(
    server: ModelServer, condition: Condition = SALT, *, num_samples: int = 1, **options: Any
) -> Generation:
    asked = Retrieval(condition=condition, strategy="C", shots=0, seed=0)
    (found,) = generate_for_retrievals(
        [asked], generator(server), num_samples=num_samples, **options
    )
    return found


@pytest.mark.parametrize(
    ("reply", "finished"),
    [
        (completion("a", finish="stop"), True),
        (Reply(body={"choices": [{"text": "a"}], "usage": {"completion_tokens": 7}}), False),
        *((completion("a", finish=reason), False) for reason in CUTS),
    ],
)
def test_the_end_is_the_servers(reply: Reply, finished: bool) -> None:
    with ModelServer(lambda body: reply) as server:
        found = one(server)
    assert found.finished is finished
    assert (found.num_tokens, found.tokens_drawn) == (7, 7)


def test_rambling_is_cut_off() -> None:
    """Some servers return the stop sequence with the text, others do not stop at all."""
    with ModelServer(lambda body: completion("a\n### b\n### Instruction: c", finish="length")) as s:
        found = one(s)
    assert (found.text, found.finished) == ("a\n### b", True)


def test_tokens_that_are_not_counted_are_none() -> None:
    with ModelServer(lambda body: Reply(body={"choices": [{"text": "a"}]})) as server:
        assert one(server).num_tokens == 0


class TestBestOf:
    @pytest.mark.parametrize("endpoint", ["completions", "chat"])
    def test_the_most_probable_is_kept(self, endpoint: str) -> None:
        def answer(body: dict[str, Any]) -> Reply:
            number = body["seed"] % 97
            values = [-float(number), -0.125]
            if endpoint == "chat":
                told = {"content": [{"token": "a", "logprob": value} for value in values]}
                return chat(f"text {number}", logprobs=told)
            return completion(f"text {number}", logprobs={"token_logprobs": values})

        sampling = SamplingParams(best_of=4, max_redraws=0)
        asked = Retrieval(condition=Condition(), strategy="C", shots=0, seed=0)
        with ModelServer(answer) as server:
            (generation,) = generate_for_retrievals(
                [asked], generator(server, endpoint=endpoint), constrain=False, sampling=sampling
            )
        best = min(body["seed"] % 97 for body in server.bodies)
        (kept,) = generation.completions
        assert kept.text == f"text {best}"
        assert kept.log_prob == round(-best - 0.125, 2)
        assert kept.draws == len(server.bodies) == 4
        assert all("logprobs" in body for body in server.bodies)

    def test_a_failed_draw_goes_behind_every_text(self) -> None:
        def answer(body: dict[str, Any]) -> Reply:
            if len(server.bodies) % 2 == 0:
                return Reply(400, {})
            return completion("no crystal", logprobs={"token_logprobs": [-99.0]})

        sampling = SamplingParams(best_of=2, max_redraws=0)
        asked = Retrieval(condition=Condition(), strategy="C", shots=0, seed=0)
        with ModelServer(answer) as server:
            (found,) = generate_for_retrievals(
                [asked], generator(server, concurrency=1), num_samples=3, sampling=sampling
            )
        assert [item.text for item in found.completions] == ["no crystal"] * 3

    def test_a_server_that_tells_none_is_one_line(self) -> None:
        with (
            ModelServer() as server,
            pytest.raises(GenerationError, match="does not tell log-probabilities"),
        ):
            ask(server, constrain=False, sampling=SamplingParams(best_of=2))
        with (
            ModelServer(lambda body: completion("a")) as server,
            pytest.raises(GenerationError, match="transformers servers do not tell"),
        ):
            one(server, SamplingParams(best_of=2), kind="transformers")
        assert [body["max_tokens"] for body in server.bodies] == [1]


class TestConstraints:
    """A server's texts are held to the same rules as those of the model in this process."""

    def test_another_formula_is_drawn_again(self) -> None:
        with ModelServer(texts(PEROVSKITE, NO_CRYSTAL, OVERLAPPING, ROCK_SALT)) as server:
            found = ask(server)
        (item,) = found.completions
        assert item.text == response_text(ROCK_SALT)
        assert item.flaw is None
        assert (item.attempts, item.draws, item.tokens_drawn) == (4, 4, 28)
        assert item.rejected == {"bad_space_group": 1, "condition_not_met": 2}
        assert len({body["seed"] for body in server.bodies}) == 4
        (candidate,) = build_candidates([found])
        assert candidate.valid
        assert candidate.joint_success

    def test_the_best_of_several_wrong_ones_is_kept(self) -> None:
        with ModelServer(texts(NO_CRYSTAL, PEROVSKITE, NO_CRYSTAL, NO_CRYSTAL)) as server:
            (item,) = ask(server, sampling=SamplingParams(max_redraws=3)).completions
        assert item.text == response_text(PEROVSKITE)
        assert item.flaw == FailureReason.CONDITION_NOT_MET
        assert item.rejected == {"bad_space_group": 3}
        assert item.attempts == 4

    def test_overlapping_atoms_are_the_mildest_flaw(self) -> None:
        near = "P4mm\n4.0 4.0 4.5\n90 90 90\nNa\n0.00 0.00 0.00\nCl\n0.00 0.00 0.20"
        polar = Condition(formula="NaCl", space_group=99)
        sampling = SamplingParams(max_redraws=2)
        with ModelServer(texts(PEROVSKITE, near, OVERLAPPING)) as server:
            (item,) = ask(server, polar, sampling=sampling).completions
        assert item.text == response_text(near)
        assert item.rejected == {"condition_not_met": 2}
        assert item.flaw == FailureReason.ATOMS_OVERLAP

    def test_how_a_constraint_was_held_is_said(self) -> None:
        with ModelServer(texts(ROCK_SALT)) as server:
            (held,) = ask(server).completions
        with ModelServer(texts(ROCK_SALT), models=[{"id": "m"}], pages={}) as server:
            (checked,) = ask(server).completions
            (free,) = ask(server, constrain=False).completions
        assert str(held.constraint).endswith("grammar while written, the rest checked on finished"
                                             " texts")  # fmt: skip
        assert str(checked.constraint).endswith("all checked on finished texts")
        assert free.constraint is None

    @pytest.mark.parametrize("reason", CUTS)
    def test_texts_that_are_cut_off_are_drawn_again(self, reason: str | None) -> None:
        replies = [completion(response_text(ROCK_SALT), finish=reason)] * 2
        with ModelServer(lambda body: replies.pop() if replies else
                         completion(response_text(ROCK_SALT))) as server:  # fmt: skip
            (item,) = ask(server).completions
        assert item.rejected == {"truncated": 2}
        assert item.finished

    def test_a_text_that_is_always_cut_off_is_recorded_as_cut(self) -> None:
        cut = completion(response_text(ROCK_SALT), finish="content_filter")
        with ModelServer(lambda body: cut) as server:
            generation = ask(server, sampling=SamplingParams(max_redraws=1))
        (candidate,) = build_candidates([generation])
        assert generation.completions[0].flaw is FailureReason.TRUNCATED
        assert candidate.failure_reason is FailureReason.TRUNCATED
        assert not candidate.valid

    def test_an_impossible_condition_is_told_before_the_server_is_asked(self) -> None:
        from crystalicl_jobflow.generation.constraints import ImpossibleConditionError

        with ModelServer() as server, pytest.raises(ImpossibleConditionError):
            ask(server, Condition(formula="CaTiO3", space_group=227, num_sites=5))
        assert server.headers == []

    def test_constraints_on_tokens_are_refused_in_one_line(self) -> None:
        request = GenerationRequest("p", constraint=NumberConstraint())
        with (
            ModelServer() as server,
            pytest.raises(GenerationError, match="constraint on single tokens") as error,
        ):
            generator(server).generate([request], SamplingParams())
        assert "\n" not in str(error.value)
        assert server.bodies == []


def test_failures_are_candidates_with_a_reason() -> None:
    """Every text that was asked for is in the denominators."""
    replies = [completion(response_text(ROCK_SALT)), Reply(400, {"error": "too long"})]
    with ModelServer(lambda body: replies.pop(0) if replies else
                     completion(response_text(ROCK_SALT))) as server:  # fmt: skip
        generation = ask(server, num_samples=5)
    candidates = build_candidates([generation])
    (lost,) = [item for item in candidates if item.failure_reason == FailureReason.NOT_GENERATED]
    assert lost.failure_message == "the server answers 400: too long"
    assert (lost.parsed, lost.valid, lost.joint_success) == (False, False, False)
    evaluation = evaluate(candidates)
    assert evaluation.num_candidates == 5
    assert evaluation.reasons == {"not_generated": 1}
    assert evaluation.rates["valid"].of == 5
    assert evaluation.rates["valid"].count == 4


def test_a_failed_redraw_keeps_the_text_before() -> None:
    replies = [completion(response_text(PEROVSKITE)), Reply(400, {})]
    with ModelServer(lambda body: replies.pop(0)) as server:
        (item,) = ask(server).completions
    assert item.text == response_text(PEROVSKITE)
    assert item.error is None
    assert item.flaw == FailureReason.CONDITION_NOT_MET
    assert item.rejected == {"not_generated": 1}
    assert item.attempts == 2


def test_provenance_names_server_model_and_version() -> None:
    with ModelServer(texts(ROCK_SALT)) as server:
        generation = ask(server)
    (candidate,) = build_candidates([generation])
    model = candidate.provenance.model
    assert model is not None
    assert (model.engine, model.base_model, model.device) == ("http/vllm", "crystals", server.url)
    assert candidate.provenance.versions["server vllm"] == "0.12.0"
    assert candidate.provenance.sampling == generation.sampling


def test_the_same_draw_on_another_machine_is_the_same_candidate() -> None:
    ids = []
    for _ in range(2):
        with ModelServer(texts(ROCK_SALT)) as server:
            ids.append(build_candidates([ask(server)])[0].candidate_id)
    assert ids[0] == ids[1]


def test_properties_need_a_model_in_this_process_or_no_constraint() -> None:
    from pymatgen.core import Lattice, Structure

    from crystalicl_jobflow.generation.property_prediction import predict_property

    salt = Structure.from_spacegroup(
        "Fm-3m", Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )
    with ModelServer(lambda body: completion(" 5.0000")) as server:
        with pytest.raises(GenerationError, match="constraint on single tokens"):
            predict_property({"salt": salt}, "band_gap", generator(server))
        (found,) = predict_property({"salt": salt}, "band_gap", generator(server), constrain=False)
    assert found.value == 5.0
    assert server.bodies[0]["temperature"] == 0

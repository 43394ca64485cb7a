"""What goes wrong between client and server costs a retry, then a sample, never a batch."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from types import SimpleNamespace
from typing import Any

import pytest

from crystalicl_jobflow.generation import GenerationError, GenerationRequest
from crystalicl_jobflow.generation.http_engine import ServerOptions, parse_address
from crystalicl_jobflow.generation.http_engine.client import RequestError, ServerClient, retry_after
from crystalicl_jobflow.generation.http_engine.engine import HTTPGenerator
from crystalicl_jobflow.schemas import Completion, FailureReason, SamplingParams
from model_server import ModelServer, Reply, completion, recite

PROMPT = "### Response:"
ONE_DRAW = SamplingParams(max_redraws=0)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Collect the pauses that a client makes, instead of making them."""
    made: list[float] = []
    monkeypatch.setattr(
        ServerClient, "_hold", lambda self, seconds: made.append(seconds) if seconds > 0 else None
    )
    return made


def generator(server: ModelServer, concurrency: int = 8, **options: Any) -> HTTPGenerator:
    given = ServerOptions(**{"backoff": 0.01, "timeout": 30.0, **options})
    return HTTPGenerator(parse_address(server.url), given, concurrency=concurrency)


def draw(server: ModelServer, count: int = 1, **options: Any) -> list[Completion]:
    (row,) = generator(server, **options).generate([GenerationRequest(PROMPT, count)], ONE_DRAW)
    return row


def in_turn(*replies: Reply) -> Callable[[dict[str, Any]], Reply]:
    """Give these replies one after the other, then texts."""
    left = list(replies)
    lock = threading.Lock()

    def answer(body: dict[str, Any]) -> Reply:
        with lock:
            return left.pop(0) if left else completion("a text")

    return answer


BROKEN = {
    "busy": Reply(429, {"error": "slow down"}),
    "fault": Reply(500, "<html>oops</html>"),
    "starting": Reply(503, {"error": {"message": "loading"}}),
    "dropped": Reply(drop=True),
    "no JSON": Reply(body='{"choices": [{"te'),
    "no choices": Reply(body={"choices": []}),
    "no text": Reply(body={"choices": [{"finish_reason": "stop"}]}),
    "no object": Reply(body=[1, 2]),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
def test_a_passing_fault_costs_a_retry(reply: Reply, pauses: list[float]) -> None:
    with ModelServer(in_turn(reply, reply)) as server:
        (found,) = draw(server)
    assert (found.text, found.error) == ("a text", None)
    assert len(server.bodies) == 3
    assert len(pauses) == 2
    # the very same request, its seed included
    assert server.bodies[0] == server.bodies[1] == server.bodies[2]


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
def test_a_lasting_fault_costs_the_sample_only(reply: Reply, pauses: list[float]) -> None:
    def answer(body: dict[str, Any]) -> Reply:
        return reply if body["seed"] == bad else recite(body)

    with ModelServer() as server:
        draw(server, 6)
        bad = sorted(body["seed"] for body in server.bodies)[2]
        server.answer = answer
        completions = draw(server, 6, retries=2)
    lost = [item for item in completions if item.error is not None]
    assert len(completions) == 6
    assert len(lost) == 1
    assert lost[0].flaw == FailureReason.NOT_GENERATED
    assert (lost[0].text, lost[0].finished, lost[0].num_tokens) == ("", False, 0)
    assert "\n" not in lost[0].error
    assert "(3 attempts)" in lost[0].error


def test_pauses_double_up_to_a_limit(pauses: list[float]) -> None:
    with ModelServer(in_turn(*[Reply(500, "")] * 6)) as server:
        draw(server, retries=6, backoff=1.0, max_backoff=8.0)
    assert len(pauses) == 6
    for pause, full in zip(pauses, [1, 2, 4, 8, 8, 8], strict=True):
        assert full / 2 <= pause <= full


def test_the_servers_own_pause_is_kept(pauses: list[float]) -> None:
    with ModelServer(in_turn(Reply(429, {}, {"Retry-After": "11"}))) as server:
        (found,) = draw(server)
    assert found.error is None
    assert pauses[0] >= 11
    # nothing else is sent in the meantime: the next request looks at the clock again
    assert 5 < pauses[1] <= 11


def test_a_pause_beyond_the_time_out_is_not_waited_for(pauses: list[float]) -> None:
    with ModelServer(in_turn(completion("a"), Reply(429, {}, {"Retry-After": "9999"}))) as server:
        first, second = draw(server, 2)
    assert (first.text, second.text) == ("a", "")
    assert "429" in str(second.error)
    assert pauses == []


def test_pauses_are_seconds_or_dates() -> None:
    assert retry_after("2.5") == 2.5
    assert retry_after("-3") == 0
    assert retry_after(None) is None
    assert retry_after("soon") is None
    later = retry_after(format_datetime(datetime.now(UTC) + timedelta(seconds=100)))
    assert later is not None
    assert 90 < later <= 100
    assert retry_after(format_datetime(datetime(2020, 1, 1, tzinfo=UTC))) == 0


def test_a_server_that_does_not_answer_in_time() -> None:
    def answer(body: dict[str, Any]) -> Reply:
        return Reply(hang=True) if len(server.bodies) == 2 else completion("a text")

    with ModelServer(answer) as server:
        completions = draw(server, 3, concurrency=1, timeout=3.0, retries=0)
    assert [item.error for item in completions] == [None, "no answer within 3 s", None]


def test_a_time_out_is_tried_again(pauses: list[float]) -> None:
    with ModelServer(in_turn(Reply(hang=True))) as server:
        (found,) = draw(server, timeout=3.0)
    assert found.text == "a text"
    assert len(server.bodies) == 2


@pytest.mark.parametrize("status", [400, 413])
def test_a_request_that_is_wrong_by_itself_is_not_sent_again(status: int) -> None:
    said = {"error": {"message": "maximum context length\nis 2048"}}
    with ModelServer(in_turn(Reply(status, said))) as server:
        first, second = draw(server, 2)
    assert first.error == f"the server answers {status}: maximum context length is 2048"
    assert second.text == "a text"
    assert len(server.bodies) == 2


@pytest.mark.parametrize("status", [401, 403, 422])
def test_what_is_wrong_with_every_request_is_told_at_once(status: int) -> None:
    with (
        ModelServer(lambda body: Reply(status, {"detail": "not like this"})) as server,
        pytest.raises(GenerationError, match=rf"takes no such request.*{status}: not like this"),
    ):
        draw(server, 50)
    assert len(server.bodies) == 1


def test_no_server_at_all_is_one_line() -> None:
    server = ModelServer()
    server.__enter__()
    model = generator(server)
    server.stop()
    for _ in range(2):
        with pytest.raises(GenerationError, match="cannot be used: no connection") as error:
            model.generate([GenerationRequest(PROMPT)], ONE_DRAW)
        assert "\n" not in str(error.value)


def test_a_server_that_comes_up_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    with ModelServer() as server:
        server.models_reply = Reply(503, {"error": "loading"})

        def sleep(seconds: float) -> None:
            slept.append(seconds)
            if len(slept) == 3:
                server.models_reply = None

        clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
        monkeypatch.setattr("crystalicl_jobflow.generation.http_engine.server.time", clock)
        assert generator(server, wait=60.0).info.base_model == "crystals"
        server.models_reply = Reply(503, {"error": "loading"})
        with pytest.raises(GenerationError, match="503: loading"):
            _ = generator(server, wait=0.0).info
    assert len(slept) == 3


def test_a_server_that_dies_on_the_way_costs_what_is_missing(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first requests are tried to the end, the others once: dead servers cost no hours."""
    sent: list[str] = []
    original = ServerClient._send

    def send(self: ServerClient, method: str, *rest: Any) -> Any:
        sent.append(method)
        return original(self, method, *rest)

    def answer(body: dict[str, Any]) -> Reply:
        if len(server.bodies) > 6:
            server.stop()
        return recite(body)

    monkeypatch.setattr(ServerClient, "_send", send)
    with ModelServer(answer) as server:
        completions = draw(server, 40, concurrency=2, retries=3)
    lost = [item for item in completions if item.error is not None]
    assert len(completions) == 40
    assert len(lost) == 40 - 6
    assert sum("(4 attempts)" in str(item.error) for item in lost) <= 2
    assert sent.count("POST") <= 6 + 2 * 4 + 40


def test_an_answer_from_before_the_outage_does_not_end_it(
    pauses: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server answers one request and dies; the answer is read when others were given up."""
    sent: list[str] = []

    def send(self: ServerClient, method: str, url: str, body: dict[str, Any]) -> Any:
        sent.append(body["prompt"])
        if body["prompt"] == "early":
            assert "(4 attempts)" in post("late")
            return {"choices": []}
        if body["prompt"] == "back again":
            return {"choices": []}
        raise RequestError("no connection", is_outage=True)

    def post(prompt: str) -> str:
        try:
            return str(client.post("/completions", {"prompt": prompt}, lambda answer: answer))
        except RequestError as error:
            return str(error)

    monkeypatch.setattr(ServerClient, "_send", send)
    client = ServerClient(
        parse_address("http://host:8000/v1"), ServerOptions(retries=3), concurrency=2
    )
    post("early")
    assert sent == ["early", "late", "late", "late", "late"]
    assert post("later") == "no connection"
    post("back again")
    assert "(4 attempts)" in post("down once more")


def test_an_interrupted_run_waits_for_nobody() -> None:
    """Requests that still hang are left alone: the time-out is longer than this test may take."""

    def interrupt(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    def answer(body: dict[str, Any]) -> Reply:
        return completion("a") if len(server.bodies) < 3 else Reply(hang=True)

    with ModelServer(answer) as server:
        model = generator(server, timeout=10_000.0)
        with pytest.raises(KeyboardInterrupt):
            model.generate([GenerationRequest(PROMPT, 8)], ONE_DRAW, progress=interrupt)


def test_a_judges_failure_is_raised_here() -> None:
    def judge(text: str, request: GenerationRequest) -> FailureReason | None:
        raise ZeroDivisionError

    with ModelServer() as server, pytest.raises(ZeroDivisionError):
        generator(server).generate([GenerationRequest(PROMPT, 8)], ONE_DRAW, accept=judge)


def test_never_more_requests_at_once_than_allowed() -> None:
    barrier = threading.Barrier(3, timeout=20)

    def answer(body: dict[str, Any]) -> Reply:
        if len(server.bodies) > 1:  # the first is sent alone
            barrier.wait()
        return recite(body)

    with ModelServer(answer) as server:
        completions = draw(server, 31, concurrency=3)
    assert len(completions) == 31
    assert all(item.error is None for item in completions)
    assert server.most_under_way == 3


def test_texts_do_not_depend_on_how_many_are_under_way() -> None:
    requests = [GenerationRequest(f"{PROMPT} {i}", 5, key=f"k{i}") for i in range(4)]
    with ModelServer() as server:
        every = [
            generator(server, concurrency).generate(requests, SamplingParams(seed=3))
            for concurrency in (1, 4, 20)
        ]
        alone = generator(server).generate([requests[2]], SamplingParams(seed=3))
        part = generator(server).generate(
            [GenerationRequest(f"{PROMPT} 2", 2, key="k2", first_sample=3)], SamplingParams(seed=3)
        )
        other = generator(server).generate(requests, SamplingParams(seed=4))
    assert every[0] == every[1] == every[2]
    texts = [item.text for item in every[0][2]]
    assert [item.text for item in alone[0]] == texts
    assert [item.text for item in part[0]] == texts[3:]
    assert other != every[0]
    seeds = [body["seed"] for body in server.bodies[:20]]
    assert len(set(seeds)) == 20
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_what_is_written_is_told_as_it_comes_and_failures_are_not() -> None:
    """A launch that goes on later asks for the failed ones again."""
    told: list[tuple[int, int]] = []
    seen: list[tuple[int, int]] = []
    with ModelServer(in_turn(completion("a"), Reply(400, {}))) as server:
        rows = generator(server, 1).generate(
            [GenerationRequest(PROMPT, 2), GenerationRequest("other", 1)],
            ONE_DRAW,
            progress=lambda done, total: seen.append((done, total)),
            on_completion=lambda place, item: told.append((place, item.sample_index)),
        )
    assert [item.error is None for row in rows for item in row] == [True, False, True]
    assert sorted(told) == [(0, 0), (1, 0)]
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]


class RawServer:
    """A server on a port of its own that sends bytes as they are, to every connection."""

    def __init__(self, head: bytes, piece: bytes, pieces: int) -> None:
        self.head, self.piece, self.pieces = head, piece, pieces
        self.sent = self.connections = 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/v1#m"

    def __enter__(self) -> RawServer:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection:
                request = b""
                while not request.endswith(b"{}"):  # the body of `ask`
                    request += connection.recv(65536)
                try:
                    connection.sendall(b"HTTP/1.1 " + self.head + b"\r\n\r\n")
                    for _ in range(self.pieces):
                        connection.sendall(self.piece)
                        self.sent += len(self.piece)
                except OSError:
                    continue


def ask(url: str) -> RequestError:
    client = ServerClient(parse_address(url), ServerOptions(backoff=0.01), concurrency=1)
    with pytest.raises(RequestError) as error:
        client.post("/completions", {}, lambda answer: answer)
    client.close()
    return error.value


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
def test_an_answer_without_end_is_not_read_to_its_end(status: bytes) -> None:
    head = status + b"\r\nContent-Type: application/json"
    with RawServer(head, b" " * 2**20, pieces=200) as server:
        error = ask(server.url)
    assert "longer than 32 MiB" in str(error)
    assert server.connections == 1  # the same request would bring the same answer
    assert server.sent < 64 * 2**20


def test_the_limit_counts_what_is_decompressed() -> None:
    bomb = gzip.compress(b" " * 40 * 2**20)
    head = f"200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {len(bomb)}".encode()
    with RawServer(head, bomb, pieces=1) as server:
        assert "longer than 32 MiB" in str(ask(server.url))


def test_an_answer_nested_without_end_is_not_json() -> None:
    text = b"[" * 200_000
    head = f"200 OK\r\nContent-Length: {len(text)}".encode()
    with RawServer(head, text, pieces=1) as server:
        assert "not JSON" in str(ask(server.url))

"""``crystalicl serve`` starts a page, says where, and ends by Ctrl-C; mistakes get one line."""

from __future__ import annotations

import os
import signal
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from .conftest import Run

TOKEN = "a-token-of-sixteen"


def answer_of(port: int) -> str:
    """Return what the page answers without and with the token, once the model is loaded."""
    address, pause = f"http://127.0.0.1:{port}/", threading.Event()
    for _ in range(6000):
        try:
            urllib.request.urlopen(address, timeout=5)
        except urllib.error.HTTPError as refused:
            asked = urllib.request.Request(address, headers={"authorization": f"Bearer {TOKEN}"})
            with urllib.request.urlopen(asked, timeout=30) as answer:
                page = f"{refused.code} {answer.read().decode()}"
            if "Loading the model" not in page:
                return page
            pause.wait(0.1)
        except OSError:
            pause.wait(0.1)
    return "no answer"


def test_the_page_is_served_until_ctrl_c(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    # a shell that starts tests in the background has them ignore Ctrl-C
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, before))
    monkeypatch.setenv("CRYSTALICL_WEB_TOKEN", TOKEN)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    answers: list[str] = []

    def visit() -> None:
        try:
            answers.append(answer_of(port))
        finally:
            os.kill(os.getpid(), signal.SIGINT)

    visitor = threading.Thread(target=visit)
    visitor.start()
    store = tmp_path / "candidates.sqlite"
    result = run("serve", "--port", port, "--token", "--shots", 0, "--store", store)
    visitor.join()
    assert result.exit_code == 0, result.output
    assert f"Serving at http://127.0.0.1:{port}/?token={TOKEN}" in result.output
    assert "Ended." in result.output
    assert answers[0].startswith("401 <!doctype html>")
    assert "Past runs" in answers[0]
    assert str(tmp_path) not in answers[0]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_mistakes_get_one_line(
    refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "--store" in refused("serve", "--read-only")
    assert "others can reach 0.0.0.0" in refused("serve", "--host", "0.0.0.0", "--no-token")
    lines = tmp_path / "candidates.jsonl"
    assert "--read-only" in refused("serve", "--port", 0, "--store", lines)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in refused("serve", "--port", port)
    assert "cannot listen on no.such.invalid" in refused("serve", "--host", "no.such.invalid")
    monkeypatch.setenv("CRYSTALICL_WEB_TOKEN", "short")
    assert "16 to 200" in refused("serve", "--token")

"""Which addresses only this machine reaches, and what is printed to open."""

from __future__ import annotations

import socket
import threading

import pytest

from crystalicl_jobflow.generation import GenerationError
from crystalicl_jobflow.web import Address, Limits, serve
from crystalicl_jobflow.web.generating import Generating, Loading
from crystalicl_jobflow.web.place import Place
from crystalicl_jobflow.web.work import Work

from .conftest import reciting_answer


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1", "localhost"])
def test_loopback_is_this_machine(host: str) -> None:
    assert Address(host).loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.7", "127.0.0.1.evil.example", ""])
def test_everything_else_is_reached_by_others(host: str) -> None:
    assert not Address(host).loopback


def test_the_address_to_open_has_the_token_and_a_name_that_others_can_call() -> None:
    assert Address().url(81) == "http://127.0.0.1:81/"
    assert Address("::1", token="t").url(81) == "http://[::1]:81/?token=t"
    assert Address("0.0.0.0").url(81) == f"http://{socket.gethostname()}:81/"


def test_a_model_that_cannot_be_loaded_ends_the_server_and_says_why() -> None:
    def load() -> Generating:
        raise GenerationError("no model called nobody")

    answer = Loading(load)
    place = Place(Work(answer, Limits(), prepare=answer.prepare), "nobody")
    with pytest.raises(GenerationError, match="no model called nobody"):
        serve(place, Address(port=0), ready=lambda url: None)


def test_it_ends_while_the_model_is_being_loaded() -> None:
    end, go_on = threading.Event(), threading.Event()

    def load() -> Generating:
        end.set()
        go_on.wait(30)
        return reciting_answer()

    answer = Loading(load)
    work = Work(answer, Limits(), prepare=answer.prepare)
    try:
        assert not serve(Place(work, "slow"), Address(port=0), ready=lambda url: None, end=end)
    finally:
        answer.close()
        go_on.set()
        assert work.close()

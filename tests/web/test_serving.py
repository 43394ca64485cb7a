"""Which addresses only this machine reaches, and what is printed to open."""

from __future__ import annotations

import socket

import pytest

from crystalicl_jobflow.web import Address


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

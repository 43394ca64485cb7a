"""Who is let in, with what, and which headers an answer has."""

from __future__ import annotations

import pytest

from crystalicl_jobflow.web import Limits
from crystalicl_jobflow.web.guard import COOKIE, Doorkeeping, host_name

from .conftest import HERE, Serving, ask

TOKEN = "a-token-of-sixteen"


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8000", "localhost", "LOCALHOST:9", "[::1]:8000", "10.0.0.7"]
)
def test_addresses_and_localhost_are_this_server(serving: Serving, host: str) -> None:
    assert serving().get("/", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example",
     "user@127.0.0.1", "127.0.0.1:x", "", "127.0.0.1/x", "[::1"],
)  # fmt: skip
def test_another_name_may_be_another_website(serving: Serving, host: str) -> None:
    answer = serving().get("/", headers={"host": host})
    assert answer.status_code == 400
    assert answer.text.count("\n") == 1


def test_a_name_that_is_allowed_is_this_server(serving: Serving) -> None:
    client = serving(doors=Doorkeeping(hosts=frozenset({"node7.cluster"})))
    assert client.get("/", headers={"host": "Node7.cluster.:8000"}).status_code == 200
    assert host_name("Node7.cluster.:8000") == "node7.cluster"


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": "http://127.0.0.1:9999"},
        {"origin": HERE, "sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
@pytest.mark.parametrize("path", ["/runs", "/cif", "/runs/abc/stop"])
def test_another_website_cannot_ask(serving: Serving, headers: dict[str, str], path: str) -> None:
    answer = serving().post(path, json={"formula": "NaCl"}, headers=headers)
    assert answer.status_code == 403
    assert answer.text.count("\n") == 1


@pytest.mark.parametrize(
    "headers", [{}, {"origin": HERE}, {"origin": HERE, "sec-fetch-site": "same-origin"}]
)
def test_the_own_page_and_programs_can(serving: Serving, headers: dict[str, str]) -> None:
    answer = serving().post("/runs", json={"formula": "NaCl"}, headers=headers)
    assert answer.status_code == 201


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_no_other_method_is_answered(serving: Serving, method: str) -> None:
    assert serving().request(method, "/").status_code == 405


def test_without_the_token_nothing_is_told(serving: Serving) -> None:
    client = serving(doors=Doorkeeping(token=TOKEN))
    for path in ("/", "/static/web.js", "/store", "/?token=wrong-token-of-len"):
        answer = client.get(path)
        assert answer.status_code == 401
        assert TOKEN not in answer.text
        assert "set-cookie" not in answer.headers
    assert client.post("/runs", json={"formula": "NaCl"}).status_code == 401


def test_the_address_with_the_token_lets_in_and_loses_it(serving: Serving) -> None:
    client = serving(doors=Doorkeeping(token=TOKEN))
    welcome = client.get(f"/?token={TOKEN}")
    assert welcome.status_code == 303
    assert welcome.headers["location"] == "/"
    assert "HttpOnly" in welcome.headers["set-cookie"]
    assert "SameSite=Strict" in welcome.headers["set-cookie"]
    assert client.get("/", headers={"cookie": f"{COOKIE}={TOKEN}"}).status_code == 200
    again = client.get(f"/?token={TOKEN}", headers={"cookie": f"{COOKIE}={TOKEN}"})
    assert (again.status_code, again.headers["location"]) == (303, "/")
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert client.post("/runs", json={"formula": "NaCl"}, headers=bearer).status_code == 201


def test_a_body_that_is_too_large_is_refused_however_it_comes(serving: Serving) -> None:
    client = serving(limits=Limits(body_bytes=1000))
    assert client.post("/cif", content=b"x" * 1001).status_code == 413
    parts = (b"x" * 100 for _ in range(100))
    assert client.post("/cif", content=parts).status_code == 413
    assert client.post("/cif", content=b"x" * 1000).status_code == 400  # read, and no CIF


def test_every_answer_has_the_headers(serving: Serving) -> None:
    client = serving()
    run = ask(client, formula="NaCl", samples=2)
    refused = client.get("/", headers={"host": "evil.example"})
    lost = client.get("/nowhere", headers={"accept": "text/html"})
    pages = [client.get(path) for path in ("/", f"/runs/{run['id']}", "/static/viewer.js", "/x")]
    for answer in (*pages, refused, lost):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert answer.headers.get_list("cache-control")
    assert pages[0].headers["cache-control"] == "no-store"


def test_only_the_servers_own_files_are_served(serving: Serving) -> None:
    client = serving()
    for name in ("../app.py", "%2e%2e%2fapp.py", "..%2f..%2fpyproject.toml", "app.py", "page.js"):
        assert client.get(f"/static/{name}").status_code == 404

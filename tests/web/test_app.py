"""Ask, wait, see, download, search: the pages and what programs get of them."""

from __future__ import annotations

import io
import json
import re
import zipfile
from typing import Any
from urllib.parse import urlencode

import pytest
from pymatgen.core import Structure

from crystalicl_jobflow.candidates import open_candidate_store
from crystalicl_jobflow.schemas import Candidate
from crystalicl_jobflow.web import Limits
from crystalicl_jobflow.web.database import Database
from reciting import NO_CRYSTAL, ROCK_SALT

from .conftest import HOSTILE, Held, Serving, ask, reciting_answer, wait

HTML = {"accept": "text/html"}
FORM = {"content-type": "application/x-www-form-urlencoded", **HTML}


def test_a_question_is_asked_waited_for_seen_and_taken_along(serving: Serving) -> None:
    client = serving()
    state = ask(client, formula="NaCl", space_group=225, samples=12, seed=3)
    assert state["state"] == "done"
    assert state["asked"] == "NaCl, group 225"
    assert (state["written"], state["of"]) == (12, 12)
    assert "valid, of 12 draws" in state["told"]
    place = f"/runs/{state['id']}"

    page = client.get(place, headers=HTML).text
    assert "NaCl, group 225" in page
    assert 'class="stage"' in page
    assert "Texts that are no crystal" in page

    lines = client.get(f"{place}/candidates.jsonl")
    assert "attachment" in lines.headers["content-disposition"]
    candidates = [Candidate.model_validate_json(line) for line in lines.text.splitlines()]
    assert len(candidates) == 12
    assert {item.provenance.sampling.seed for item in candidates if item.provenance.sampling} == {3}

    cif = client.get(f"{place}/1.cif")
    assert cif.headers["content-type"].startswith("chemical/x-cif")
    assert re.search(r'filename="NaCl_225_[0-9a-f]{8}\.cif"', cif.headers["content-disposition"])
    assert Structure.from_str(cif.text, fmt="cif").composition.reduced_formula == "NaCl"

    archive = zipfile.ZipFile(io.BytesIO(client.get(f"{place}/cifs.zip").content))
    assert {name.split("_")[0] for name in archive.namelist()} == {"NaCl", "CaTiO3"}
    for name in archive.namelist():
        assert Structure.from_str(archive.read(name).decode(), fmt="cif")


def test_the_same_seed_gives_the_same_crystals(serving: Serving) -> None:
    client = serving()
    texts = []
    for seed in (1, 1, 2):
        run = ask(client, formula="NaCl", samples=8, seed=seed)["id"]
        lines = client.get(f"/runs/{run}/candidates.jsonl").text.splitlines()
        texts.append([json.loads(line)["text"] for line in lines])
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]


def test_a_form_leads_to_the_answer(serving: Serving) -> None:
    client = serving()
    body = urlencode({"formula": "NaCl", "space_group": "", "elements": "", "num_sites": "",
                      "samples": "4", "seed": "0"})  # fmt: skip
    asked = client.post("/runs", content=body, headers=FORM)
    assert asked.status_code == 303
    wait(client, asked.headers["location"].rpartition("/")[2])
    page = client.get(asked.headers["location"], headers=HTML).text
    assert "The crystals, best first" in page
    again = re.search(r'href="(/\?formula=NaCl[^"]*)"', page)
    assert again is not None
    form = client.get(again[1].replace("&amp;", "&"), headers=HTML).text
    assert 'name="formula" value="NaCl"' in form
    assert 'name="seed" type="number" min="0" max="2147483647" value="1"' in form


@pytest.mark.parametrize(
    "formula", ["<script>alert(1)</script>", "'\"><img src=x>", "Xx", "{{7*7}}"]
)
def test_a_formula_that_is_none_is_told_on_the_form_and_escaped(
    serving: Serving, formula: str
) -> None:
    client = serving()
    asked = client.post("/runs", content=urlencode({"formula": formula}), headers=FORM)
    assert asked.status_code == 400
    assert 'role="alert"' in asked.text
    assert "<script>alert" not in asked.text
    assert "<img src=x" not in asked.text
    assert 'value="49"' not in asked.text
    as_json = client.post("/runs", json={"formula": formula})
    assert as_json.status_code == 400
    assert list(as_json.json()) == ["error"]
    plain = client.post("/runs", json={"formula": formula}, headers={"accept": "*/*"})
    assert plain.text.count("\n") == 1


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        (b"[1]", "application/json", "JSON object"),
        (b"{", "application/json", "no JSON"),
        (b"[" * 200_000, "application/json", "nested too deeply"),
        (b"\xff\xfe", "application/json", "UTF-8"),
        (b"formula=NaCl&formula=KCl", "application/x-www-form-urlencoded", "twice"),
        (b"a=1&" * 50, "application/x-www-form-urlencoded", "."),
        (b'{"formula": "NaCl"}', "text/plain", "a question is a form"),
        (b'{"formula": "NaCl"}', "multipart/form-data", "a question is a form"),
    ],
)
def test_what_is_no_question_is_refused(
    serving: Serving, body: bytes, kind: str, words: str
) -> None:
    asked = serving().post("/runs", content=body, headers={"content-type": kind})
    assert asked.status_code == 400
    assert re.search(words, asked.json()["error"])


def test_progress_is_told_and_a_question_can_be_stopped(serving: Serving, held: Held) -> None:
    client = serving(held)
    run = client.post("/runs", json={"formula": "NaCl", "samples": 8}).json()["id"]
    held.begun.wait(10)
    assert client.get(f"/runs/{run}/state").json()["told"] == "0 of 8 texts written"
    page = client.get(f"/runs/{run}", headers=HTML).text
    assert 'role="status"' in page
    assert "<progress" in page
    assert client.get(f"/runs/{run}/candidates.jsonl").status_code == 404
    stopped = client.post(f"/runs/{run}/stop", headers=HTML)
    assert stopped.headers["location"] == f"/runs/{run}"
    held.go_on()
    state = wait(client, run)
    assert state["state"] == "stopped"
    assert "stopped on request, with 1 of 8 texts" in state["told"]
    assert "Stopped." in client.get(f"/runs/{run}", headers=HTML).text


def test_a_full_queue_answers_503_with_one_line(serving: Serving, held: Held) -> None:
    client = serving(held, limits=Limits(waiting=2))
    held_back = [client.post("/runs", json={"formula": "NaCl"}) for _ in range(1)]
    held.begun.wait(10)
    held_back += [client.post("/runs", json={"formula": "KCl"}) for _ in range(2)]
    assert [answer.status_code for answer in held_back] == [201] * 3
    waiting = held_back[2].json()["id"]
    told = client.get(f"/runs/{waiting}/state").json()["told"]
    assert told == "Waiting: 2 questions before this one"
    full = client.post("/runs", json={"formula": "LiCl"}, headers={"accept": "*/*"})
    assert full.status_code == 503
    assert full.text == "2 questions are waiting already: ask again later\n"
    on_page = client.post("/runs", content="formula=LiCl", headers=FORM)
    assert on_page.status_code == 503
    assert 'value="LiCl"' in on_page.text  # nothing typed is lost


def test_a_question_no_crystal_can_meet_gets_the_reason(serving: Serving) -> None:
    def answer(question: Any, progress: Any) -> Any:
        raise ValueError("no <crystal> of CaTiO3 with 7 atoms")

    client = serving(answer)
    state = ask(client, formula="CaTiO3", num_sites=7)
    assert (state["state"], state["told"]) == ("failed", "no <crystal> of CaTiO3 with 7 atoms")
    page = client.get(f"/runs/{state['id']}", headers=HTML).text
    assert "no &lt;crystal&gt;" in page


def test_texts_of_a_hostile_model_are_texts(serving: Serving) -> None:
    client = serving(reciting_answer(HOSTILE, ROCK_SALT))
    run = ask(client, formula="NaCl", samples=8)["id"]
    page = client.get(f"/runs/{run}", headers=HTML).text
    assert "<script>window.broken" not in page
    assert "<img" not in page


def test_no_crystal_at_all_is_said(serving: Serving) -> None:
    client = serving(reciting_answer(NO_CRYSTAL))
    run = ask(client, formula="NaCl", samples=2)["id"]
    page = client.get(f"/runs/{run}", headers=HTML).text
    assert "None of the texts is a crystal" in page
    assert "cifs.zip" not in page
    assert client.get(f"/runs/{run}/1.cif").status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/runs/none", "/runs/none/state", "/runs/none/cifs.zip", "/store", "/store/abc", "/nowhere",
     "/runs", "/runs/../etc/passwd"],
)  # fmt: skip
def test_what_is_not_there_is_one_line(serving: Serving, path: str) -> None:
    answer = serving().get(path, headers={"accept": "*/*"})
    assert answer.status_code in (404, 405)
    assert answer.text.count("\n") == 1


def test_a_cif_is_read_for_the_form(serving: Serving) -> None:
    client = serving()
    run = ask(client, formula="NaCl", samples=12)["id"]
    cif = client.get(f"/runs/{run}/1.cif").content
    read = client.post("/cif", content=cif).json()
    assert (read["formula"], read["space_group"]) == ("NaCl", 225)
    refused = client.post("/cif", content=b"data_<b>x\nloop_\n")
    assert refused.status_code == 400
    assert "\n" not in refused.json()["error"]


# the store


def test_past_runs_are_searched_and_taken_along(serving: Serving, database: Database) -> None:
    client = serving(database=database)
    page = client.get("/store", headers=HTML).text
    assert "1 to 3 of 3 candidates" in page
    assert "<script>window.broken" not in page
    found = client.get("/store?formula=CsCl&valid=yes&sort=density", headers=HTML).text
    assert "1 to 1 of 1 candidate." in found
    assert 'name="formula" value="CsCl"' in found
    assert "<option selected>yes</option>" in found
    lines = client.get("/store/candidates.jsonl?formula=CsCl").text.splitlines()
    (document,) = map(json.loads, lines)
    assert document["formula_pretty"] == "CsCl"
    assert document["run_ids"] == ["before"]
    archive = zipfile.ZipFile(io.BytesIO(client.get("/store/cifs.zip?valid=yes").content))
    assert len(archive.namelist()) == 2
    one = client.get(f"/store/{document['candidate_id']}", headers=HTML).text
    assert "The document" in one
    cif = client.get(f"/store/{document['candidate_id']}.cif")
    assert Structure.from_str(cif.text, fmt="cif").composition.reduced_formula == "CsCl"
    assert client.get("/store/ffff").status_code == 404


def test_what_is_asked_is_kept_in_the_store(serving: Serving, database: Database) -> None:
    client = serving(database=database)
    state = ask(client, formula="NaCl", samples=4)
    assert state["remark"] == ""
    found = client.get(f"/store?run=web-{state['id']}", headers=HTML).text
    assert "of 4 candidates" in found or "of 3 candidates" in found or "of 2 candidates" in found


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("formula=%3Cscript%3Ealert(1)%3C%2Fscript%3E", "formula"),
        ("criteria=%7B%7D", "unknown field"),
        ("%24where=sleep(9)", "unknown field"),
        ("valid=perhaps", "yes or no"),
        ("formula=NaCl&formula=KCl", "twice"),
        ("density=high", "density"),
        ("page=1e9", "page"),
    ],
)
def test_a_filter_that_makes_no_sense_is_one_line(
    serving: Serving, database: Database, query: str, words: str
) -> None:
    client = serving(database=database)
    page = client.get(f"/store?{query}", headers=HTML)
    assert page.status_code == 400
    assert 'role="alert"' in page.text
    assert "<script>alert" not in page.text
    for path in ("/store", "/store/candidates.jsonl", "/store/cifs.zip"):
        answer = client.get(f"{path}?{query}", headers={"accept": "*/*"})
        assert answer.status_code == 400
        assert answer.text.count("\n") == 1
        assert words in answer.text


NAN = float("nan")
HOSTILE_DOCUMENTS: list[dict[str, Any]] = [
    {"candidate_id": HOSTILE, "formula_pretty": HOSTILE, "text": HOSTILE, "valid": True},
    {
        "candidate_id": "b1",
        "formula_pretty": {"$gt": 1},
        "symmetry": {"symbol": HOSTILE, "number": HOSTILE},
    },
    {
        "candidate_id": "b2",
        "symmetry": "none",
        "run_ids": [HOSTILE],
        "condition": {"formula": HOSTILE},
    },
    {"candidate_id": "b3", "structure": {"@module": "os", "@class": "system"}, "valid": True},
    {"candidate_id": "b4", "structure": {"lattice": {"matrix": [[NAN] * 3] * 3}, "sites": []}},
    {
        "candidate_id": "b5",
        "energy_above_hull": HOSTILE,
        "failure_reason": HOSTILE,
        "energy_method": HOSTILE,
    },
    {"candidate_id": "\x1b[31m\u202e", "formula_pretty": "Na\x1b[31mCl\u202e", "condition": 7},
]


def test_a_hostile_record_costs_itself_only(serving: Serving, database: Database) -> None:
    def open_it() -> Any:
        store = open_candidate_store("memory:")
        store.update(HOSTILE_DOCUMENTS)
        return store

    hostile = Database(open_it, "candidates.sqlite", Limits())
    client = serving(database=hostile)
    page = client.get("/store", headers=HTML)
    assert page.status_code == 200
    count = len(HOSTILE_DOCUMENTS)
    assert page.text.count('<article class="card">') == count
    for bad in ("<script>window", "<img src=x", "\x1b", "\u202e", "javascript:"):
        assert bad not in page.text
    assert client.get("/store/candidates.jsonl").status_code == 200
    archive = zipfile.ZipFile(io.BytesIO(client.get("/store/cifs.zip").content))
    assert all("/" not in name and "\\" not in name for name in archive.namelist())
    for document in HOSTILE_DOCUMENTS[1:6]:
        one = client.get(f"/store/{document['candidate_id']}", headers=HTML)
        assert one.status_code == 200
        assert "<script>window" not in one.text
        assert client.get(f"/store/{document['candidate_id']}.cif").status_code == 404
    hostile.close()


def test_pages_of_a_long_result(serving: Serving) -> None:
    limits = Limits(shown=2)

    def open_it() -> Any:
        store = open_candidate_store("memory:")
        store.update([{"candidate_id": f"a{n}", "formula_pretty": "NaCl"} for n in range(5)])
        return store

    database = Database(open_it, "x", limits)
    client = serving(database=database, limits=limits)
    seen = []
    address: str | None = "/store?formula=NaCl"
    while address is not None:
        page = client.get(address, headers=HTML).text
        seen += re.findall(r'href="/store/(a\d)"', page)
        found = re.search(r'rel="next" href="([^"]+)"', page)
        address = None if found is None else found[1].replace("&amp;", "&")
    assert sorted(seen) == [f"a{n}" for n in range(5)]
    assert "No further candidates: there are 5" in client.get("/store?page=9", headers=HTML).text
    database.close()

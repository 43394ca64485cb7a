"""The page in a headless Chromium: ask and see; hostile input; the token; narrow and dark."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Structure

from chromium import beyond_the_edge
from crystalicl_jobflow.web import Address, Limits, serve
from crystalicl_jobflow.web.database import Database
from crystalicl_jobflow.web.place import Place
from crystalicl_jobflow.web.work import Work

from .conftest import HOSTILE, Held, reciting_answer

CARDS = "article.card"


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that serves pages and opens the first of them in the browser."""
    ends: list[tuple[threading.Event, threading.Thread]] = []

    def open_page(
        answer: Any, *, token: str | None = None, database: Any = None, prepare: Any = None
    ) -> Any:
        keep = None if database is None else database.write
        work = Work(answer, Limits(), keep=keep, prepare=prepare)
        place = Place(work, "reciting", database)
        ready: queue.Queue[str] = queue.Queue()
        end = threading.Event()
        thread = threading.Thread(
            target=serve,
            args=(place, Address(port=0, token=token)),
            kwargs={"ready": ready.put, "end": end},
        )
        thread.start()
        ends.append((end, thread))
        browser.get_log("browser")
        browser.get(ready.get(timeout=30))
        return browser

    yield open_page
    browser.get("about:blank")
    for end, thread in ends:
        end.set()
        thread.join(30)
        assert not thread.is_alive()


def fill(page: Any, **fields: str) -> None:
    for name, text in fields.items():
        box = page.find_element("name", name)
        box.clear()
        box.send_keys(text)


def press(page: Any, label: str) -> None:
    page.find_element("xpath", f"//button[normalize-space()='{label}']").click()


def until(page: Any, met: Callable[[Any], Any]) -> Any:
    from selenium.common.exceptions import StaleElementReferenceException
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(page, 120, ignored_exceptions=[StaleElementReferenceException]).until(met)


def told(page: Any) -> str:
    return str(page.find_element("id", "told").text)


def answered(page: Any) -> list[Any]:
    """Wait for an answer, and return its cards."""
    return list(until(page, lambda page: page.find_elements("css selector", CARDS)))


@pytest.mark.parametrize("formula", [HOSTILE, "'\"><svg onload=alert(1)>", "javascript:alert(1)"])
def test_a_hostile_formula_is_a_text(opened: Any, formula: str) -> None:
    page = opened(reciting_answer())
    fill(page, formula=formula)
    press(page, "Generate")
    until(page, lambda page: page.find_element("id", "error").text)
    assert page.find_element("name", "formula").get_property("value") == formula
    assert page.execute_script("return window.broken") is None
    assert page.find_elements("css selector", "main svg, main img") == []


def test_texts_of_a_hostile_model_and_store_run_nothing(opened: Any, database: Database) -> None:
    page = opened(reciting_answer(), database=database)
    fill(page, formula="NaCl", samples="12")
    press(page, "Generate")
    answered(page)
    page.find_element("link text", "Past runs").click()
    assert len(answered(page)) > 3
    assert HOSTILE in page.find_element("tag name", "main").get_property("textContent")
    assert page.execute_script("return window.broken") is None
    assert page.get_log("browser") == []


def test_ask_wait_see_and_take_along(opened: Any, tmp_path: Path) -> None:
    from selenium.webdriver import ActionChains

    answer = Held()
    page = opened(answer)
    fill(page, formula="NaCl", samples="12")
    press(page, "Generate")
    assert answer.begun.wait(30)
    answer.go_on(2)
    until(page, lambda page: "2 of 12 texts written" in told(page))
    bar = page.find_element("id", "bar")
    assert (bar.get_property("value"), bar.get_property("max")) == (2, 12)
    answer.go_on()
    cards = answered(page)  # the page comes by itself
    assert page.find_element("tag name", "h1").text == "NaCl"
    assert "different crystals" in told(page)

    stage = cards[0].find_element("css selector", ".stage")
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    ActionChains(page).move_to_element(stage).perform()
    before = page.execute_script("return window.crystalicl.viewer.getView()")
    ActionChains(page).click_and_hold().move_by_offset(60, 20).release().perform()
    assert page.execute_script("return window.crystalicl.viewer.getView()") != before

    page.execute_cdp_cmd(
        "Browser.setDownloadBehavior", {"behavior": "allow", "downloadPath": str(tmp_path)}
    )
    cards[0].find_element("link text", "CIF file").click()
    until(page, lambda page: list(tmp_path.glob("*.cif")))
    (file,) = tmp_path.glob("*.cif")
    assert Structure.from_file(file).composition.reduced_formula in ("NaCl", "CaTiO3")
    assert page.get_log("browser") == []


def test_a_question_is_stopped(opened: Any) -> None:
    answer = Held()
    page = opened(answer)
    fill(page, formula="NaCl")
    press(page, "Generate")
    assert answer.begun.wait(30)
    until(page, lambda page: "0 of 8 texts written" in told(page))
    press(page, "Stop")
    until(page, lambda page: "Stopping after the text" in told(page))  # the server knows
    answer.go_on()
    until(page, lambda page: "stopped on request" in told(page))
    assert page.find_elements("css selector", CARDS) == []
    page.refresh()
    page.find_element("link text", "Ask again").click()
    assert page.find_element("name", "formula").get_property("value") == "NaCl"


def test_the_page_is_there_while_the_model_is_loaded(opened: Any) -> None:
    loaded = threading.Event()
    page = opened(reciting_answer(), prepare=lambda: loaded.wait(120))
    try:
        assert "Loading the model" in page.find_element("id", "loading").text
        fill(page, formula="NaCl")
        press(page, "Generate")
        until(page, lambda page: told(page) == "Loading the model")
        page.find_element("link text", "Ask").click()
        line = page.find_element("id", "loading")
        assert line.text.startswith("Loading the model")
    finally:
        loaded.set()
    until(page, lambda page: line.text == "The model is loaded.")
    page.find_element("css selector", ".runs a").click()
    assert answered(page)
    page.find_element("link text", "Ask").click()
    assert page.find_elements("id", "loading") == []


def test_a_cif_file_fills_the_form_and_a_large_one_is_told(opened: Any, tmp_path: Path) -> None:
    page = opened(reciting_answer())
    salt = tmp_path / "salt.cif"
    Structure.from_spacegroup("Fm-3m", [[5.7, 0, 0], [0, 5.7, 0], [0, 0, 5.7]], ["Na", "Cl"],
                              [[0, 0, 0], [0.5, 0.5, 0.5]]).to(str(salt))  # fmt: skip
    (tmp_path / "large.cif").write_text("#" * 300_000)
    chosen = page.find_element("id", "cif-file")
    line = page.find_element("id", "cif-told")
    chosen.send_keys(str(tmp_path / "large.cif"))
    until(page, lambda page: "large.cif has 300000 bytes, more than 200000" in line.text)
    chosen.send_keys(str(salt))
    until(page, lambda page: "salt.cif: NaCl, group Fm-3m (225)" in line.text)
    assert page.find_element("name", "formula").get_property("value") == "NaCl"
    assert page.find_element("name", "space_group").get_property("value") == "225"


def test_the_token_leaves_the_address(opened: Any) -> None:
    page = opened(reciting_answer(), token="a-token-of-sixteen")
    assert "token" not in page.current_url
    assert page.find_element("tag name", "h1").text == "Ask for crystals"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window_and_dark_is_dark(
    opened: Any, database: Database, width: int, scheme: str
) -> None:
    page = opened(reciting_answer(), database=database)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        for step in (lambda: None, page.find_element("link text", "Past runs").click):
            step()
            assert beyond_the_edge(page, width=width) == []
            paper = page.find_element("tag name", "body").value_of_css_property("background-color")
            dark = int(paper.split("(")[1].split(",")[0]) < 60
            assert dark == (scheme == "dark")
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

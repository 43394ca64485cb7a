"""The page in a headless Chromium: ask and see; hostile input; the token; narrow and dark."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from crystalicl_jobflow.web import Address, Limits, serve
from crystalicl_jobflow.web.app import Place
from crystalicl_jobflow.web.database import Database
from crystalicl_jobflow.web.work import Work

from .conftest import HOSTILE, reciting_answer

CARDS = "article.card"


@pytest.fixture
def opened(browser: Any) -> Iterator[Callable[..., Any]]:
    """Return a function that serves pages and opens the first of them in the browser."""
    ends: list[tuple[threading.Event, threading.Thread]] = []

    def open_page(answer: Any, *, token: str | None = None, database: Any = None) -> Any:
        work = Work(answer, Limits(), keep=None if database is None else database.write)
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

    return WebDriverWait(page, 30, ignored_exceptions=[StaleElementReferenceException]).until(met)


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
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        for step in (lambda: None, page.find_element("link text", "Past runs").click):
            step()
            assert page.execute_script("return document.documentElement.scrollWidth") <= width
            paper = page.find_element("tag name", "body").value_of_css_property("background-color")
            dark = int(paper.split("(")[1].split(",")[0]) < 60
            assert dark == (scheme == "dark")
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})

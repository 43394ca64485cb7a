"""The page in a headless Chromium: drawn, turned, silent, and without a request."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from chromium import beyond_the_edge


@pytest.fixture
def page(browser: Any, page_file: Path) -> Any:
    """Return the browser with the run's page open, logs emptied."""
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(page_file.as_uri())
    return browser


def stages(page: Any) -> list[Any]:
    return list(page.find_elements("css selector", ".stage"))


def drawn(page: Any) -> np.ndarray:
    """Return what the viewer shows, red, green, blue and opacity, shape (height, width, 4)."""
    address = page.execute_script("return window.crystalicl.viewer.pngURI()")
    content = base64.b64decode(address.partition("base64,")[2])
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGBA")).astype(int)


def drag(page: Any, stage: Any, right: int, down: int) -> None:
    from selenium.webdriver import ActionChains

    actions = ActionChains(page).move_to_element(stage).click_and_hold()
    actions.move_by_offset(right, down).release().perform()


def point_at(page: Any, stage: Any) -> None:
    from selenium.webdriver import ActionChains

    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", stage)
    ActionChains(page).move_to_element(stage).perform()


def test_no_error_and_no_request(page: Any) -> None:
    for stage in stages(page):
        point_at(page, stage)
    assert page.get_log("browser") == []
    events = [json.loads(entry["message"])["message"] for entry in page.get_log("performance")]
    asked = [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
        and event["params"].get("documentURL", "").startswith("file:")
    ]
    assert asked[0].startswith("file:")
    assert all(address.startswith("data:") for address in asked[1:])
    assert page.execute_script("return window.broken") is None


def test_a_request_would_be_refused(page: Any) -> None:
    refused = page.execute_async_script(
        "const done = arguments[0];"
        "fetch('http://127.0.0.1:9/').then(() => done(false), () => {});"
        "document.addEventListener('securitypolicyviolation', (e) => done(e.violatedDirective));"
    )
    assert refused in ("connect-src", "default-src")


def test_the_numbers_are_those_of_the_file(page: Any, evaluated: Path) -> None:
    metrics = json.loads((evaluated / "metrics.json").read_text())
    for name, rate in metrics["rates"].items():
        row = page.find_element("css selector", f"tr[data-rate='{name}']")
        shown = row.find_element("css selector", ".count").text
        assert shown == f"{rate['count']} of {rate['of']}"
        assert row.find_element("css selector", ".share").text == f"{100 * rate['rate']:.1f} %"


def test_a_crystal_is_drawn_and_turns_under_the_mouse(page: Any) -> None:
    stage = stages(page)[0]
    assert page.execute_script("return document.querySelectorAll('canvas').length") == 0
    point_at(page, stage)
    before = drawn(page)
    covered = (before[..., 3] > 0).mean()
    assert 0.05 < covered < 0.9  # atoms and cell on a background that shows through
    assert len(np.unique(before[..., :3].reshape(-1, 3), axis=0)) > 50
    drag(page, stage, 60, 20)
    after = drawn(page)
    assert (np.abs(after - before).max(axis=-1) > 30).mean() > 0.02


def test_the_picture_has_the_colours_of_the_elements(page: Any) -> None:
    names = [stage.get_attribute("aria-label") for stage in stages(page)]
    place = next(i for i, name in enumerate(names) if name.startswith("NaCl"))
    point_at(page, stages(page)[place])
    red, green, blue, opaque = np.moveaxis(drawn(page), -1, 0)
    assert ((green > 1.6 * np.maximum(red, blue)) & (opaque > 200)).mean() > 0.01  # Cl
    assert ((blue > 1.3 * green) & (red > green) & (opaque > 200)).mean() > 0.01  # Na
    legend = stages(page)[place].find_element("xpath", "following-sibling::ul")
    assert legend.text.split() == ["Cl", "Na"]


def test_one_viewer_serves_all_crystals_and_each_stays_as_it_was_left(page: Any) -> None:
    first, second = stages(page)[:2]
    point_at(page, first)
    drag(page, first, 50, 0)
    left = page.execute_script("return window.crystalicl.viewer.getView()")
    point_at(page, second)
    assert page.execute_script("return document.querySelectorAll('canvas').length") == 1
    assert page.execute_script("return window.crystalicl.current()") == 1
    picture = first.find_element("css selector", "img")
    assert picture.get_attribute("src").startswith("data:image/png")
    assert page.execute_script("return arguments[0].naturalWidth", picture) > 100
    point_at(page, first)
    again = page.execute_script("return window.crystalicl.viewer.getView()")
    assert again == pytest.approx(left)


def test_keys_turn_zoom_and_reset(page: Any) -> None:
    from selenium.webdriver import Keys

    stage = stages(page)[0]
    page.execute_script("arguments[0].focus()", stage)
    start = page.execute_script("return window.crystalicl.viewer.getView()")
    stage.send_keys(Keys.ARROW_LEFT)
    turned = page.execute_script("return window.crystalicl.viewer.getView()")
    assert turned[4:] != pytest.approx(start[4:])
    stage.send_keys("+")
    nearer = page.execute_script("return window.crystalicl.viewer.getView()")
    assert nearer[3] != pytest.approx(turned[3])
    stage.send_keys("0")
    assert page.execute_script("return window.crystalicl.viewer.getView()") == pytest.approx(start)


def test_bonds_can_be_left_out(page: Any) -> None:
    place = next(i for i, s in enumerate(stages(page)) if "NaCl" in s.get_attribute("aria-label"))
    point_at(page, stages(page)[place])
    with_bonds = (drawn(page)[..., 3] > 0).mean()
    page.execute_script("document.getElementById('bonds').click()")
    assert (drawn(page)[..., 3] > 0).mean() < with_bonds - 0.01
    still = page.find_element("css selector", ".still .bond")
    assert still.value_of_css_property("display") == "none"


def test_the_list_is_searched_and_sorted(page: Any) -> None:
    box = page.find_element("id", "filter")
    box.send_keys("tio2")
    assert page.find_element("id", "shown").text == "2 of 7"
    box.clear()
    box.send_keys("x")
    box.send_keys("\b")
    heads = page.find_elements("css selector", "#list thead th")
    place = next(i for i, head in enumerate(heads) if head.text.startswith("Density"))
    button = heads[place].find_element("tag name", "button")
    for order in ("ascending", "descending"):
        button.send_keys("\n")
        assert heads[place].get_attribute("aria-sort") == order
        cells = [row.find_elements("tag name", "td")[place].text
                 for row in page.find_elements("css selector", "#list tbody tr")]  # fmt: skip
        numbers = [float(text) for text in cells if text]
        assert numbers == sorted(numbers, reverse=order == "descending")
        assert cells[len(numbers) :] == [""] * (7 - len(numbers))  # unknown ones come last


@pytest.mark.parametrize("width", [360, 768, 1280])
@pytest.mark.parametrize("opened", [False, True])
def test_nothing_crosses_the_edge_of_the_window(page: Any, width: int, opened: bool) -> None:
    if opened:
        page.execute_script(
            "document.querySelectorAll('details').forEach((e) => { e.open = true; })"
        )
    assert beyond_the_edge(page, width=width) == []


def test_what_crosses_the_edge_is_found(page: Any) -> None:
    page.execute_script("document.querySelector('h1').style.marginLeft = '-40px'")
    assert any(item.startswith("H1") for item in beyond_the_edge(page, width=360))


@pytest.mark.parametrize("width", [360, 1280])
def test_the_crystals_come_before_the_rates(page: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        names = [".answer", "article.card", ".tiles", "#rates"]
        tops = [
            page.execute_script(
                "return document.querySelector(arguments[0]).getBoundingClientRect().top", name
            )
            for name in names
        ]
        assert tops == sorted(tops)
        assert tops[1] < 800  # the first is seen without scrolling
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_dark_mode_is_dark(page: Any) -> None:
    def ink_and_paper() -> list[float]:
        body = page.find_element("tag name", "body")
        texts = (body.value_of_css_property(name) for name in ("color", "background-color"))
        return [np.mean([float(part) for part in text.split("(")[1][:-1].split(",")[:3]])
                for text in texts]  # fmt: skip

    def prefer(scheme: str) -> None:
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    prefer("light")
    ink, paper = ink_and_paper()
    assert ink < 60
    assert paper > 200
    prefer("dark")
    ink, paper = ink_and_paper()
    assert paper < 60
    assert ink > 200
    prefer("light")


def test_without_scripts_all_numbers_and_pictures_are_there(browser: Any, page_file: Path) -> None:
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(page_file.as_uri())
        assert "5 of 7" in browser.find_element("id", "rates").text
        still = browser.find_elements("css selector", ".stage .still")
        assert len(still) == 4
        assert all(item.is_displayed() for item in still)
        assert not browser.find_element("id", "filter").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})


def test_prints_with_still_pictures(page: Any) -> None:
    point_at(page, stages(page)[0])
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    try:
        picture = stages(page)[0].find_element("css selector", ".still")
        assert picture.is_displayed()
        assert not page.find_element("tag name", "nav").is_displayed()
        assert not page.find_element("tag name", "canvas").is_displayed()
        paper = 718  # A4 at 96 to the inch, less margins of a centimetre, which the printer leaves
        assert beyond_the_edge(page, width=paper, margin=0) == []
    finally:
        page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


def test_without_webgl_the_still_pictures_remain(page: Any) -> None:
    page.execute_script("HTMLCanvasElement.prototype.getContext = () => null;")
    point_at(page, stages(page)[0])
    assert page.find_element("id", "no-webgl").is_displayed()
    assert stages(page)[0].find_element("css selector", ".still").is_displayed()

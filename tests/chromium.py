"""A headless Chromium for the tests that look at pages, where one is installed."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

CHROMIUM_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
)  # fmt: skip


@contextmanager
def chromium(*, window: tuple[int, int] = (1280, 1000)) -> Iterator[Any]:
    """Yield a headless Chromium with a profile of its own.

    Raises
    ------
    FileNotFoundError
        If the packages chromium and chromium-driver are not installed; one line.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if program is None or driver is None:
        raise FileNotFoundError("no Chromium: install the packages chromium and chromium-driver")
    with tempfile.TemporaryDirectory() as profile:
        options = webdriver.ChromeOptions()
        size = f"--window-size={window[0]},{window[1]}"
        for flag in (*CHROMIUM_FLAGS, size, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        options.binary_location = program
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        running = webdriver.Chrome(options=options, service=Service(driver))
        try:
            yield running
        finally:
            running.quit()


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Yield a headless Chromium, or skip where none is installed."""
    pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("no Chromium: install the packages chromium and chromium-driver")
    with chromium() as running:
        yield running


_BEYOND = """
const width = document.documentElement.clientWidth, least = arguments[0], found = [];
const boxed = (element) => {  // what scrolls inside its own box may be wider than the page
  for (let box = element.parentElement; box && box !== document.body; box = box.parentElement)
    if (["auto", "scroll", "hidden"].includes(getComputedStyle(box).overflowX)) return true;
  return false;
};
for (const element of document.querySelectorAll("body *")) {
  const {left, right, width: wide, height} = element.getBoundingClientRect();
  if (!wide || !height || element.matches(".skip, .defs, .defs *") || boxed(element)) continue;
  if (left < 0 || right > width + 0.5) found.push(`${element.tagName} ${element.className}`);
}
const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (texts.nextNode()) {
  const text = texts.currentNode, range = document.createRange();
  if (!text.textContent.trim() || text.parentElement.closest(".skip, svg, script")) continue;
  if (boxed(text)) continue;
  range.selectNodeContents(text);
  for (const {left, right, width: wide} of range.getClientRects())
    if (wide && (left < least || right > width - least)) found.push(text.textContent.trim());
}
if (document.documentElement.scrollWidth > width) found.push("the page scrolls sideways");
return found;
"""


def beyond_the_edge(page: Any, *, width: int, margin: int = 12) -> list[str]:
    """Return the elements of a page that cross the edges of a window, and texts that touch them.

    Parameters
    ----------
    page
        The browser with the page.
    width
        Width of the window, pixels; set for this look alone.
    margin
        Least distance of a text from the edges, pixels.
    """
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    page.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        return list(page.execute_script(_BEYOND, margin))
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})

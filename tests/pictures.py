"""The pictures of the documentation: ``python -m tests.pictures [crystal] [report] [xrd] [web]``.

Without a name all are made again, in ``docs/_static``, by a headless Chromium from what ships
with the package. The path of the data, ``docs/_static/overview.svg``, is written by hand.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from pymatgen.analysis.diffraction.xrd import XRDCalculator
from pymatgen.core import Lattice, Structure
from tests.chromium import chromium

from crystalicl_jobflow import generate
from crystalicl_jobflow.report import build_crystal_view

PLACE = Path(__file__).resolve().parents[1] / "docs" / "_static"
LARGEST = 150_000
"""Bytes of a picture."""


def save(browser: Any, name: str, *, width: int, height: int) -> None:
    """Write what the window shows as a PNG of few colours, so that it is small."""
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    picture = picture.crop((0, 0, width, height)).quantize(128, dither=Image.Dither.NONE)
    path = PLACE / f"{name}.png"
    picture.save(path, optimize=True)
    size = path.stat().st_size
    print(f"{path.name}: {width} x {height}, {size // 1000} kB")
    if size > LARGEST:
        raise SystemExit(f"{path} has {size} bytes, more than {LARGEST}")


def resize(browser: Any, width: int, height: int) -> None:
    """Give the page this many pixels."""
    browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False},
    )


def rutile() -> Structure:
    """Return the rutile of TiO2."""
    sites = [[0, 0, 0], [0.305, 0.305, 0]]
    lattice = Lattice.tetragonal(4.594, 2.959)
    return Structure.from_spacegroup("P4_2/mnm", lattice, ["Ti", "O"], sites)


def crystal(browser: Any, folder: Path) -> None:
    """Draw what `crystals[0].show()` shows in a cell."""
    (best,) = generate("SrTiO3", space_group=221, samples=4).best(1)
    page = folder / "crystal.html"
    page.write_text(build_crystal_view(best.structure, title="SrTiO3, space group 221"), "utf-8")
    resize(browser, 380, 400)
    browser.get(page.as_uri())
    time.sleep(3)  # WebGL in software
    save(browser, "crystal", width=380, height=400)


def report(browser: Any, folder: Path) -> None:
    """Draw the head of a report."""
    page = generate(["Li2MnO3", "SrTiO3"], samples=8).report(folder / "report.html")
    resize(browser, 1000, 800)
    browser.get(page.as_uri())
    time.sleep(4)
    save(browser, "report", width=1000, height=800)


def xrd(browser: Any, folder: Path) -> None:
    """Draw a pattern, here that of rutile as calculated, above those of the crystals."""
    peaks = XRDCalculator().get_pattern(rutile(), two_theta_range=(10, 90))
    angles = np.arange(15, 85, 0.05)
    widths = np.subtract.outer(angles, peaks.x) / 0.15  # (angles, peaks)
    heights = 8 + np.exp(-(widths**2)) @ peaks.y
    pattern = folder / "rutile.xy"
    np.savetxt(pattern, np.column_stack([angles, heights]), "%.3f", header="CuKa")
    asked = [{"formula": "TiO2", "space_group": group} for group in (136, 141, 61)]
    crystals = generate(asked, xrd=pattern, samples=6)
    page = crystals.report(folder / "xrd.html")
    resize(browser, 800, 640)
    browser.get(page.as_uri())
    browser.execute_script("document.getElementById('pattern').scrollIntoView()")
    time.sleep(2)
    save(browser, "xrd", width=800, height=640)


@contextmanager
def serving() -> Iterator[str]:
    """Run ``crystalicl serve`` and yield its address."""
    command = [sys.executable, "-c", "from crystalicl_jobflow.cli import main; main()", "serve"]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield next(line.split()[-1] for line in server.stdout if "http://" in line)
        finally:
            server.terminate()


def web(browser: Any, folder: Path) -> None:
    """Draw an answer of ``crystalicl serve``."""
    from selenium.webdriver.support.ui import WebDriverWait

    with serving() as address:
        resize(browser, 1000, 800)
        browser.get(address)
        browser.find_element("name", "formula").send_keys("Li2MnO3")
        browser.find_element("xpath", "//button[normalize-space()='Generate']").click()
        WebDriverWait(browser, 300).until(
            lambda page: page.find_elements("css selector", "article")
        )
        time.sleep(5)
        save(browser, "web", width=1000, height=800)
        browser.get("about:blank")


PICTURES: dict[str, Callable[[Any, Path], None]] = {
    "crystal": crystal,
    "report": report,
    "xrd": xrd,
    "web": web,
}

if __name__ == "__main__":
    with chromium() as running, tempfile.TemporaryDirectory() as work:
        for wanted in sys.argv[1:] or PICTURES:
            PICTURES[wanted](running, Path(work))

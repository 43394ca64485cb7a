"""What pyproject.toml cannot say: the wheel holds the ready-made folders `flows/` and `stores/`."""

from __future__ import annotations

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

READY_MADE = ("flows", "stores")


class BuildWithReadyMade(build_py):
    """Copies the ready-made folders into the package; `crystalicl init` finds them there."""

    def run(self) -> None:
        """Build the package, then copy; an editable installation reads the clone's folders."""
        super().run()
        if self.editable_mode:
            return
        here = Path(__file__).resolve().parent
        for name in READY_MADE:
            target = Path(self.build_lib) / "crystalicl_jobflow" / "ready_made" / name
            shutil.rmtree(target, ignore_errors=True)
            shutil.copytree(here / name, target, ignore=shutil.ignore_patterns("__pycache__"))


setup(cmdclass={"build_py": BuildWithReadyMade})

"""The front door for people: ask in one line, look at the answer, go on with it."""

from __future__ import annotations

from crystalicl_jobflow.notebook.asking import generate
from crystalicl_jobflow.notebook.changing import edit
from crystalicl_jobflow.notebook.crystal import GeneratedCrystal
from crystalicl_jobflow.notebook.crystals import Crystals

__all__ = ["Crystals", "GeneratedCrystal", "edit", "generate"]

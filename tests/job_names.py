"""Names of jobs without what is asked for, which stands behind the step."""

from __future__ import annotations

import re

_STEPS = ("retrieve", "generate", "validate", "evaluate", "select", "edit")


def step(name: str) -> str:
    """Return 'generate 1/2' of 'generate CaTiO3 221 ×2 1/2'; other names stay."""
    first, _, rest = name.partition(" ")
    if first not in _STEPS or rest == "dft":
        return name
    part = re.search(r" \d+/\d+$", name)
    return first + (part.group() if part else "")

"""The prompts; nothing else in the package writes one.

Templates are those of the CrystalICL paper, byte for byte as its appendix G shows them:
lines are joined by single newlines, every line of a crystal begins with ``### ``, and a
prompt ends with ``### Response:``.
"""

from __future__ import annotations

from crystalicl_jobflow.prompts.templates import (
    MAX_SHOTS,
    RESPONSE,
    TASKS,
    condition_sentences,
    crystal_prompt,
    demonstration_sentences,
    prefix_lines,
    property_prompt,
    response_text,
)

__all__ = [
    "MAX_SHOTS",
    "RESPONSE",
    "TASKS",
    "condition_sentences",
    "crystal_prompt",
    "demonstration_sentences",
    "prefix_lines",
    "property_prompt",
    "response_text",
]

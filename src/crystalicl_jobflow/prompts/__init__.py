"""The prompts; all prompts of the package are written here.

The template 'crystalicl' is the CrystalICL paper's, byte for byte as its appendix G shows it:
lines are joined by single newlines, every line of a crystal begins with ``###``, and a
prompt ends with ``### Response:``. The template 'alpaca' is CrysText's.
"""

from __future__ import annotations

from crystalicl_jobflow.prompts.sentences import (
    TEMPLATES,
    check_template,
    condition_sentences,
    demonstration_sentences,
)
from crystalicl_jobflow.prompts.templates import (
    MAX_SHOTS,
    RESPONSE,
    TASKS,
    crystal_prompt,
    prefix_lines,
    property_prompt,
    property_response,
    response_text,
    shown_text,
)

__all__ = [
    "MAX_SHOTS",
    "RESPONSE",
    "TASKS",
    "TEMPLATES",
    "check_template",
    "condition_sentences",
    "crystal_prompt",
    "demonstration_sentences",
    "prefix_lines",
    "property_prompt",
    "property_response",
    "response_text",
    "shown_text",
]

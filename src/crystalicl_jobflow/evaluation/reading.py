"""Reading what a model wrote, naming where it came from, and reading what became of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pymatgen.core import Structure

from crystalicl_jobflow.evaluation.thresholds import SYMPREC, check_tolerances
from crystalicl_jobflow.schemas import Candidate, Completion, FailureReason, Generation, Provenance
from crystalicl_jobflow.versions import installed_versions


def read_text(
    text: str, text_format: str, *, finished: bool = True
) -> tuple[Structure | None, int | None, tuple[FailureReason, str] | None]:
    """Read a model's text.

    Parameters
    ----------
    text
        What the model wrote.
    text_format
        Name of the format, e.g. ``sgs``.
    finished
        Whether the model ended the text by itself. An unreadable text that it did not end
        was cut off, whatever the reader stumbled over.

    Returns
    -------
    structure, declared_space_group, failure
        No structure exactly when there is a failure. The declared group is None for
        formats that declare none.
    """
    from crystalicl_jobflow.text import TextError, get_text

    codec: Any = get_text(text_format)
    declared: int | None = None
    try:
        if hasattr(codec, "parse"):  # texts that declare a group: known even if building fails
            crystal = codec.parse(text)
            declared = crystal.space_group_number
            structure = codec.build(crystal)
        else:
            structure = codec.decode(text)
    except TextError as error:
        reason, message = error.reason, str(error)
        if not finished and reason is not FailureReason.EMPTY:
            return None, declared, (FailureReason.TRUNCATED, f"The text was cut off ({message}).")
        return None, declared, (reason, message)
    except Exception as error:
        # A reader that fails in an unforeseen way must not take the whole batch with it.
        message = f"the text cannot be read: {type(error).__name__}: {error}".splitlines()[0]
        return None, declared, (FailureReason.AMBIGUOUS, message)
    return structure, declared, None


def declares_space_group(text_format: str) -> bool:
    """Tell whether texts of a format state their space group."""
    from crystalicl_jobflow.text import get_text

    return hasattr(get_text(text_format), "parse")


def read_candidates(
    path: Path, *, parse: Callable[[str], Candidate] = Candidate.model_validate_json
) -> list[Candidate]:
    """Read a file with one candidate document a line.

    Parameters
    ----------
    path
        The file, UTF-8; empty lines do not count.
    parse
        Reads one line, raising ValueError where it is no candidate.

    Raises
    ------
    ValueError
        If a line is no candidate; the message names the line.
    """
    candidates = []
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                candidates.append(parse(line))
            except ValueError as error:
                reason = str(error).splitlines()[0]
                raise ValueError(f"{path}, line {number}: no candidate: {reason}") from None
    return candidates


def candidate_id(completion: Completion, generation: Generation) -> str:
    """Return the key of a draw: the same draw gives the same id, on any machine.

    Hash of condition, prompt, text, format, sampling (the seed above all), request and
    sample index, and model; where the model ran does not count.

    Returns
    -------
    str
        24 hexadecimal digits of a SHA-256 hash.
    """
    key = {
        "condition": generation.condition.model_dump(mode="json"),
        "prompt": generation.prompt,
        "text": completion.text,
        "text_format": generation.text_format,
        "sampling": generation.sampling.model_dump(mode="json"),
        "request_index": completion.request_index,
        "sample_index": completion.sample_index,
        "model": generation.model.model_dump(mode="json", exclude={"device"}),
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:24]


def provenance(
    completion: Completion, generation: Generation, *, symprec: float = SYMPREC
) -> Provenance:
    """Return everything needed to draw a completion again and to repeat its checks."""
    return Provenance(
        prompt=generation.prompt,
        demonstration_ids=list(generation.demonstration_ids),
        strategy=generation.strategy,
        relaxed=list(generation.relaxed),
        request_index=completion.request_index,
        sample_index=completion.sample_index,
        attempts=completion.attempts,
        rejected=dict(completion.rejected),
        constraint=completion.constraint,
        finished=completion.finished,
        num_tokens=completion.num_tokens,
        log_prob=completion.log_prob,
        draws=completion.draws,
        tokens_drawn=completion.tokens_drawn,
        sampling=generation.sampling,
        model=generation.model,
        versions={**generation.versions, **check_versions()},
        tolerances=check_tolerances(symprec),
    )


def check_versions() -> dict[str, str]:
    """Return the versions of the packages that the checks rest on."""
    return installed_versions(("crystalicl-jobflow", "pymatgen", "spglib", "smact"))

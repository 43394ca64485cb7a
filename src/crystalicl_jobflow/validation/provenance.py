"""Where a candidate comes from: its id and its record of origin."""

from __future__ import annotations

import json

from crystalicl_jobflow.schemas import Completion, Generation, Provenance
from crystalicl_jobflow.thresholds import SYMPREC, check_tolerances
from crystalicl_jobflow.utils.hashing import text_hash
from crystalicl_jobflow.utils.versions import installed_versions


def candidate_id(completion: Completion, generation: Generation) -> str:
    """Return the key of a draw: the same draw gives the same id, on any machine.

    Hash of condition, prompt, text, format, sampling (the seed above all), search and edit,
    request and sample index, and model; where the model ran does not count.

    Returns
    -------
    str
        24 hexadecimal digits of a SHA-256 hash.
    """
    key = {
        "condition": generation.condition.model_dump(mode="json"),
        "prompt": _prompt(completion, generation),
        "text": completion.text,
        "text_format": generation.text_format,
        "sampling": generation.sampling.model_dump(mode="json"),
        "request_index": completion.request_index,
        "sample_index": completion.sample_index,
        "model": (completion.model or generation.model).model_dump(mode="json", exclude={"device"}),
    }
    if generation.search is not None:
        key["search"] = generation.search.model_dump(mode="json")
    if generation.edit is not None:
        key["edit"] = generation.edit.model_dump(mode="json")
    return text_hash(json.dumps(key, sort_keys=True))[:24]


def provenance(
    completion: Completion, generation: Generation, *, symprec: float = SYMPREC
) -> Provenance:
    """Return everything needed to draw a completion again and to repeat its checks.

    Parameters
    ----------
    completion
        The text.
    generation
        The condition, prompt and model it was written under.
    symprec
        Symmetry tolerance of the checks in Å.
    """
    drawn = completion.drawn
    shown = generation if drawn is None else drawn
    return Provenance(
        prompt=_prompt(completion, generation),
        demonstration_ids=list(shown.demonstration_ids),
        strategy=shown.strategy,
        relaxed=list(shown.relaxed),
        drawn_space_group=None if drawn is None else drawn.space_group,
        drawn_share=None if drawn is None else drawn.share,
        request_index=completion.request_index,
        sample_index=completion.sample_index,
        attempts=completion.attempts,
        rejected=dict(completion.rejected),
        constraint=completion.constraint,
        finished=completion.finished,
        num_tokens=completion.num_tokens,
        template_id=completion.template_id,
        template_rank=completion.template_rank,
        template_distance=completion.template_distance,
        template_votes=completion.template_votes,
        log_prob=completion.log_prob,
        draws=completion.draws,
        tokens_drawn=completion.tokens_drawn,
        sampling=generation.sampling,
        search=generation.search,
        search_record=completion.search,
        edit=generation.edit,
        model=completion.model or generation.model,
        versions={**generation.versions, **check_versions()},
        tolerances=check_tolerances(symprec),
    )


def _prompt(completion: Completion, generation: Generation) -> str:
    return generation.prompt if completion.drawn is None else completion.drawn.prompt


def check_versions() -> dict[str, str]:
    """Return the versions of the packages that the checks rest on."""
    return installed_versions(("crystalicl-jobflow", "pymatgen", "spglib", "smact"))

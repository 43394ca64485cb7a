"""Samples to be generated, split over jobs and merged again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field

from crystalicl_jobflow.schemas import Completion, Condition, Generation
from crystalicl_jobflow.schemas.editing import Edit
from crystalicl_jobflow.utils.hashing import text_hash
from crystalicl_jobflow.utils.numbers import whole_number


class GenerationTask(BaseModel):
    """Some samples of one retrieval, which can be generated in a separate job."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    index: int = Field(
        ge=0, description="Place of the retrieval among all; becomes Completion.request_index."
    )
    key: str = Field(description="Name of the retrieval's random streams.")
    first_sample: int = Field(0, ge=0, description="Number of the first sample among all of its.")
    num_samples: int = Field(1, ge=1, description="Samples in this task.")


def request_keys(
    conditions: Sequence[Condition], edits: Sequence[Edit | None] | None = None
) -> list[str]:
    """Name the random streams of each condition.

    The name depends on the condition and on how often it occurred before, so a condition gives
    the same texts whatever other conditions are in the run.

    Parameters
    ----------
    conditions
        Conditions, in the order of the run.
    edits
        For each condition, the edit that its texts are of.

    Returns
    -------
    list of str
        A distinct name per condition.
    """
    seen: Counter[str] = Counter()
    keys = []
    for condition, edit in zip(conditions, edits or [None] * len(conditions), strict=True):
        content = condition.model_dump_json(exclude_defaults=True)
        if edit is not None:
            content += edit.model_dump_json(exclude_defaults=True)
        digest = text_hash(content)[:16]
        keys.append(f"{digest}:{seen[digest]}")
        seen[digest] += 1
    return keys


def plan_tasks(
    conditions: Sequence[Condition],
    num_samples: int = 1,
    edits: Sequence[Edit | None] | None = None,
) -> list[GenerationTask]:
    """Return one task per condition, with all of its samples.

    Parameters
    ----------
    conditions
        The conditions.
    num_samples
        Samples of each.
    edits
        For each condition, the edit that its texts are of.

    Raises
    ------
    ValueError
        If the number of samples is no whole number, 1 or more.
    """
    num_samples = whole_number(num_samples, "number of samples")
    return [
        GenerationTask(index=index, key=key, num_samples=num_samples)
        for index, key in enumerate(request_keys(conditions, edits))
    ]


def split_tasks(tasks: Sequence[GenerationTask], shard_size: int) -> list[list[GenerationTask]]:
    """Cut tasks into shards of at most ``shard_size`` samples each.

    The samples of one retrieval may fall into several shards; merged by :func:`merge_generations`
    they equal those of the undivided run.

    Raises
    ------
    ValueError
        If the shard size is no whole number, 1 or more.
    """
    shard_size = whole_number(shard_size, "shard size")
    shards: list[list[GenerationTask]] = [[]]
    room = shard_size
    for task in tasks:
        done = 0
        while done < task.num_samples:
            if room == 0:
                shards.append([])
                room = shard_size
            count = min(room, task.num_samples - done)
            first = task.first_sample + done
            shards[-1].append(task.model_copy(update={"first_sample": first, "num_samples": count}))
            done += count
            room -= count
    return [shard for shard in shards if shard]


def merge_generations(shards: Sequence[Sequence[Generation]]) -> list[Generation]:
    """Merge the generations of several shards, one per retrieval.

    Parameters
    ----------
    shards
        What :func:`generate_for_retrievals` returned for each shard, in any order.

    Returns
    -------
    list of Generation
        In the order of the retrievals, completions in the order of their samples. The
        seconds of the shards are added.
    """
    merged: dict[int, Generation] = {}
    for generation in (item for shard in shards for item in shard):
        if not generation.completions:
            continue
        index = generation.completions[0].request_index
        known = merged.get(index)
        if known is None:
            merged[index] = generation.model_copy(deep=True)
            continue
        known.completions += generation.completions
        if known.seconds is not None and generation.seconds is not None:
            known.seconds += generation.seconds
    for generation in merged.values():
        generation.completions.sort(key=lambda completion: completion.sample_index)
    return [merged[index] for index in sorted(merged)]


def _numbered(completion: Completion, task: GenerationTask, number: int) -> Completion:
    return completion.model_copy(
        update={"request_index": task.index, "sample_index": task.first_sample + number}
    )

"""The most probable of several texts for one sample."""

from __future__ import annotations

from collections.abc import Sequence

from crystalicl_jobflow.generation.base import GenerationError, ProgressCallback
from crystalicl_jobflow.generation.rows import severity
from crystalicl_jobflow.schemas import Completion


def keep_most_probable(completions: Sequence[Completion], best_of: int) -> list[Completion]:
    """Keep one of every ``best_of`` texts: the most probable under the model.

    A text that is as it should be goes before one with a flaw, and a mild flaw before a bad
    one. The total log-probability decides, not the mean over the tokens; of equal ones, the
    first.

    Parameters
    ----------
    completions
        Texts for one prompt, in the order of their samples.
    best_of
        Texts of which one is kept.

    Returns
    -------
    list of Completion
        Each with the draws and tokens of all texts that it was chosen from.

    Raises
    ------
    GenerationError
        If the engine does not tell probabilities; one line.
    """
    if best_of == 1:
        return list(completions)
    if any(item.log_prob is None and item.error is None for item in completions):
        raise GenerationError(f"best of {best_of}: this engine does not tell log-probabilities")
    kept = []
    for start in range(0, len(completions), best_of):
        group = completions[start : start + best_of]
        best = min(group, key=lambda item: (severity(item.flaw), -(item.log_prob or 0.0)))
        totals = {
            "draws": sum(item.draws or item.attempts for item in group),
            "tokens_drawn": sum(item.tokens_drawn or item.num_tokens for item in group),
        }
        kept.append(best.model_copy(update=totals))
    return kept


def of_samples(progress: ProgressCallback | None, best_of: int) -> ProgressCallback | None:
    """Return a callback that counts samples where the engine counts draws."""
    if progress is None or best_of == 1:
        return progress
    return lambda done, total: progress(done // best_of, total // best_of)

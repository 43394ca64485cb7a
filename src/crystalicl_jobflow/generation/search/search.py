"""Searches for several conditions at once: their texts share batches, their trees nothing."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from crystalicl_jobflow.generation.base import AcceptText, GenerationError, GenerationRequest
from crystalicl_jobflow.generation.first_choice import FirstChoice
from crystalicl_jobflow.generation.resuming import UnfinishedWork, work_content
from crystalicl_jobflow.generation.search.rewards import Verdict
from crystalicl_jobflow.generation.search.rollouts import (
    Beginning,
    Rollout,
    RolloutSession,
    RolloutWriter,
)
from crystalicl_jobflow.generation.search.tree import Start, Tree
from crystalicl_jobflow.generation.tasks import GenerationTask
from crystalicl_jobflow.schemas import Completion, SamplingParams, SearchRecord, TreeSearch
from crystalicl_jobflow.utils.progress import Progress

JudgeTexts = Callable[[Sequence[tuple[int, Completion]]], list[Verdict]]
"""Tells what texts are worth: given the index of each one's request, and the text."""

TREES = 32
"""Most conditions that are searched at once; the next begins when one is done."""


@dataclass(frozen=True)
class Search:
    """A search that is asked for.

    Parameters
    ----------
    settings
        Its numbers.
    judge
        Tells what its texts are worth.
    """

    settings: TreeSearch
    judge: JudgeTexts

    @classmethod
    def checked(
        cls, settings: TreeSearch, judge: JudgeTexts | None, tasks: Sequence[GenerationTask]
    ) -> Search:
        """Return the search of some tasks.

        Parameters
        ----------
        settings
            Its numbers.
        judge
            Tells what its texts are worth.
        tasks
            The conditions; each must ask for all of its texts.

        Raises
        ------
        ValueError
            If there is no judge, or a task asks for a part of the texts; one line.
        """
        if judge is None:
            raise ValueError("a search needs a judge, such as energies.text_verdicts.TextJudge")
        if any(item.first_sample or item.num_samples != settings.simulations for item in tasks):
            raise ValueError("a search cannot be divided: a task holds all texts of a condition")
        return cls(settings, judge)


class TreeSearches:
    """Searches, one for each request.

    Parameters
    ----------
    search
        Numbers of the searches, and what their texts are worth.
    session
        Writes texts that begin as asked.
    work
        Keeps every text with its verdict, so that a killed search goes on where it was; None
        keeps nothing.
    found
        Entries of `work` that an earlier launch has written, by index of the request and number
        of the text.

    Notes
    -----
    What a tree does depends on its own texts only, and each text has its random stream: the
    texts are the same whatever the batch size, and whatever else is searched for.
    """

    def __init__(
        self,
        search: Search,
        session: RolloutSession,
        *,
        work: UnfinishedWork | None = None,
        found: dict[tuple[int, int], Completion] | None = None,
    ) -> None:
        self.settings = search.settings
        self._judge = search.judge
        self._session = session
        self._work = work
        self._known = found or {}
        self._texts: dict[int, dict[int, tuple[Completion, Start]]] = {}

    def run(self, num_requests: int, *, progress: Progress | None = None) -> list[list[Completion]]:
        """Do all searches.

        Parameters
        ----------
        num_requests
            Number of the session's requests.
        progress
            Called with (texts written, texts in all).

        Returns
        -------
        list of list of Completion
            For each request, its texts in the order in which the search asked for them, each with
            its `SearchRecord`.
        """
        total = num_requests * self.settings.simulations
        waiting = deque(range(num_requests))
        trees: dict[int, Tree] = {}
        answers: dict[int, list[Completion]] = {}
        done = 0
        while waiting or trees:
            while waiting and len(trees) < TREES:
                place = waiting.popleft()
                trees[place] = Tree(self.settings, self._session.end_ids)
                self._texts[place] = {}
            done += self._round(trees)
            for place in [place for place, tree in trees.items() if tree.is_done]:
                answers[place] = self._finish(place, trees.pop(place))
                self._session.forget(place)
            if progress is not None:
                progress(done, total)
        return [answers[place] for place in range(num_requests)]

    def _round(self, trees: dict[int, Tree]) -> int:
        """Write the next texts of every tree, and learn from them; return their number."""
        asked = [(place, start) for place, tree in trees.items() for start in tree.select()]
        rollouts = self._write(asked)
        written = [
            (place, start, rollout)
            for (place, start), rollout in zip(asked, rollouts, strict=True)
            if rollout.completion is not None
        ]
        verdicts = self._verdicts(written)
        for (place, start), rollout in zip(asked, rollouts, strict=True):
            if rollout.completion is None:
                trees[place].refuse(start)
        for (place, start, rollout), verdict in zip(written, verdicts, strict=True):
            trees[place].add(start, rollout.written, rollout.choice, verdict)
            assert rollout.completion is not None
            self._texts[place][start.number] = (rollout.completion, start)
        for tree in trees.values():
            tree.learn()
        return len(written)

    def _write(self, asked: Sequence[tuple[int, Start]]) -> list[Rollout]:
        """Write texts, or take those that an earlier launch has written."""
        found = {
            index: _rollout(self._known[place, start.number], self._kept(place, start))
            for index, (place, start) in enumerate(asked)
            if self._kept(place, start)
        }
        missing = [index for index in range(len(asked)) if index not in found]
        fresh = self._session.write(
            [
                Beginning(asked[index][0], asked[index][1].number, asked[index][1].leaf.prefix)
                for index in missing
            ]
        ) if missing else []  # fmt: skip
        found.update(zip(missing, fresh, strict=True))
        return [found[index] for index in range(len(asked))]

    def _verdicts(self, written: Sequence[tuple[int, Start, Rollout]]) -> list[Verdict]:
        """Judge texts, and put what is new on record."""
        known: dict[int, Verdict] = {}
        new: list[tuple[int, Completion]] = []
        places: list[int] = []
        for index, (place, start, rollout) in enumerate(written):
            kept = self._kept(place, start)
            if kept:
                known[index] = Verdict(**kept["verdict"])
            else:
                assert rollout.completion is not None
                new.append((place, rollout.completion))
                places.append(index)
        for index, verdict in zip(places, self._judge(new) if new else [], strict=True):
            known[index] = verdict
            place, start, rollout = written[index]
            if self._work is not None and rollout.completion is not None:
                self._work.record(
                    (place, start.number), rollout.completion, _entry(start, rollout, verdict)
                )
        return [known[index] for index in range(len(written))]

    def _kept(self, place: int, start: Start) -> dict[str, Any]:
        """Return what an earlier launch has written down of a text; empty where it is not there."""
        if self._work is None or (place, start.number) not in self._known:
            return {}
        kept = self._work.more.get((place, start.number), {})
        return kept if tuple(kept.get("begins", ())) == start.leaf.prefix else {}

    def _finish(self, place: int, tree: Tree) -> list[Completion]:
        rewards = tree.rewards()
        texts = self._texts.pop(place)
        found = []
        for number, (completion, start) in sorted(texts.items()):
            verdict = tree.verdicts[number]
            record = SearchRecord(
                reward=round(rewards[number], 4),
                energy_per_atom=None if verdict.energy_model is None else verdict.cost,
                energy_model=verdict.energy_model,
                tokens_given=len(start.leaf.prefix),
            )
            found.append(completion.model_copy(update={"sample_index": number, "search": record}))
        return found


def _entry(start: Start, rollout: Rollout, verdict: Verdict) -> dict[str, Any]:
    """Return what is kept of a text beside itself: all that the tree learned from it."""
    choice = rollout.choice
    return {
        "begins": list(start.leaf.prefix),
        "written": list(rollout.written),
        "choice": choice and [choice.place, list(choice.tokens), list(choice.log_weights)],
        "verdict": asdict(verdict),
    }


def _rollout(completion: Completion, kept: dict[str, Any]) -> Rollout:
    choice = None
    if kept["choice"] is not None:
        place, tokens, weights = kept["choice"]
        choice = FirstChoice(place, tuple(tokens), tuple(weights))
    return Rollout(completion, tuple(kept["written"]), choice)


def search_texts(
    generator: object,
    requests: Sequence[GenerationRequest],
    sampling: SamplingParams,
    search: Search,
    *,
    accept: AcceptText | None = None,
    work: UnfinishedWork | None = None,
    task: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> list[list[Completion]]:
    """Write the texts of every request by a search.

    Parameters
    ----------
    generator
        A generator that tells its tokens, see `RolloutWriter`.
    requests
        Prompts with their constraints.
    sampling
        Temperature, nucleus, limits and seed; each text is drawn once.
    search
        Numbers of the search, and what its texts are worth.
    accept
        Check of each text, for ``Completion.flaw``.
    work, task
        Keeps the texts, see :func:`~crystalicl_jobflow.generation.resuming.draw_missing`.
    progress
        Called with (texts written, texts in all).

    Returns
    -------
    list of list of Completion
        For each request its texts, in the order in which the search asked for them.

    Raises
    ------
    GenerationError
        If the generator does not tell its tokens; one line.
    """
    if not isinstance(generator, RolloutWriter):
        raise GenerationError(
            "a tree search needs one language model that runs here: not a server, substitution"
            " or several models"
        )
    session = generator.rollouts(requests, sampling, width=search.settings.width, accept=accept)
    found: dict[tuple[int, int], Completion] = {}
    if work is not None:
        total = len(requests) * search.settings.simulations
        content = work_content(requests, sampling, generator.info, task=task or {})
        found = work.begin(content, total=total)
    searches = TreeSearches(search, session, work=work, found=found)
    return searches.run(len(requests), progress=progress)

"""One call of the transformers engine: the queue of rows, the slots of a batch, the results.

Each row has its own random stream, waiting rows replace finished ones at once, and a
prompt is computed once for all its samples and attempts.
"""

from __future__ import annotations

import gc
import logging
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from crystalicl_jobflow.generation.base import (
    AcceptText,
    CompletionCallback,
    GenerationError,
    GenerationRequest,
)
from crystalicl_jobflow.generation.first_choice import ChoiceWatch
from crystalicl_jobflow.generation.rows import LOG_PROB_DECIMALS, Row
from crystalicl_jobflow.generation.transformers_engine.draws_ahead import DrawsAhead
from crystalicl_jobflow.generation.transformers_engine.kv_cache import Prefix, SlotCache
from crystalicl_jobflow.generation.transformers_engine.model import CausalModel
from crystalicl_jobflow.generation.transformers_engine.token_sampler import TokenSampler
from crystalicl_jobflow.schemas import Completion, FailureReason, SamplingParams
from crystalicl_jobflow.utils.progress import Progress
from crystalicl_jobflow.utils.torch_runtime import is_out_of_memory

logger = logging.getLogger(__name__)

_SHRINK = 0.75  # slots are given up when fewer than this share of them is in use
_SPREAD = 128  # columns that are added to the longest prompt at first
_GAPS = 1.25  # columns that the model sees over those of its longest row, at most

ROUNDING = {torch.float64: 1e-10, torch.float32: 3e-5}
"""How far rounding may move a probability (relative) between two batches, with a margin.

Measured differences of float32 logits between batches are below 1.5e-5 in fifteen architectures
with scores of some units (``tests/generation/test_architectures.py``). A draw closer than this to
the edge of its token is repeated with the row computed alone. With shorter mantissas the
differences are so large that this would concern most draws, so it is not done.
"""


@dataclass
class BatchRun:
    """One call of ``generate``: the queue, the slots and the results.

    Parameters
    ----------
    model
        Computes the scores.
    batch_size
        Maximum number of rows generated at once; halved where memory runs out.
    max_positions
        Tokens that prompt and text may have together; None for no limit.
    requests, sampling, accept, progress, on_completion
        See :meth:`~crystalicl_jobflow.generation.base.TextGenerator.generate`.
    on_row
        Called with each sample's last draw, with the tokens among which each was drawn if there
        were no draws before.
    watch
        Makes what notes the first choice of a row; None for nothing.
    prefixes
        Prompts that were read in earlier calls; those of this call are added and stay. None
        keeps each prompt only while it is needed.
    """

    model: CausalModel
    requests: Sequence[GenerationRequest]
    sampling: SamplingParams
    batch_size: int = field(kw_only=True)
    max_positions: int | None = field(kw_only=True)
    accept: AcceptText | None = field(kw_only=True)
    progress: Progress | None = field(kw_only=True)
    on_completion: CompletionCallback | None = field(kw_only=True)
    on_row: Callable[[Row], None] | None = field(default=None, kw_only=True)
    watch: Callable[[], ChoiceWatch] | None = field(default=None, kw_only=True)
    prefixes: dict[tuple[int, ...], Prefix] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        tolerance = ROUNDING.get(self.model.dtype, 0.0)
        self.sampler = TokenSampler(self.model, self.sampling, tolerance=tolerance)
        encoded: dict[str, tuple[int, ...]] = {}
        for request in self.requests:
            if request.prompt not in encoded:
                encoded[request.prompt] = self.model.encode(request.prompt)
        prompts = [encoded[request.prompt] for request in self.requests]
        # the longest first: otherwise the last ones would be written with few beside them
        lengths = [
            len(prompt) + getattr(request.constraint, "least_tokens", 0)
            for prompt, request in zip(prompts, self.requests, strict=True)
        ]
        order = sorted(range(len(prompts)), key=lambda i: (-lengths[i], prompts[i], i))
        self.answers: list[dict[int, Completion]] = [{} for _ in self.requests]
        order = [index for index in order if self._has_room(index, prompts[index])]
        # (request, sample): rows are made when they are placed: starting a constraint is expensive
        self.waiting: deque[tuple[int, int] | Row] = deque(
            (index, sample) for index in order for sample in range(self.requests[index].num_samples)
        )
        self.prompts = prompts
        self.unfinished = Counter(self.prompts[item[0]] for item in self.waiting)  # type: ignore[index]
        self.done = sum(len(answers) for answers in self.answers)
        self.total = len(self.waiting) + self.done
        self._tell_lack_of_room()
        self.keeps_prompts = self.prefixes is not None
        self.known: dict[tuple[int, ...], Prefix] = {} if self.prefixes is None else self.prefixes
        self.slots: list[Row | None] = []
        self.ahead = DrawsAhead(0 if self.accept is None else self.sampling.max_redraws)
        self.ended: deque[Row] = deque()
        """Rows that were complete when memory ran out."""
        self.logits: torch.Tensor | None = None
        self.cache: SlotCache | None = None

    def _has_room(self, index: int, prompt: tuple[int, ...]) -> bool:
        """Return whether a text can follow a prompt; otherwise put that on record."""
        if self.max_positions is None or len(prompt) < self.max_positions:
            return True
        fault = f"the prompt has {len(prompt)} tokens, the model {self.max_positions} positions"
        self.answers[index] = {
            sample: Completion(
                request_index=index,
                sample_index=sample,
                text="",
                finished=False,
                num_tokens=0,
                error=f"{fault}: show fewer demonstrations",
                flaw=FailureReason.NOT_GENERATED,
            )
            for sample in range(self.requests[index].num_samples)
        }
        return False

    def _tell_lack_of_room(self) -> None:
        faults = [answers[0].error for answers in self.answers if answers]
        if faults:
            total = len(self.answers)
            logger.warning("no text for %d of %d prompts: %s", len(faults), total, faults[0])

    def finish(self) -> list[list[Completion]]:
        """Run until every sample has its text.

        Raises
        ------
        GenerationError
            If one row alone does not fit into memory.
        """
        if self.progress:
            self.progress(self.done, self.total)
        while self.waiting or self.ended or any(row is not None for row in self.slots):
            try:
                while self.ended:
                    self._close(self.ended[0])
                    self.ended.popleft()
                if self.waiting or self.slots:
                    self._step()
                failed = False
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                failed = True  # outside the handler the traceback no longer keeps tensors
            if failed:
                self._give_way()
        return [
            [answers[sample] for sample in range(request.num_samples)]
            for request, answers in zip(self.requests, self.answers, strict=True)
        ]

    def _step(self) -> None:
        """Let rows take what can be known, close those that end, compute the rest."""
        self._fill()
        assert self.logits is not None
        live = [(slot, row) for slot, row in enumerate(self.slots) if row is not None]
        self.sampler.advance([row for _, row in live], self.logits, [slot for slot, _ in live])
        for slot, row in live:
            if row.is_complete and self.slots[slot] is row:
                if row not in self.ahead:
                    self._close(row)  # first: where memory runs out, the row is still in its slot
                self._empty(slot)
        self._shrink()
        if any(row is not None for row in self.slots):
            self._compute()

    def _fill(self) -> None:
        """Put waiting rows into free slots."""
        if not self.slots:
            self.slots = [None] * min(self.batch_size, len(self.waiting))
        free = [slot for slot, row in enumerate(self.slots) if row is None]
        for slot in free[: len(self.waiting)]:
            self._read_ahead()
            item = self.waiting[0]
            self._place(slot, item if isinstance(item, Row) else self._first_draw(*item))
            self.waiting.popleft()
        if not self.waiting:
            self._fill_ahead()

    def _fill_ahead(self) -> None:
        """Begin what may be needed next in slots that would stay empty."""
        busy = sum(row is not None for row in self.slots)
        rows = self.ahead.begin(self.slots, self.batch_size - busy)
        if not rows:
            return
        missing = busy + len(rows) - len(self.slots)
        if missing > 0:
            assert self.cache is not None
            assert self.logits is not None
            self.cache.add(missing)
            self.slots += [None] * missing
            more = self.logits.new_zeros((missing, self.logits.shape[1]))
            self.logits = torch.cat([self.logits, more])
        free = [slot for slot, row in enumerate(self.slots) if row is None]
        for slot, row in zip(free, rows, strict=False):
            if row.known not in self.known:
                self.known[row.known] = self.model.read([row.known])[0]
            self._place(slot, row)

    def _place(self, slot: int, row: Row) -> None:
        """Put a row whose text so far was read into a slot."""
        prefix = self.known[row.known]
        if self.cache is None:
            width = prefix.num_tokens + min(self.sampling.max_new_tokens, _SPREAD)
            self.cache = SlotCache(len(self.slots), like=prefix, width=width)
        if self.logits is None:
            self.logits = prefix.logits.new_zeros((len(self.slots), prefix.logits.shape[0]))
        self.cache.place(slot, prefix)
        self.logits[slot] = prefix.logits
        self.slots[slot] = row
        if row.weighed:  # computed for this row alone, after memory had run out
            self.known.pop(row.known, None)

    def _empty(self, slot: int) -> None:
        self.slots[slot] = None
        if self.cache is not None:
            self.cache.release(slot)

    def _first_draw(self, index: int, sample: int) -> Row:
        row = Row(
            request=self.requests[index],
            request_index=index,
            sample_index=sample,
            prompt_ids=self.prompts[index],
            sampling=self.sampling,
            vocabulary=self.model.vocabulary,
            max_positions=self.max_positions,
        )
        if self.on_row:
            row.choices = []
        if self.watch:
            row.watch = self.watch()
        return row

    def _context(self, item: tuple[int, int] | Row) -> tuple[int, ...]:
        return item.known if isinstance(item, Row) else self.prompts[item[0]]

    def _read_ahead(self) -> None:
        """Compute the first waiting text, and with it as many others as a batch holds."""
        if self._context(self.waiting[0]) in self.known:
            return
        contexts: dict[tuple[int, ...], None] = {}
        for item in self.waiting:
            context = self._context(item)
            if context not in self.known:
                contexts[context] = None
            if len(contexts) == self.batch_size:
                break
        prefixes = self.model.read(list(contexts))
        self.known.update(zip(contexts, prefixes, strict=True))

    def _compute(self) -> None:
        """Run the model on what the rows have taken."""
        cache = self.cache
        assert cache is not None
        read = [0 if row is None else len(row.prompt_ids) + row.weighed - 1 for row in self.slots]
        unread = [[0] if row is None else row.unread for row in self.slots]
        if cache.span > _GAPS * max(read) + _SPREAD // 8:  # runs of some left gaps in others
            cache.keep(range(len(self.slots)))
        counts = [len(t) for row, t in zip(self.slots, unread, strict=True) if row is not None]
        width = self.model.run_width(counts, len(self.slots))
        device = self.model.device
        if width == 1:
            self.logits = self.model.forward(
                torch.tensor([tokens[0] for tokens in unread], device=device)[:, None],
                position_ids=torch.tensor(read, device=device)[:, None],
                attention_mask=cache.open(),
                cache=cache,
            )
            cache.close()
            return
        lines = list(range(len(unread)))
        columns = [width - 1] * len(unread)
        behind: list[Row] = []
        ids, places = [], []
        for slot, (row, tokens, start) in enumerate(zip(self.slots, unread, read, strict=True)):
            run = tokens[:width]
            padding = width - len(run)
            ids.append([0] * padding + run)
            places.append([start] * padding + list(range(start, start + len(run))))
            if row is not None:
                behind += [row] * (len(run) - 1)
                lines += [slot] * (len(run) - 1)
                columns += range(padding, width - 1)
        logits = self.model.forward(
            torch.tensor(ids, device=device),
            position_ids=torch.tensor(places, device=device),
            attention_mask=cache.open([min(len(tokens), width) for tokens in unread]),
            cache=cache,
            places=(lines, columns),
        )
        cache.close()
        self.logits = logits[: len(unread)]
        self.sampler.weigh(behind, logits, range(len(unread), len(lines)))

    def _shrink(self) -> None:
        """Drop slots for which no row is waiting."""
        live = [slot for slot, row in enumerate(self.slots) if row is not None]
        if self.waiting or len(live) > _SHRINK * len(self.slots):
            return
        if live:
            self._keep(live)
        else:
            self._drop()

    def _keep(self, live: list[int]) -> None:
        assert self.cache is not None
        self.slots = [self.slots[slot] for slot in live]
        self.cache.keep(live)

    def _drop(self) -> None:
        self.slots, self.cache, self.logits = [], None, None

    def _settle(self, row: Row) -> None:
        """Compute a text's probability alone where the batch could change its last digit."""
        steps = row.log_prob * 10**LOG_PROB_DECIMALS
        to_edge = abs(steps % 1 - 0.5) / 10**LOG_PROB_DECIMALS
        if to_edge < self.sampler.tolerance * len(row.written) ** 0.5:
            row.log_prob = self.model.log_prob_alone(row.prompt_ids, row.written)

    def _close(self, row: Row) -> None:
        """Keep a finished text, or go on with another draw."""
        following: Row | None = row
        while following is not None and following.is_complete:  # some were written ahead
            following = self._end(following)

    def _end(self, row: Row) -> Row | None:
        """Keep a finished text, or return the draw that was begun in its place, if any."""
        self._settle(row)
        reason: FailureReason | None = None
        if self.accept is not None:
            if not row.finished:
                reason = FailureReason.TRUNCATED
            else:
                reason = self.accept(row.text, row.request)
                if reason is None and row.gave_up:
                    reason = FailureReason.ATOMS_OVERLAP
        if reason is not None and row.attempt < self.sampling.max_redraws:
            following = self.ahead.after(row, reason)
            if following is None:
                self.waiting.appendleft(row.redraw(reason))
            return following
        needless = self.ahead.drop(row)
        for slot, other in enumerate(self.slots):
            if other in needless:
                self._empty(slot)
        if self.on_row:
            self.on_row(row)
        completion = row.completion(reason)
        self.answers[row.request_index][row.sample_index] = completion
        if self.on_completion:
            self.on_completion(row.request_index, completion)
        self.unfinished[row.prompt_ids] -= 1
        if not self.unfinished[row.prompt_ids] and not self.keeps_prompts:
            self.known.pop(row.prompt_ids, None)
        self.done += 1
        if self.progress:
            self.progress(self.done, self.total)
        return None

    def _give_way(self) -> None:
        """Continue with half as many rows; started rows wait and are computed again."""
        if self.batch_size == 1:
            raise GenerationError("out of memory with one row at a time: the model is too large")
        self.batch_size = max(1, min(self.batch_size, len(self.slots) or 2**30) // 2)
        rows = [row for row in self.slots if row is not None and row not in self.ahead]
        self.ahead.clear()
        self._drop()
        self.waiting.extendleft(row for row in reversed(rows) if not row.is_complete)
        self.ended.extend(row for row in rows if row.is_complete)
        self.known.clear()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

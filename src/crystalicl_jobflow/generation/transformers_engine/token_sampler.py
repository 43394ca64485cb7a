"""The next token of every row: which tokens are allowed, and which one is drawn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from crystalicl_jobflow.generation.copying import CopyPrior
from crystalicl_jobflow.generation.random_streams import Draw, draw
from crystalicl_jobflow.generation.rows import Row
from crystalicl_jobflow.generation.transformers_engine.model import CausalModel
from crystalicl_jobflow.schemas import SamplingParams

_FEW = 128  # rows with more choices are drawn apart from the others


class TokenSampler:
    """Draws one token for each row from the rows' scores and their own random streams.

    Parameters
    ----------
    model
        Computes the scores of one row alone where a draw is too close to call.
    sampling
        Temperature and nucleus.
    tolerance
        Relative rounding error of the probabilities between batches; 0 to ignore it.
    """

    def __init__(self, model: CausalModel, sampling: SamplingParams, *, tolerance: float) -> None:
        self._model = model
        self._sampling = sampling
        self.tolerance = tolerance
        self._barred: torch.Tensor | None = None
        self._prior: CopyPrior | None = None
        if sampling.copy_bias:
            self._prior = CopyPrior(model.vocabulary, sampling.copy_bias)

    def advance(self, rows: Sequence[Row], logits: torch.Tensor, slots: Sequence[int]) -> None:
        """Let every row take its next tokens, or end.

        A row of which all tokens are read takes one token by its scores, and with it all that
        follow without a choice; another one waits until they are.

        Parameters
        ----------
        rows
            Rows being written.
        logits
            Scores of the token after those read, shape (slots, vocabulary).
        slots
            Index of each row in `logits`.
        """
        free: list[int] = []
        bound: list[int] = []
        for place, row in enumerate(rows):
            if row.weighed < row.num_written:
                continue
            self._write_certain(row)
            if not row.done and row.weighed == row.num_written:
                (free if row.state is None else bound).append(place)
        if free:
            self._advance_free([rows[place] for place in free], logits[[slots[p] for p in free]])
        if bound:
            self._advance_bound([rows[place] for place in bound], logits, [slots[p] for p in bound])
            for place in bound:
                self._write_certain(rows[place])
        behind = [place for place, row in enumerate(rows) if row.weighed < row.num_written]
        self.weigh([rows[place] for place in behind], logits, [slots[place] for place in behind])

    @staticmethod
    def weigh(rows: Sequence[Row], logits: torch.Tensor, lines: Sequence[int]) -> None:
        """Add each next token's log-probability under the model: temperature 1, no constraint.

        Parameters
        ----------
        rows
            Rows with tokens that are not weighed; a row may stand there several times.
        logits
            Scores, shape (lines, vocabulary).
        lines
            For each row, the line with the scores of its next token.
        """
        if not rows:
            return
        ids = []
        seen: Counter[int] = Counter()
        for row in rows:
            place = row.weighed + seen[id(row)]
            ids.append(row.tokens[place] if place < len(row.tokens) else row.last)
            seen[id(row)] += 1
        picked = logits if list(lines) == list(range(len(logits))) else logits[list(lines)]
        tokens = torch.tensor(ids, device=logits.device)
        scores = picked.gather(1, tokens[:, None])[:, 0] - torch.logsumexp(picked, dim=1)
        for row, score in zip(rows, scores.tolist(), strict=True):
            row.log_prob += score
            row.weighed += 1

    def _write_certain(self, row: Row) -> None:
        """Append tokens to a row as long as they are given or there is nothing to choose."""
        while not row.done:
            if row.given is not None:
                row.follow()
                continue
            if row.state is None:
                return
            if row.next_ids is None:
                row.next_ids = np.asarray(row.state.allowed(), dtype=np.int64)
            ids = row.next_ids
            if len(ids) != 1:
                return
            if not self._offer(row, int(ids[0]), row.numbers_used, ids):
                row.end(finished=False)

    def _advance_free(self, rows: Sequence[Row], logits: torch.Tensor) -> None:
        """Draw from the whole vocabulary."""
        for line, row in enumerate(rows):
            if row.watch is not None and row.watch.is_open:
                self._watch_free(row, logits[[line]])
        uniforms = np.array([row.stream.uniform(row.numbers_used) for row in rows])
        tokens, doubtful = self._draw_free(logits, uniforms, tolerance=self.tolerance)
        for place in np.flatnonzero(doubtful).tolist():
            alone = self._model.read_alone(rows[place].context)
            tokens[place] = self._draw_free(alone[None], uniforms[[place]], tolerance=0.0)[0][0]
        for row, token in zip(rows, tokens.tolist(), strict=True):
            row.take(token, row.numbers_used + 1)

    def _watch_free(self, row: Row, logits: torch.Tensor) -> None:
        """Let a row note its choices among the whole vocabulary."""
        assert row.watch is not None

        def scores(of: torch.Tensor) -> np.ndarray:
            return np.asarray((of + self._bar(of))[0].double().cpu().numpy())

        row.watch.see(
            len(row.tokens),
            np.arange(logits.shape[1]),
            scores(logits),
            alone=lambda: scores(self._model.read_alone(row.context)[None]),
        )

    def _draw_free(
        self, logits: torch.Tensor, uniforms: np.ndarray, *, tolerance: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the tokens drawn from complete rows of scores, and which are doubtful."""
        sampling = self._sampling
        ids, values, log_mass = self._candidates(logits + self._bar(logits))
        drawn = draw(
            values,
            uniforms,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            log_mass=log_mass,
            tolerance=tolerance,
        )
        return ids[np.arange(len(ids)), drawn.columns], drawn.doubtful

    def _candidates(self, logits: torch.Tensor) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Leave out most tokens that cannot be in the nucleus, without sorting the vocabulary.

        Returns
        -------
        tuple of numpy.ndarray
            Ids in rising order and their scores (-inf: padding), shape (rows, columns);
            logarithm of each row's whole mass.
        """
        sampling = self._sampling
        scaled = logits / sampling.temperature
        top = scaled.max(dim=1, keepdim=True).values
        mass = torch.exp(scaled - top)
        total = mass.sum(dim=1, dtype=torch.float64, keepdim=True)
        # All tokens below (1 - top_p) / V together have less than 1 - top_p, so the nucleus
        # is complete without them. Half of that, as the masses are rounded. Top-k takes the
        # nucleus of a smaller mass: the first k are then needed as well.
        floor = (total * (0.5 * (1.0 - sampling.top_p) / logits.shape[1])).to(mass.dtype)
        if sampling.top_k is not None:
            least = torch.topk(mass, min(sampling.top_k, logits.shape[1]), dim=1).values[:, -1:]
            floor = torch.minimum(floor, least)
        keep = (mass >= floor) & (mass > 0)
        places = keep.nonzero().cpu().numpy()  # in order of rows, then ids
        scores = logits[keep].cpu().numpy()
        counts = np.bincount(places[:, 0], minlength=len(logits))
        column = np.arange(len(places)) - np.repeat(np.cumsum(counts) - counts, counts)
        ids = np.zeros((len(logits), int(counts.max())), dtype=np.int64)
        values = np.full(ids.shape, -np.inf)
        ids[places[:, 0], column] = places[:, 1]
        values[places[:, 0], column] = scores
        log_mass = (top.double() + torch.log(total)).cpu().numpy()[:, 0]
        return ids, values, log_mass

    def _bar(self, logits: torch.Tensor) -> torch.Tensor:
        """Return -inf for tokens that write nothing (padding, unknown, …), 0 for the others."""
        if self._barred is None:
            vocabulary = self._model.vocabulary
            barred = torch.full((logits.shape[1],), -torch.inf, dtype=logits.dtype)
            writing = [index for index, piece in enumerate(vocabulary.pieces) if piece]
            barred[[*writing, *vocabulary.eos_token_ids]] = 0.0
            self._barred = barred.to(logits.device)
        return self._barred

    def _advance_bound(
        self, rows: Sequence[Row], logits: torch.Tensor, slots: Sequence[int]
    ) -> None:
        """Draw from the tokens that each row's constraint allows."""
        # cell lengths have a thousand choices, other fields a hundred or fewer
        kinds: tuple[list[int], list[int]] = ([], [])
        for place, row in enumerate(rows):
            assert row.next_ids is not None
            kinds[len(row.next_ids) > _FEW].append(place)
        for places in kinds:
            if places:
                self._draw_of_each(
                    [rows[place] for place in places], logits, [slots[place] for place in places]
                )

    def _draw_of_each(
        self, rows: Sequence[Row], logits: torch.Tensor, slots: Sequence[int]
    ) -> None:
        """Draw a token for each row; again where its constraint rejects one."""
        choices = [row.next_ids for row in rows if row.next_ids is not None]
        width = max(map(len, choices))
        ids = np.zeros((len(rows), width), dtype=np.int64)
        padding = np.ones((len(rows), width), dtype=bool)
        for line, allowed in enumerate(choices):
            ids[line, : len(allowed)] = allowed
            padding[line, : len(allowed)] = False
        bonus = self._bonus(rows, ids)
        scores = self._gather(logits, slots, ids) + bonus
        scores[padding] = -np.inf
        for line, row in enumerate(rows):
            self._watch_bound(row, choices[line], scores[line], bonus[line])
        used = np.array([row.numbers_used for row in rows])
        exact = np.zeros(len(rows), dtype=bool)
        lines = np.arange(len(rows))
        while len(lines):
            uniforms = np.array([rows[i].stream.uniform(int(used[i])) for i in lines.tolist()])
            drawn = self._draw_bound(scores[lines], uniforms, tolerance=self.tolerance)
            for order in np.flatnonzero(drawn.doubtful & ~exact[lines]).tolist():
                line = int(lines[order])
                alone = self._model.read_alone(rows[line].context)
                fresh = self._gather(alone[None], [0], ids[[line]])[0] + bonus[line]
                # tokens rejected before stay out
                scores[line] = np.where(np.isneginf(scores[line]), -np.inf, fresh)
                exact[line] = True
                again = self._draw_bound(scores[[line]], uniforms[[order]], tolerance=0.0)
                drawn.columns[order] = again.columns[0]
            used[lines] += 1
            refused = []
            for line, column in zip(lines.tolist(), drawn.columns.tolist(), strict=True):
                row = rows[line]
                left = None if row.choices is None else ids[line, ~np.isneginf(scores[line])]
                if not self._offer(row, int(ids[line, column]), int(used[line]), left):
                    scores[line, column] = -np.inf
                    # a rejection may show the constraint that others would be rejected, too
                    still = row.state.allowed() if row.state is not None else ids[line]
                    scores[line, ~np.isin(ids[line], still)] = -np.inf
                    if np.isneginf(scores[line]).all():
                        row.end(finished=False)
                    else:
                        refused.append(line)
            lines = np.array(refused, dtype=int)

    def _watch_bound(
        self, row: Row, choices: np.ndarray, scores: np.ndarray, bonus: np.ndarray
    ) -> None:
        """Let a row note its choices, where it does."""
        if row.watch is None or not row.watch.is_open:
            return
        count = len(choices)

        def alone() -> np.ndarray:
            fresh = self._model.read_alone(row.context)[None]
            return np.asarray(self._gather(fresh, [0], choices[None])[0] + bonus[:count])

        row.watch.see(len(row.tokens), choices, scores[:count], alone=alone)

    def _bonus(self, rows: Sequence[Row], ids: np.ndarray) -> np.ndarray:
        """Return what the choices' scores are raised by, shape of ``ids``."""
        if self._prior is None:
            return np.zeros(ids.shape)
        return np.stack([self._prior.bonus(row, line) for row, line in zip(rows, ids, strict=True)])

    def _offer(self, row: Row, token: int, numbers_used: int, choices: np.ndarray | None) -> bool:
        assert row.state is not None
        if row.state.advance(token):
            if row.choices is not None and choices is not None:
                row.choices.append(choices)
            row.take(token, numbers_used)
            return True
        return False

    def _draw_bound(self, scores: np.ndarray, uniforms: np.ndarray, *, tolerance: float) -> Draw:
        sampling = self._sampling
        return draw(
            scores,
            uniforms,
            temperature=sampling.temperature,
            top_p=sampling.top_p,
            top_k=sampling.top_k,
            tolerance=tolerance,
        )

    @staticmethod
    def _gather(logits: torch.Tensor, slots: Sequence[int], ids: np.ndarray) -> np.ndarray:
        """Return the scores of each row's choices, float64, shape (rows, choices)."""
        lines = np.asarray(slots)[:, None]
        if logits.device.type == "cpu":
            return np.asarray(logits.numpy()[lines, ids], dtype=np.float64)
        picked = logits[
            torch.from_numpy(lines).to(logits.device), torch.from_numpy(ids).to(logits.device)
        ]
        return picked.cpu().numpy().astype(np.float64)

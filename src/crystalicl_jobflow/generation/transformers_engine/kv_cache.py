"""Keys and values of the rows being written, in slots that are refilled in place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import Cache, CacheLayerMixin

if TYPE_CHECKING:
    from collections.abc import Sequence

_ROOM = 64  # columns by which a full cache grows


@dataclass
class Prefix:
    """The model's state after reading a text: computed once, copied to many rows.

    Parameters
    ----------
    keys, values
        One tensor per layer, shape (heads, tokens, head size).
    logits
        Scores of the next token, shape (tokens in the vocabulary,).
    """

    keys: list[torch.Tensor]
    values: list[torch.Tensor]
    logits: torch.Tensor

    @property
    def num_tokens(self) -> int:
        """Length of the text in tokens."""
        return int(self.keys[0].shape[1])


class _SlotLayer(CacheLayerMixin):
    """One layer's buffers; a step writes the same columns of all slots in place."""

    is_sliding = False
    keys: torch.Tensor
    values: torch.Tensor

    def __init__(self, cache: SlotCache, keys: torch.Tensor, values: torch.Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # transformers has no type there
        self._cache = cache
        self.keys = keys  # (slots, heads, columns, head size)
        self.values = values
        self.is_initialized = True

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Do nothing: the buffers exist from the start."""

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *_: Any, **__: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Write the step's columns and return all columns in use up to them."""
        first, column = self._cache.first, self._cache.width
        end = column + key_states.shape[2]
        self.keys[:, :, column:end] = key_states
        self.values[:, :, column:end] = value_states
        return self.keys[:, :, first:end], self.values[:, :, first:end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the number of columns that the step sees, and no offset."""
        return self._cache.span + query_length, 0

    def get_seq_length(self) -> int:
        """Return the number of columns in use."""
        return self._cache.span

    def get_max_length(self) -> int:
        """Return -1: the cache grows as needed."""
        return -1


class SlotCache(Cache):
    """A key-value cache whose rows are replaced one by one.

    All slots share one clock: each step writes the same columns. Keys include their rotary
    positions, so a row's tokens may be in any columns as long as the mask includes them, and a
    new row can replace a finished one, ending at the current column (left padding). Columns
    before the first one that a row uses are not shown to the model.

    Parameters
    ----------
    num_slots
        Rows written at once.
    like
        A prefix from which the number of layers, heads, types and the device are taken.
    width
        Initial number of columns.
    """

    def __init__(self, num_slots: int, *, like: Prefix, width: int) -> None:
        self.width = 0
        self._starts: list[int | None] = [None] * num_slots
        self._opened = 1
        capacity = width + _ROOM
        self._slot_layers = [
            _SlotLayer(self, *(self._buffer(part, num_slots, capacity) for part in pair))
            for pair in zip(like.keys, like.values, strict=True)
        ]
        super().__init__(layers=list(self._slot_layers))
        self.mask = torch.zeros((num_slots, capacity), dtype=torch.bool, device=like.keys[0].device)

    @staticmethod
    def _buffer(part: torch.Tensor, num_slots: int, capacity: int) -> torch.Tensor:
        # zeros, not empty: a masked NaN is still a NaN
        return part.new_zeros((num_slots, part.shape[0], capacity, part.shape[2]))

    @property
    def first(self) -> int:
        """First column that a row uses."""
        return min((start for start in self._starts if start is not None), default=self.width)

    @property
    def span(self) -> int:
        """Number of columns from the first one in use."""
        return self.width - self.first

    def place(self, slot: int, prefix: Prefix) -> None:
        """Put a row that starts with `prefix` into a slot, replacing its contents."""
        length = prefix.num_tokens
        self.release(slot)
        if length > self.width:
            self._move(length - self.width)
        start = self.width - length
        for layer, keys, values in zip(self._slot_layers, prefix.keys, prefix.values, strict=True):
            layer.keys[slot, :, start : self.width] = keys
            layer.values[slot, :, start : self.width] = values
        self.mask[slot, start : self.width] = True
        self._starts[slot] = start

    def release(self, slot: int) -> None:
        """Empty a slot."""
        self.mask[slot] = False
        self._starts[slot] = None

    def add(self, count: int) -> None:
        """Add empty slots behind the others.

        Parameters
        ----------
        count
            Slots added.
        """
        for layer in self._slot_layers:
            layer.keys = torch.nn.functional.pad(layer.keys, (0, 0) * 3 + (0, count))
            layer.values = torch.nn.functional.pad(layer.values, (0, 0) * 3 + (0, count))
        self.mask = torch.nn.functional.pad(self.mask, (0, 0, 0, count))
        self._starts += [None] * count

    def _move(self, columns: int) -> None:
        """Move all rows to the right, or to the left by a negative number of columns.

        Their tokens stay side by side: sliding windows and position biases count columns, a gap
        within a row would change them.
        """
        before = slice(self.first, self.width)
        after = slice(before.start + columns, before.stop + columns)
        self._reserve(after.stop)
        for layer in self._slot_layers:
            layer.keys[:, :, after] = layer.keys[:, :, before].clone()
            layer.values[:, :, after] = layer.values[:, :, before].clone()
        shown = self.mask[:, before].clone()
        self.mask[:] = False
        self.mask[:, after] = shown
        self._starts = [None if start is None else start + columns for start in self._starts]
        self.width += columns

    def open(self, counts: Sequence[int] | None = None) -> torch.Tensor:
        """Make room for a step; return its mask, shape (slots, columns in use with the new ones).

        Parameters
        ----------
        counts
            How many tokens each slot reads; the step has as many columns as the largest, and
            those of the others are the last ones. None for one token each.
        """
        self._opened = 1 if counts is None else max(1, *counts)
        end = self.width + self._opened
        if end > self.mask.shape[1] and self.first >= _ROOM:
            self._move(-self.first)
            end = self.width + self._opened
        self._reserve(end)
        self.mask[:, self.width : end] = True
        if counts is not None and self._opened > 1:
            for slot, count in enumerate(counts):
                if self._starts[slot] is not None:
                    self.mask[slot, self.width : end - count] = False
        return self.mask[:, self.first : end]

    def close(self) -> None:
        """Keep the columns of the step; a failed step is not closed."""
        self.width += self._opened

    def keep(self, slots: Sequence[int]) -> None:
        """Keep these slots only, in this order, and drop all columns that none of them uses.

        Parameters
        ----------
        slots
            Slots that are kept.
        """
        device = self.mask.device
        mask = self.mask[:, : self.width].cpu()
        used = [self._starts[slot] is not None for slot in slots]
        places = [
            mask[slot].nonzero().flatten() if is_used else torch.zeros(0, dtype=torch.long)
            for slot, is_used in zip(slots, used, strict=True)
        ]
        width = max(len(columns) for columns in places)
        gather = torch.zeros((len(slots), width), dtype=torch.long)
        shown = torch.zeros((len(slots), width + _ROOM), dtype=torch.bool)
        for row, columns in enumerate(places):
            gather[row, width - len(columns) :] = columns
            shown[row, width - len(columns) : width] = True
        rows = torch.tensor(list(slots), device=device)[:, None, None]
        columns = gather.to(device)[:, None, :]
        for layer in self._slot_layers:
            heads = torch.arange(layer.keys.shape[1], device=device)[None, :, None]
            for name in ("keys", "values"):
                old = getattr(layer, name)
                new = old.new_zeros((len(slots), old.shape[1], width + _ROOM, old.shape[3]))
                new[:, :, :width] = old[rows, heads, columns]
                setattr(layer, name, new)
        self.mask = shown.to(device)
        self._starts = [
            width - len(columns) if is_used else None
            for columns, is_used in zip(places, used, strict=True)
        ]
        self.width = width

    def _reserve(self, width: int) -> None:
        capacity = int(self.mask.shape[1])
        if width <= capacity:
            return
        extra = width - capacity + _ROOM
        for layer in self._slot_layers:
            layer.keys = torch.nn.functional.pad(layer.keys, (0, 0, 0, extra))
            layer.values = torch.nn.functional.pad(layer.values, (0, 0, 0, extra))
        self.mask = torch.nn.functional.pad(self.mask, (0, extra))

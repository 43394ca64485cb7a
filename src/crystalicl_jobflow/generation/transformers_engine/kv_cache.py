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
    """One layer's buffers; a step writes one column of all slots in place."""

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
        """Write the step's column and return all columns up to it."""
        column = self._cache.width
        self.keys[:, :, column : column + 1] = key_states
        self.values[:, :, column : column + 1] = value_states
        return self.keys[:, :, : column + 1], self.values[:, :, : column + 1]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return the number of columns that the step sees, and no offset."""
        return self._cache.width + query_length, 0

    def get_seq_length(self) -> int:
        """Return the number of columns written."""
        return self._cache.width

    def get_max_length(self) -> int:
        """Return -1: the cache grows as needed."""
        return -1


class SlotCache(Cache):
    """A key-value cache whose rows are replaced one by one.

    All slots share one clock: each step writes the same column. Keys include their rotary
    positions, so a row's tokens may be in any columns as long as the mask includes them, and a
    new row can replace a finished one, ending at the current column (left padding).

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
        self.num_slots = num_slots
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

    def place(self, slot: int, prefix: Prefix) -> None:
        """Put a row that starts with `prefix` into a slot, replacing its contents."""
        length = prefix.num_tokens
        if length > self.width:
            self._move_right(length - self.width)
        start = self.width - length
        for layer, keys, values in zip(self._slot_layers, prefix.keys, prefix.values, strict=True):
            layer.keys[slot, :, start : self.width] = keys
            layer.values[slot, :, start : self.width] = values
        self.mask[slot] = False
        self.mask[slot, start : self.width] = True

    def _move_right(self, columns: int) -> None:
        """Put free columns in front of all rows, whose tokens stay side by side.

        Sliding windows and position biases count columns: a gap within a row would change them.
        """
        self._reserve(self.width + columns)
        before, after = slice(0, self.width), slice(columns, self.width + columns)
        for layer in self._slot_layers:
            layer.keys[:, :, after] = layer.keys[:, :, before].clone()
            layer.values[:, :, after] = layer.values[:, :, before].clone()
        self.mask[:, after] = self.mask[:, before].clone()
        self.mask[:, :columns] = False
        self.width += columns

    def open_column(self) -> torch.Tensor:
        """Make room for a step; return its mask, shape (slots, columns with the new one)."""
        self._reserve(self.width + 1)
        self.mask[:, self.width] = True
        return self.mask[:, : self.width + 1]

    def close_column(self) -> None:
        """Keep the columns of the step; a failed step is not closed."""
        self.width += 1

    def keep(self, slots: Sequence[int], lengths: Sequence[int]) -> None:
        """Keep these slots only, in this order, and drop all columns that none of them uses.

        Parameters
        ----------
        slots
            Slots that are kept.
        lengths
            Number of tokens of each in the cache; 0 for a free slot.
        """
        device = self.mask.device
        width = max(lengths)
        gather = torch.zeros((len(slots), width), dtype=torch.long)
        shown = torch.zeros((len(slots), width + _ROOM), dtype=torch.bool)
        mask = self.mask[:, : self.width].cpu()
        for row, (slot, length) in enumerate(zip(slots, lengths, strict=True)):
            if not length:
                continue
            gather[row, width - length :] = mask[slot].nonzero().flatten()
            shown[row, width - length : width] = True
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
        self.num_slots = len(slots)
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

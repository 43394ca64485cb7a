"""Which of several rejected draws of a sample is kept."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from crystalicl_jobflow.generation import GenerationRequest, TokenVocabulary
from crystalicl_jobflow.generation.rows import Row
from crystalicl_jobflow.schemas import FailureReason, SamplingParams

VOCABULARY = TokenVocabulary(strings=["a", "b", "c", ""], eos_token_ids=(3,))


def first_draw() -> Row:
    return Row(
        request=GenerationRequest(prompt="p", key="k"),
        request_index=0,
        sample_index=0,
        prompt_ids=(0,),
        sampling=SamplingParams(),
        vocabulary=VOCABULARY,
    )


def write(row: Row, token: int, *, room: float = 1.0) -> Row:
    """Write one letter and end; room is what a constraint would have said."""
    row.state = SimpleNamespace(room=room, relaxed=() if room >= 1 else ("distance of Na",))  # type: ignore[assignment]
    row.take(token, 1)
    row.take(3, 2)
    return row


@pytest.mark.parametrize(
    ("reasons", "rooms", "kept"),
    [
        # the mildest reason wins, in whatever order the draws come
        ((FailureReason.ATOMS_OVERLAP, FailureReason.SYMMETRY_DIFFERS), (0.5, 1.0), 0),
        ((FailureReason.SYMMETRY_DIFFERS, FailureReason.ATOMS_OVERLAP), (1.0, 0.5), 1),
        ((FailureReason.ATOMS_OVERLAP, FailureReason.BAD_LATTICE), (0.1, 1.0), 0),
        # among crystals that overlap, the one that overlaps least
        ((FailureReason.ATOMS_OVERLAP,) * 3, (0.4, 0.9, 0.6), 1),
        # where nothing tells them apart, the last
        ((FailureReason.EMPTY, FailureReason.BAD_ELEMENT), (1.0, 1.0), 1),
    ],
)
def test_the_best_of_the_rejected_draws_is_kept(
    reasons: tuple[FailureReason, ...], rooms: tuple[float, ...], kept: int
) -> None:
    row = first_draw()
    for token, (reason, room) in enumerate(zip(reasons, rooms, strict=True)):
        write(row, token, room=room)
        if token < len(reasons) - 1:
            row = row.redraw(reason)
    completion = row.completion(reasons[-1])
    assert completion.text == "abc"[kept]
    assert completion.attempts == len(reasons)
    # each draw is counted once: the kept one by being there, the others by their reason
    assert sum(completion.rejected.values()) == len(reasons) - 1
    others = [str(reason) for i, reason in enumerate(reasons) if i != kept]
    assert completion.rejected == {reason: others.count(reason) for reason in others}


def test_an_accepted_draw_wins_over_all_before_it() -> None:
    row = write(first_draw(), 0).redraw(FailureReason.ATOMS_OVERLAP)
    completion = write(row, 1).completion()
    assert completion.text == "b"
    assert completion.attempts == 2
    assert completion.rejected == {"atoms_overlap": 1}

"""What one page may cost: sizes, numbers and times."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of a server; what goes beyond is refused with one line.

    Parameters
    ----------
    body_bytes, body_seconds
        Most bytes of a request's body, and within which time it has to be there.
    field_characters
        Longest formula, list of elements or other field.
    formula_atoms
        Most atoms in the reduced formula asked for.
    samples
        Most texts per question.
    cif_bytes, cif_sites
        Largest CIF file that is read, and most atoms in its cell.
    waiting
        Questions that wait while another is worked on; a further one is answered with 503.
    seconds
        After which a question is given up.
    query_seconds
        After which a question to the store is given up.
    kept
        Answers kept in memory; the oldest are forgotten.
    shown
        Crystals on one page of the store, and crystals of an answer that turn.
    drawn_atoms
        Most atoms in a cell that is drawn.
    downloaded
        Most candidates of the store in one download.
    connections
        Connections at once.
    """

    body_bytes: int = 256_000
    body_seconds: float = 10.0
    field_characters: int = 200
    formula_atoms: int = 100
    samples: int = 32
    cif_bytes: int = 200_000
    cif_sites: int = 500
    waiting: int = 8
    seconds: float = 600.0
    query_seconds: float = 20.0
    kept: int = 50
    shown: int = 12
    drawn_atoms: int = 2_000
    downloaded: int = 1_000
    connections: int = 64

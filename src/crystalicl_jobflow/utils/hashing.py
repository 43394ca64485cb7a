"""SHA-256 of texts, files and the weights of a model in a folder."""

from __future__ import annotations

import hashlib
import json
from functools import lru_cache
from pathlib import Path

GGUF_SUFFIX = ".gguf"
"""Ending of a file that holds a whole model: weights, configuration and tokenizer."""


def text_hash(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, 64 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()


def folder_hash(folder: str | Path) -> str | None:
    """Return the SHA-256 over names and contents of a folder's safetensors files.

    Parameters
    ----------
    folder
        A folder of model weights, or one GGUF file; the hash is computed once as long as no file
        changes.

    Returns
    -------
    str or None
        ``sha256:`` and 64 hexadecimal digits; None if there are no such files.
    """
    place = Path(folder)
    files = sorted(place.glob("*.safetensors")) if place.is_dir() else []
    if place.suffix.lower() == GGUF_SUFFIX and place.is_file():
        files = [place]
    if not files:
        return None
    return _files_hash(
        tuple((str(file), file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    )


@lru_cache(maxsize=64)
def _files_hash(files: tuple[tuple[str, int, int], ...]) -> str:
    digest = hashlib.sha256()
    for path, _, _ in files:
        with Path(path).open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        digest.update(json.dumps([Path(path).name, content]).encode())
    return f"sha256:{digest.hexdigest()}"


def file_hash(path: str | Path) -> str | None:
    """Return the SHA-256 of a file; None for what is no file (a folder, a store)."""
    file = Path(path)
    if not file.is_file():
        return None
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()

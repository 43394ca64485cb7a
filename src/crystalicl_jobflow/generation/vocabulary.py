"""The exact bytes that each token of a tokenizer appends to a text."""

from __future__ import annotations

import json
import re
from functools import cache
from typing import Any

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def read_pieces(tokenizer: Any) -> list[bytes]:
    """Return the bytes each token id appends within a text.

    Parameters
    ----------
    tokenizer
        A ``transformers`` tokenizer.

    Returns
    -------
    list of bytes
        Shape (tokens,); b'' for special tokens and for ids without a token.
    """
    size = max(len(tokenizer), 1 + max(tokenizer.get_vocab().values(), default=0))
    tokens = [token or "" for token in tokenizer.convert_ids_to_tokens(list(range(size)))]
    special = {int(token) for token in tokenizer.all_special_ids}
    added = {
        int(token): str(entry.content) for token, entry in tokenizer.added_tokens_decoder.items()
    }
    special |= {
        int(token)
        for token, entry in tokenizer.added_tokens_decoder.items()
        if getattr(entry, "special", False)
    }
    kind = _decoder_kind(tokenizer)
    pieces = []
    for index, token in enumerate(tokens):
        byte = _BYTE_TOKEN.fullmatch(token) if kind == "metaspace" else None
        if index in special or not token:
            pieces.append(b"")
        elif byte:
            pieces.append(bytes([int(byte[1], 16)]))
        elif index in added:
            pieces.append(added[index].encode("utf-8"))
        elif kind == "byte_level":
            pieces.append(_byte_level(token))
        elif kind == "metaspace":
            pieces.append(token.replace("▁", " ").encode("utf-8"))
        elif kind == "fuse":
            pieces.append(token.encode("utf-8"))
        elif kind == "spaced":
            pieces.append(b" " + token.encode("utf-8"))
        else:
            pieces.append(_by_difference(tokenizer, index, special))
    return pieces


def _decoder_kind(tokenizer: Any) -> str:
    """Return the way the tokenizer joins its tokens; 'unknown' where it cannot be read."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return "unknown"
    decoder = json.loads(backend.to_str()).get("decoder")
    if decoder is None:
        return "spaced"  # tokenizers joins with single blanks where there is no decoder
    steps = decoder["decoders"] if decoder["type"] == "Sequence" else [decoder]
    names = [step["type"] for step in steps]
    if names == ["ByteLevel"]:
        return "byte_level"
    if names == ["Metaspace"] or set(names) <= {"Replace", "ByteFallback", "Fuse", "Strip"}:
        replaced = [step for step in steps if step["type"] == "Replace"]
        if names == ["Fuse"]:
            return "fuse"
        if names == ["Metaspace"] or all(
            step["pattern"] == {"String": "▁"} and step["content"] == " " for step in replaced
        ):
            return "metaspace"
    return "unknown"


@cache
def _byte_of_character() -> dict[str, int]:
    """Return GPT-2's table from printable characters to bytes (Radford et al. 2019)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    table = {chr(byte): byte for byte in printable}
    for shift, byte in enumerate(byte for byte in range(256) if byte not in set(printable)):
        table[chr(256 + shift)] = byte
    return table


def _byte_level(token: str) -> bytes:
    table = _byte_of_character()
    if all(character in table for character in token):
        return bytes(table[character] for character in token)
    return token.encode("utf-8")


def _by_difference(tokenizer: Any, index: int, special: set[int]) -> bytes:
    """Return what the token adds after another token, from the tokenizer's own decoder."""
    anchor = next(token for token in range(len(tokenizer)) if token not in special)
    options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    before = tokenizer.decode([anchor], **options)
    after = tokenizer.decode([anchor, index], **options)
    # a token that changes the text before it cannot be described; it is left out
    return after[len(before) :].encode("utf-8") if after.startswith(before) else b""

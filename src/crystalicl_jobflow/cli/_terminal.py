"""A terminal gets only characters that it can show."""

from __future__ import annotations

import codecs
import io
import sys
import unicodedata

_IN_ASCII = {
    "Å": "A", "³": "^3", "²": "^2", "°": "deg", "±": "+-", "×": "x", "·": "-", "…": "...",
    "→": "->", "–": "-", "—": "-", "≥": ">=", "≤": "<=", "−": "-", "µ": "u", "σ": "sigma",
    "“": '"', "”": '"', "‘": "'", "’": "'",
}  # fmt: skip

_HANDLER = "crystalicl.shown"
_ENCODING = "crystalicl_ascii"


def show_what_can_be_shown() -> None:
    """Write what stdout and stderr have no character for in ASCII, instead of failing."""
    codecs.register_error(_HANDLER, _in_ascii)
    codecs.register(_find_codec)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            if codecs.lookup(stream.encoding).name == "ascii":
                # by its own name: click writes UTF-8 to what is called ASCII
                stream.reconfigure(encoding=_ENCODING)
            else:
                stream.reconfigure(errors=_HANDLER)


class _Encoder(codecs.IncrementalEncoder):
    """Writes ASCII."""

    def encode(self, text: str, final: bool = False) -> bytes:  # noqa: ARG002 (Python calls it so)
        return text.encode("ascii", _HANDLER)


def _find_codec(name: str) -> codecs.CodecInfo | None:
    if name != _ENCODING:
        return None
    return codecs.CodecInfo(
        encode=lambda text, _errors="strict": (text.encode("ascii", _HANDLER), len(text)),
        decode=codecs.lookup("ascii").decode,
        incrementalencoder=_Encoder,
        name=_ENCODING,
    )


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    words = (_plain(character) for character in error.object[error.start : error.end])
    return "".join(words), error.end


def _plain(character: str) -> str:
    known = _IN_ASCII.get(character)
    if known is not None:
        return known
    plain = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return plain or "?"

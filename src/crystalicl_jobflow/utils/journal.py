"""What a long task has finished, kept on disk line by line, so that a killed one continues."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

from crystalicl_jobflow.utils.hashing import text_hash

logger = logging.getLogger(__name__)

FORMAT_VERSION = 1
"""Raised when the lines of a file change their meaning: older files are then not read."""

PREFIX = "unfinished-"
SUFFIX = ".jsonl"

_ID_DIGITS = 32


def fingerprint(content: Mapping[str, Any]) -> str:
    """Return a hash of everything that decides what a task finds.

    Parameters
    ----------
    content
        Plain data; the order of the keys does not matter.

    Returns
    -------
    str
        32 hexadecimal digits.
    """
    text = json.dumps({"format": FORMAT_VERSION, **content}, sort_keys=True, default=str)
    return text_hash(text)[:_ID_DIGITS]


class Journal:
    """The finished parts of one task, in a file of its own.

    The file is named by a fingerprint of the whole task, so a launch finds what an earlier
    launch of the same task has left and nothing else; files of other tasks are neither read
    nor touched. A line that a kill cut off is left out, wherever it is in the file. Two
    launches of the same task at once do not disturb each other.

    Where the folder cannot be written, the task goes on without: a warning is logged.

    Parameters
    ----------
    folder
        Where the file lies; made when the first line is written. Every launch must see it.
    task
        Everything that decides what the task finds, as plain data.

    Examples
    --------
    >>> import tempfile
    >>> from crystalicl_jobflow.utils.journal import Journal
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Journal(folder, {"seed": 0}).write({"part": 1})
    ...     print(Journal(folder, {"seed": 0}).read(), Journal(folder, {"seed": 1}).read())
    [{'part': 1}] []
    """

    def __init__(self, folder: str | Path, task: Mapping[str, Any]) -> None:
        self.folder = Path(folder).expanduser()
        self.name = fingerprint(task)
        self.path = self.folder / f"{PREFIX}{self.name}{SUFFIX}"
        self._file: BinaryIO | None = None
        self._is_unwritable = False

    def read(self) -> list[dict[str, Any]]:
        """Return what earlier launches have written, in order."""
        try:
            lines = self.path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        except OSError as error:
            logger.warning("%s cannot be read, all is done anew: %s", self.path, error)
            return []
        # the name says so already; the header guards a file that was renamed or copied
        if not lines or _parsed(lines[0]).get("fingerprint") != self.name:
            return []
        return [entry for line in lines[1:] if (entry := _parsed(line))]

    def write(self, entry: Mapping[str, Any]) -> None:
        """Write a finished part down; on disk in full when this returns."""
        if self._is_unwritable:
            return
        try:
            if self._file is None:
                self._file = self._open()
            self._file.write(json.dumps(entry).encode("utf-8") + b"\n")
        except OSError as error:
            logger.warning(
                "%s cannot be written, a kill would lose what is done: %s", self.path, error
            )
            self._is_unwritable = True  # one warning

    def close(self) -> None:
        """Close the file, and keep it."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def remove(self) -> None:
        """Remove the file: what it holds is safe elsewhere, or not wanted."""
        self.close()
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning("%s cannot be removed: %s", self.path, error.strerror)

    def _open(self) -> BinaryIO:
        self.folder.mkdir(parents=True, exist_ok=True)
        if not self._is_ours():
            self.path.unlink(missing_ok=True)  # killed while it wrote its first line
        # appended and unbuffered: lines of two launches at once do not mix
        file = self.path.open("ab", buffering=0)
        if file.tell() == 0:
            header = {"fingerprint": self.name, "format": FORMAT_VERSION}
            file.write(json.dumps(header).encode() + b"\n")
        else:
            file.write(b"\n")  # ends a line that a kill cut off
        return file

    def _is_ours(self) -> bool:
        try:
            with self.path.open(encoding="utf-8", errors="replace") as file:
                return _parsed(file.readline()).get("fingerprint") == self.name
        except FileNotFoundError:
            return False


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return entry if isinstance(entry, dict) else {}

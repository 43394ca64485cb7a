"""Write files as a whole: a reader, or a run that is killed, never meets half of one."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

_UNSAFE = re.compile(r"[^\w.+()-]+")
_TEMPORARY = re.compile(r"\.([0-9a-f]{8})-([0-9]{1,10})-[0-9a-f]{8}\.")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give the name of a file to write, which takes the place of `path` at the end.

    What was at `path` stays until the new file is whole and on the disk; where writing
    fails, it stays for good and nothing is left beside it. The name ends as `path` does, for
    libraries that go by the ending. Folders are made.

    Parameters
    ----------
    path
        The file; a device or pipe is written to directly.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(f"{folder}/runs/a.txt") as beside:
    ...         written = beside.write_text("all of it")
    ...     print(Path(f"{folder}/runs/a.txt").read_text())
    all of it
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = temporary_name(path)
    try:
        yield beside
        _sync(beside)
        beside.replace(path)
        _sync(path.parent)
    finally:
        beside.unlink(missing_ok=True)


def temporary_name(path: Path) -> Path:
    """Return a new hidden name beside a file or folder, for what is to take its place.

    The name says which process has it. What processes that were killed have left in the
    folder is removed, once in the life of this process.
    """
    _remove_leftovers(path.parent.absolute())
    name = f".{_host()}-{os.getpid()}-{secrets.token_hex(4)}.{path.name[-200:]}"
    return path.with_name(name)


@cache
def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files and folders of processes of this host that have ended."""
    with suppress(OSError):
        for found in list(os.scandir(folder)):
            match = _TEMPORARY.match(found.name)
            if match is None or match[1] != _host() or _may_run(int(match[2])):
                continue
            if found.is_dir(follow_symlinks=False):
                shutil.rmtree(found.path, ignore_errors=True)
            else:
                Path(found.path).unlink(missing_ok=True)


@cache
def _host() -> str:
    """Return eight characters for the host, and for the container: each counts its processes."""
    container = ""
    with suppress(OSError):
        container = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{socket.gethostname()} {container}".encode()).hexdigest()[:8]


def _may_run(process: int) -> bool:
    if os.name == "nt":  # there, a signal of 0 would end it
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        return True  # it runs, and is somebody else's
    return True


def write_text(path: str | Path, text: str) -> None:
    """Write a text file, UTF-8, as a whole."""
    with replacing(path) as beside:
        beside.write_text(text, encoding="utf-8")


def write_json(path: str | Path, document: Any) -> None:
    """Write a document as indented JSON, as a whole; see :func:`json_default`."""
    write_text(path, json.dumps(document, indent=2, default=json_default) + "\n")


def json_default(value: Any) -> Any:
    """Return what JSON has no form for as something plain: the ``default=`` of `json.dumps`.

    Times become ISO 8601 (one without zone is UTC), arrays lists, objects with ``as_dict``
    their dictionaries, and everything else what ``str`` makes of it.
    """
    if isinstance(value, datetime):
        return value.isoformat() + ("" if value.tzinfo else "Z")
    if hasattr(value, "tolist"):
        return value.tolist()
    return value.as_dict() if hasattr(value, "as_dict") else str(value)


def safe_name(text: str, *, limit: int = 100) -> str:
    """Return a text as part of a file's name: no separators, no leading dot, not too long.

    Parameters
    ----------
    text
        Whatever a document says, such as a formula.
    limit
        Most bytes in UTF-8: a file system takes 255.

    Examples
    --------
    >>> safe_name("../../etc/passwd")
    'etc_passwd'
    """
    name = _UNSAFE.sub("_", text).lstrip("._")
    return name.encode("utf-8", errors="ignore")[:limit].decode("utf-8", errors="ignore") or "_"


def folder_inside(folder: str | Path, name: str) -> Path:
    """Return a folder within another one; it need not exist.

    Parameters
    ----------
    folder
        The folder that a user named; it may be a link itself.
    name
        Name of the one within.

    Raises
    ------
    ValueError
        If a link or the name leads out of the outer folder.
    """
    outer, inner = Path(folder), Path(folder, name)
    if not inner.resolve().is_relative_to(outer.resolve()):
        raise ValueError(f"{inner} leads out of {outer}: nothing is written there")
    return inner


def refuse_link(folder: str | Path) -> None:
    """Refuse a folder that is a symbolic link, before files get names out of documents there.

    Raises
    ------
    ValueError
        If it is one.
    """
    if Path(folder).is_symlink():
        raise ValueError(f"{folder} is a symbolic link: nothing is written there")


def _sync(path: Path) -> None:
    # some file systems cannot do this for folders
    with suppress(OSError):
        number = os.open(path, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)

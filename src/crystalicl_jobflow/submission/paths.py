"""The files that a Flow is to read, named for jobs that run in folders of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from crystalicl_jobflow.submission.yaml_text import FieldError, Place


class GivenFiles:
    """The names of files in a description, as absolute paths.

    Attributes
    ----------
    elsewhere
        Absolute paths to nothing on this machine, each with its place in the description: on
        the worker's there may be something.
    """

    def __init__(self) -> None:
        self.elsewhere: list[tuple[Place, str]] = []

    def absolute(self, value: Any, place: Place) -> Any:
        """Return names of files, alone or in lists, as absolute paths; the rest as it is.

        Parameters
        ----------
        value
            What was given; addresses of databases and names of stores are no files.
        place
            Where it was given.

        Raises
        ------
        FieldError
            If a relative path leads nowhere.
        """
        if isinstance(value, list):
            return [self.absolute(item, (*place, number)) for number, item in enumerate(value)]
        if not isinstance(value, str) or "://" in value:
            return value
        path = Path(value).expanduser()
        if path.exists():
            return str(path.absolute())
        if path.is_absolute():
            self.elsewhere.append((place, value))
        elif path.suffix or "/" in value:
            raise FieldError(place, f"{value} does not exist")
        return value

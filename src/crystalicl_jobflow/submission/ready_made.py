"""Ready-made files to begin one's own project with: stores, Flows, scripts and workers."""

from __future__ import annotations

import shutil
from pathlib import Path

from crystalicl_jobflow.utils.errors import CrystalICLError

_FOLDERS = ("flows", "stores")


class ReadyMadeError(CrystalICLError, ValueError):
    """The files cannot be copied; the message is one line."""


def ready_made_files() -> dict[str, Path]:
    """Return the files by their place below a project's folder, such as ``stores/json.yaml``.

    Raises
    ------
    ReadyMadeError
        Where the installation holds none.
    """
    package = Path(__file__).resolve().parents[1]
    # a wheel holds them inside the package, a clone beside `src`
    for root in (package / "ready_made", package.parents[1]):
        found = {
            path.relative_to(root).as_posix(): path
            for name in _FOLDERS
            for path in sorted((root / name).rglob("*"))
            if path.is_file() and "__pycache__" not in path.parts
        }
        if found:
            return found
    raise ReadyMadeError("this installation holds no ready-made files: install it anew")


def copy_ready_made(folder: str | Path, *, overwrite: bool = False) -> list[Path]:
    """Copy the ready-made files into a folder; nothing is copied where one would be replaced.

    Parameters
    ----------
    folder
        Made where it is missing.
    overwrite
        Replace files that are there.

    Returns
    -------
    list of Path
        The copies.

    Raises
    ------
    ReadyMadeError
        Where files of these names are there already and are not to be replaced.
    """
    root = Path(folder)
    if root.exists() and not root.is_dir():
        raise ReadyMadeError(f"{root} is a file, not a folder")
    files = ready_made_files()
    present = [name for name in files if (root / name).exists()]
    if present and not overwrite:
        more = f" and {len(present) - 1} more" if len(present) > 1 else ""
        raise ReadyMadeError(f"{root / present[0]}{more} would be replaced; nothing was copied")
    for name, source in files.items():
        target = root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    return [root / name for name in files]

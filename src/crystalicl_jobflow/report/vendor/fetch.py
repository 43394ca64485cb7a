"""Fetch 3Dmol.js, the viewer inside the reports, from the npm registry.

    python src/crystalicl_jobflow/report/vendor/fetch.py

To update: raise VERSION, run it with ``--update``, put the sums that it prints below, look at
a report, and run the report's tests. Needs npm.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

VERSION = "2.5.5"
FILES = {
    "package/build/3Dmol-min.js": (
        "3Dmol-min.js",
        "f7cc78921ae72e7623e89cdd111434f58c2efddd2ffda1cd212644b406fb8016",
    ),
    "package/LICENSE": (
        "3Dmol-LICENSE.txt",
        "4c6eaaed856f3f28a3b1a98e74f4a8a71618de7d51ea4155c29f6f793bcef861",
    ),
}
"""Member of the npm package → name here and SHA-256 sum."""


def fetch(folder: Path, *, update: bool = False) -> None:
    """Write the files of the pinned version into a folder.

    Parameters
    ----------
    folder
        Where to.
    update
        Print other sums than the pinned ones instead of refusing them.

    Raises
    ------
    SystemExit
        If a file has another sum than the pinned one.
    """
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(
            ["npm", "pack", "--silent", f"3dmol@{VERSION}"],
            cwd=work,
            check=True,
            stdout=subprocess.DEVNULL,
        )
        with tarfile.open(next(Path(work).glob("*.tgz"))) as archive:
            for member, (name, expected) in FILES.items():
                file = archive.extractfile(member)
                assert file is not None
                content = file.read()
                found = hashlib.sha256(content).hexdigest()
                if found != expected and not update:
                    sys.exit(f"{member} of 3dmol@{VERSION} has the sum {found}, not {expected}")
                (folder / name).write_bytes(content)
                print(f"{name}: {found}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fetch the report's viewer from npm.")
    parser.add_argument("--update", action="store_true", help="Accept a new version's files.")
    fetch(Path(__file__).parent, update=parser.parse_args().update)

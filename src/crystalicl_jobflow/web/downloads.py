"""What is taken along: CIF files, all of them in a zip, candidates as JSON lines."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Mapping
from typing import Any

from crystalicl_jobflow.candidates.shown import CrystalFile
from crystalicl_jobflow.utils.files import json_default

_DATE = (1980, 1, 1, 0, 0, 0)  # the same crystals, the same file


def zip_of(files: Iterable[CrystalFile | None]) -> bytes:
    """Return a zip with the CIF of each crystal; one that cannot be written is left out.

    Parameters
    ----------
    files
        None is passed over.
    """
    packed = io.BytesIO()
    names: set[str] = set()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            if file is None or file.name in names:  # the same draw is the same crystal
                continue
            try:
                text = file.text()
            except Exception as error:  # one bad crystal costs itself only
                text = f"# this crystal cannot be written: {type(error).__name__}\n"
            names.add(file.name)
            archive.writestr(zipfile.ZipInfo(file.name, _DATE), text, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def stored_files(documents: Iterable[Mapping[str, Any]]) -> Iterable[CrystalFile | None]:
    """Yield the crystals of stored candidates; those that cannot be read are passed over."""
    for document in documents:
        try:
            yield CrystalFile.of_document(document)
        except Exception:  # a store may hold anything; the JSON lines hold what it is
            yield None


def json_lines(documents: Iterable[Mapping[str, Any]]) -> bytes:
    """Return documents as JSON, one a line."""
    lines = [
        json.dumps(document, default=json_default, ensure_ascii=False) for document in documents
    ]
    return "".join(f"{line}\n" for line in lines).encode("utf-8", errors="replace")

"""Files are written as a whole, or stay what they were."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pymatgen.core import Lattice, Structure

from crystalicl_jobflow.utils.files import (
    json_default,
    replacing,
    safe_name,
    temporary_name,
    write_json,
    write_text,
)


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "summary.json"
    write_text(path, "earlier")
    with replacing(path) as beside:
        beside.write_text("half")
        assert path.read_text() == "earlier"
    assert path.read_text() == "half"
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]


def test_where_writing_fails_the_earlier_file_stays_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_text(path, "earlier")

    def fail() -> None:
        with replacing(path) as beside:
            beside.write_text("ha")
            raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space left"):
        fail()
    assert path.read_text() == "earlier"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


BEGUN = """
import sys
from crystalicl_jobflow.utils.files import replacing, temporary_name
from pathlib import Path

folder = temporary_name(Path(sys.argv[1], "index"))
folder.mkdir()
(folder / "rows.npy").write_text("half")
with replacing(Path(sys.argv[1], "summary.json")) as beside:
    beside.write_text("half")
    print(beside.name, flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no kill -9 on this system")
def test_what_a_killed_process_leaves_is_removed_by_the_next_and_nothing_else(
    tmp_path: Path,
) -> None:
    first, second = (
        subprocess.Popen(
            [sys.executable, "-c", BEGUN, str(tmp_path)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for _ in range(2)
    )  # fmt: skip
    names = [process.stdout.readline().strip() for process in (first, second)]
    killed = str(first.pid)
    first.kill()
    first.communicate()
    # a process of that number on another host, and a hidden file of somebody else's
    (tmp_path / f".00000000-{killed}-0123abcd.summary.json").write_text("half")
    (tmp_path / f".{killed}.notes").write_text("mine")
    assert len([path for path in tmp_path.iterdir() if f"-{killed}-" in path.name]) == 3

    write_text(tmp_path / "summary.json", "next")
    left = {path.name for path in tmp_path.iterdir()}
    assert {name for name in left if killed in name} == {
        f".{killed}.notes", f".00000000-{killed}-0123abcd.summary.json",
    }  # fmt: skip
    assert names[1] in left
    second.communicate("")
    assert second.returncode == 0
    assert (tmp_path / "summary.json").read_text() == "half"


def test_a_temporary_name_is_hidden_new_and_ends_as_the_file_does(tmp_path: Path) -> None:
    names = [temporary_name(tmp_path / "rows.csv.gz").name for _ in range(2)]
    assert names[0] != names[1]
    assert all(name.startswith(".") and name.endswith(".rows.csv.gz") for name in names)
    assert len(temporary_name(tmp_path / ("x" * 255)).name) <= 255


def test_folders_are_made_and_the_ending_is_kept_for_libraries_that_go_by_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "new" / "rows.csv.gz"
    with replacing(path) as beside:
        pd.DataFrame({"x": [1, 2]}).to_csv(beside, index=False)
    assert list(pd.read_csv(path)["x"]) == [1, 2]
    assert path.read_bytes()[:2] == b"\x1f\x8b"


def test_a_new_file_may_be_read_by_whom_others_may(tmp_path: Path) -> None:
    (tmp_path / "plain").write_text("x")
    write_text(tmp_path / "whole", "x")
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "whole")}
    assert len(modes) == 1


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this platform")
def test_a_pipe_is_written_to_and_stays_a_pipe(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(path.read_text()))
    reader.start()
    write_text(path, "through")
    reader.join(timeout=30)
    assert read == ["through"]
    assert stat.S_ISFIFO(path.stat().st_mode)


def test_json_of_what_json_has_no_form_for(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(
        path,
        {
            "aware": datetime(2026, 1, 2, tzinfo=UTC),
            "naive": datetime(2026, 1, 2),
            "array": np.arange(3),
            "number": np.float64(0.5),
            "path": Path("a"),
        },
    )
    assert json.loads(path.read_text()) == {
        "aware": "2026-01-02T00:00:00+00:00",
        "naive": "2026-01-02T00:00:00Z",
        "array": [0, 1, 2],
        "number": 0.5,
        "path": "a",
    }


def test_json_of_a_structure_is_its_dictionary() -> None:
    structure = Structure.from_spacegroup(
        225, Lattice.cubic(5.6), ["Na", "Cl"], [[0, 0, 0], [0.5, 0, 0]]
    )
    assert Structure.from_dict(json_default(structure)) == structure


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("CaTiO3_221_0f", "CaTiO3_221_0f"),
        ("../../etc/passwd", "etc_passwd"),
        ("Na2(SO4)3", "Na2(SO4)3"),
        ("a\\b\x1b[31m\n", "a_b_31m_"),
        ("..", "_"),
        ("", "_"),
        ("x" * 300, "x" * 100),
    ],
)
def test_names_of_files_stay_in_their_folder(text: str, name: str) -> None:
    assert safe_name(text) == name

"""CSV files with crystals: a broken row costs itself and is told with its line."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from cif_texts import cif_text, cubic
from crystalicl_jobflow.datasets.csv_rows import CsvFile
from crystalicl_jobflow.datasets.sources import open_source
from crystalicl_jobflow.retrieval import fill_pool
from crystalicl_jobflow.stores.opening import open_store

CIF = cif_text(cubic(4.12), "Cs1 Cs 0 0 0", "Cl1 Cl .5 .5 .5", symbol="P 1", operations=["x, y, z"])
LINES = CIF.count("\n")


def rows(number: int, *, first: int = 1, ends: str = "\n") -> list[str]:
    quoted = CIF.replace('"', '""')
    return [f'mp-{n},"{quoted}",{n}.0{ends}' for n in range(first, first + number)]


def write(path: Path, *parts: str, header: str = "material_id,cif,band_gap\n") -> Path:
    path.write_text(header + "".join(parts))
    return path


def read(path: Path) -> tuple[list[str], list[str]]:
    """Return the ids of the rows that are whole, and the errors of those that are not."""
    records = list(open_source(path).records())
    whole = [record.record_id for record in records if record.error is None]
    return whole, [record.error for record in records if record.error is not None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("packed", [False, True])
def test_encodings_and_line_ends_do_not_matter(
    encoding: str, ends: str, packed: bool, tmp_path: Path
) -> None:
    text = "material_id,cif,band_gap,name\n" + "".join(
        row.replace(".0\n", ".0,Müller\n") for row in rows(3)
    )
    data = text.replace("\n", ends).encode(encoding)
    path = tmp_path / ("a.csv.gz" if packed else "a.csv")
    path.write_bytes(gzip.compress(data) if packed else data)
    store = open_store("memory:")
    report = fill_pool(path, store, fingerprints=False, processes=1)
    assert (report.added, report.failed) == (3, [])
    documents = {doc["demonstration_id"]: doc for doc in store.query()}
    assert sorted(documents) == ["mp-1", "mp-2", "mp-3"]
    assert documents["mp-2"]["properties"] == {"band_gap": 2.0}
    assert [row.fields["name"] for row in CsvFile(path).rows()] == ["Müller"] * 3


def test_a_quote_left_open_costs_its_row(tmp_path: Path) -> None:
    before, broken, *after = rows(22)
    broken = broken.replace('\n",2.0', "\n,2.0")  # the closing quote is missing
    whole, errors = read(write(tmp_path / "a.csv", before, broken, *after))
    assert whole == ["mp-1", *(f"mp-{n}" for n in range(3, 23))]
    first = 2 + (LINES + 1)
    assert errors == [
        f"line {first}: a quote is left open: lines {first} to {first + LINES} are skipped"
    ]


def test_a_quote_left_open_before_a_cell_that_begins_with_a_line_end(tmp_path: Path) -> None:
    plain = [row.replace('"data_test', '"\ndata_test', 1) for row in rows(6)]
    plain[2] = plain[2].replace('\n",3.0', "\n,3.0")
    whole, errors = read(write(tmp_path / "a.csv", *plain))
    assert whole == ["mp-1", "mp-2", "mp-4", "mp-5", "mp-6"]
    assert len(errors) == 1
    assert "a quote is left open" in errors[0]


def test_a_quote_left_open_in_the_last_row(tmp_path: Path) -> None:
    *before, last = rows(3)
    whole, errors = read(write(tmp_path / "a.csv", *before, last.replace('\n",3.0', "")))
    assert whole == ["mp-1", "mp-2"]
    assert len(errors) == 1
    assert errors[0].startswith(f"line {2 + 2 * (LINES + 1)}: a quote is left open")


def test_the_crystals_may_be_in_the_first_or_last_column(tmp_path: Path) -> None:
    quoted = CIF.replace('"', '""')
    first = [f'"{quoted}",mp-{n}\n' for n in range(1, 6)]
    first[1] = first[1].replace('\n",mp-2', "\n,mp-2")
    whole, errors = read(write(tmp_path / "a.csv", *first, header="cif,material_id\n"))
    assert whole == ["mp-1", "mp-3", "mp-4", "mp-5"]
    assert len(errors) == 1
    last = [f'mp-{n},"Cs, Cl","{quoted}"\n' for n in range(1, 6)]
    last[1] = last[1].replace('\n"\n', "\n\n")
    whole, errors = read(write(tmp_path / "b.csv", *last, header="material_id,elements,cif\n"))
    assert whole == ["mp-1", "mp-3", "mp-4", "mp-5"]
    assert len(errors) == 1


def test_rows_with_too_few_or_too_many_fields_are_told(tmp_path: Path) -> None:
    one, two, three = rows(3)
    whole, errors = read(
        write(tmp_path / "a.csv", one, "mp-7\n", two, three.replace("3.0", "3.0,4,5"))
    )
    assert whole == ["mp-1", "mp-2"]
    assert errors == [
        f"line {2 + LINES + 1}: the row has 1 fields, the header 3",
        f"line {3 + 2 * (LINES + 1)}: the row has 5 fields, the header 3",
    ]


def test_a_cell_of_ten_megabytes_is_told(tmp_path: Path) -> None:
    one, two = rows(2)
    for size in (1_500_000, 10_000_000):
        huge = f'mp-9,"data_{"x" * size}",1.0\n'
        whole, errors = read(write(tmp_path / "a.csv", one, huge, two))
        assert whole == ["mp-1", "mp-2"]
        assert len(errors) == 1
        assert errors[0].startswith(f"line {2 + LINES + 1}: ")
        assert "characters" in errors[0]


def test_a_gzip_file_that_is_cut_off_gives_its_first_rows(tmp_path: Path) -> None:
    packed = gzip.compress(("material_id,cif,band_gap\n" + "".join(rows(200))).encode(), 0)
    (tmp_path / "a.csv.gz").write_bytes(packed[: len(packed) // 2])
    whole, errors = read(tmp_path / "a.csv.gz")
    assert 50 < len(whole) < 150
    assert len(errors) == 1
    assert errors[0].endswith("the gzip file is cut off")


def test_empty_and_strange_files_are_refused(tmp_path: Path) -> None:
    for name, data, message in (
        ("empty.csv", b"", "has no column 'cif'; it is empty"),
        ("not.csv.gz", b"cif\n", "it is no gzip file"),
        ("other.csv", b"a,b\n1,2\n", "has no column 'cif'; it has a, b"),
    ):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ValueError, match=message):
            open_source(tmp_path / name)


def test_what_cannot_be_read_is_named_with_file_and_row(tmp_path: Path) -> None:
    path = write(tmp_path / "set.csv", "7,nonsense,1.0\n", ",nonsense,1.0\n", *rows(1))
    store = open_store("memory:")
    report = fill_pool(path, store, fingerprints=False, processes=1)
    assert [name for name, _ in report.failed] == ["set-7", "set-row-1"]
    assert all("the CIF cannot be read: line 1" in reason for _, reason in report.failed)
    assert report.added == 1

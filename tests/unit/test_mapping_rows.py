"""Rows: a bad one costs itself, and its bytes and line number are kept."""

import gzip
from pathlib import Path

import pytest

from kpistream.errors import ConfigError
from kpistream.sources.rows import MAX_ROW_BYTES, Format, Reader, Row


def rows(folder: Path, data: bytes, form: Format | None = None, name: str = "f.csv") -> list[Row]:
    """Every row of a file with these bytes."""
    (folder / name).write_bytes(data)
    reader = Reader(folder / name, form or Format())
    try:
        return list(reader)
    finally:
        reader.close()


def test_cells_are_trimmed_and_blank_lines_are_no_rows(tmp_path: Path) -> None:
    found = rows(tmp_path, b"a,b\r\n 1 , 2\r\n\r\n3,4\r\n")

    assert [(row.number, row.line, row.cells, row.raw) for row in found] == [
        (1, 2, ["1", "2"], b" 1 , 2"),
        (2, 4, ["3", "4"], b"3,4"),
    ]


def test_ragged_rows_are_bad_rows(tmp_path: Path) -> None:
    found = rows(tmp_path, b"a,b\n1\n1,2\n1,2,3\n")

    assert [row.fault for row in found] == [
        "the row has 1 cells, the header 2",
        None,
        "the row has 3 cells, the header 2",
    ]
    assert [row.raw for row in found] == [b"1", b"1,2", b"1,2,3"]


def test_quoted_line_breaks_stay_in_their_row(tmp_path: Path) -> None:
    found = rows(tmp_path, b'a,b\n1,"x\ny"\n3,4\n')

    assert [(row.line, row.cells) for row in found] == [(2, ["1", "x\ny"]), (4, ["3", "4"])]
    assert found[0].raw == b'1,"x\ny"'


def test_quote_that_is_never_closed_costs_its_own_line(tmp_path: Path) -> None:
    found = rows(tmp_path, b'a,b\n1,2\n"3,4\n5,6\n7,8\n')

    assert [row.line for row in found] == [2, 3, 4, 5]
    assert [row.cells for row in found] == [["1", "2"], [], ["5", "6"], ["7", "8"]]
    assert found[1].raw == b'"3,4'


def test_quotes_can_be_ordinary_characters(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, b'a\tb\n"1\t2"\n', Format(delimiter="\t", quote=None))

    assert row.cells == ['"1', '2"']


def test_bytes_of_another_encoding_are_a_bad_row(tmp_path: Path) -> None:
    found = rows(tmp_path, "a,b\n1,ä\n".encode() + "2,ä\n".encode("latin-1") + b"3,c\n")

    assert [row.fault for row in found] == [None, "byte 0xe4 at 2 is not utf-8", None]


@pytest.mark.parametrize("encoding", ["windows-1255", "utf-16", "utf-8-sig"])
def test_encoding_of_the_file_is_read(tmp_path: Path, encoding: str) -> None:
    (row,) = rows(tmp_path, "שם,b\nאבג,2\n".encode(encoding), Format(encoding=encoding))

    assert row.cells == ["אבג", "2"]


def test_compressed_file_is_read_by_its_name(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, gzip.compress(b"a,b\n1,2\n"), name="f.csv.gz")

    assert row.cells == ["1", "2"]


def test_compressed_file_that_is_cut_short_says_where(tmp_path: Path) -> None:
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)

    with pytest.raises(ConfigError, match=r"f\.csv\.gz:\d+ file: cannot be read on"):
        rows(tmp_path, whole[:-12], name="f.csv.gz")


def test_file_without_header_has_the_columns_of_the_mapping(tmp_path: Path) -> None:
    (row,) = rows(tmp_path, b"1,2\n", Format(header=False, columns=("a", "b")))

    assert (row.line, row.cells) == (1, ["1", "2"])


def test_too_long_rows_are_bad_rows(tmp_path: Path) -> None:
    found = rows(tmp_path, b"a\n" + b"x" * (MAX_ROW_BYTES + 10) + b"\n1\n")

    assert found[0].fault is not None
    assert found[-1].cells == ["1"]


def test_json_lines_that_are_no_objects_are_bad_rows(tmp_path: Path) -> None:
    found = rows(tmp_path, b'{"a": 1.10}\n\n[1]\n{"a": \n', Format("jsonl"), "f.jsonl")

    assert [row.line for row in found] == [1, 3, 4]
    assert found[0].cells == {"a": "1.10"}
    assert found[1].fault == "not a JSON object"
    assert (found[2].fault or "").startswith("not JSON: ")


def test_missing_and_empty_files_are_faults_of_the_operator(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be opened: No such file"):
        Reader(tmp_path / "none.csv", Format())
    with pytest.raises(ConfigError, match="the file is empty"):
        rows(tmp_path, b"\n\n")

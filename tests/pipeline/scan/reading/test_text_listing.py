"""Textual listing: slices are read again unchanged, in every encoding and with every line ending."""

import json
from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.scan.reading import text_listing
from pipeline.scan.reading.parquet_listing import ROWS_PER_SLICE
from pipeline.scan.reading.text_listing import TOO_WIDE, Row, read_rows, slices

COUNT = 2 * ROWS_PER_SLICE + 5
NAMES = [f"ä/{number}.jpg" for number in range(COUNT)]


def everything(path: Path, form: str) -> list[Row]:
    """Read a listing slice by slice."""
    return [row for piece in slices(str(path), form) for row in read_rows(str(path), piece)]


@pytest.mark.parametrize("form", ["csv", "tsv", "txt", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-be"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_every_row_comes_once_in_every_coding(form: str, encoding: str, newline: str, tmp_path: Path) -> None:
    lines = {"txt": NAMES, "jsonl": [json.dumps({"url": name}) for name in NAMES]}.get(form, ["url", *NAMES])
    (tmp_path / "l").write_bytes(newline.join(lines).encode(encoding))
    found = everything(tmp_path / "l", form)
    assert [row["uri" if form == "txt" else "url"] for row in found] == NAMES


@pytest.mark.parametrize("indent", [None, 1])
def test_an_array_is_read_slice_by_slice_from_its_own_bytes(indent: int | None, tmp_path: Path) -> None:
    path = tmp_path / "l"
    path.write_text(json.dumps([{"url": name} for name in NAMES], indent=indent, ensure_ascii=False))
    pieces = list(slices(str(path), "json"))
    assert [piece.form for piece in pieces] == ["array"] * 3
    assert [piece.rows for piece in pieces] == [(0, 256), (256, 512), (512, COUNT)]
    data = path.read_bytes()
    path.write_bytes(bytes(pieces[1].span[0]) + data[pieces[1].span[0] : pieces[1].span[1]])
    assert [row["url"] for row in read_rows(str(path), pieces[1])] == NAMES[256:512]


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_slice_ends_early_where_its_rows_are_long(form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_listing, "BYTES_PER_SLICE", 1000)
    rows = [{"url": "x" * 400} for _ in range(10)]
    lines = [json.dumps(row) for row in rows] if form == "jsonl" else ["url", *(row["url"] for row in rows)]
    (tmp_path / "l").write_text("\n".join(lines))
    assert {piece.rows[1] - piece.rows[0] for piece in slices(str(tmp_path / "l"), form)} <= {1, 2, 3}
    assert everything(tmp_path / "l", form) == rows


def test_a_row_with_too_many_fields_says_so_and_one_with_too_few_lacks_them(tmp_path: Path) -> None:
    (tmp_path / "l").write_text("url, caption\na.jpg,one\nb.jpg,two,three\nc.jpg\nd.jpg,four,,\n")
    a, b, c, d = everything(tmp_path / "l", "csv")
    assert (a, c, d) == ({"url": "a.jpg", "caption": "one"}, {"url": "c.jpg"}, {"url": "d.jpg", "caption": "four"})
    assert "3 fields and the listing 2 columns" in b[TOO_WIDE]


def test_of_json_lines_a_row_that_is_broken_or_lacks_the_column_is_still_a_row(tmp_path: Path) -> None:
    (tmp_path / "l").write_text('{"caption": "x"}\n{broken\n3\n{"url": "a.jpg"}\n')
    assert [row.get("url") for row in everything(tmp_path / "l", "jsonl")] == [None, None, None, "a.jpg"]


@pytest.mark.parametrize("form", ["csv", "tsv", "txt", "jsonl", "json"])
@pytest.mark.parametrize("text", ["", "\n \n", "\ufeff"])
def test_nothing_and_a_header_alone_hold_no_row(form: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "l").write_text(text)
    assert everything(tmp_path / "l", form) == []
    (tmp_path / "l").write_text({"csv": "url,caption\n", "tsv": "url\tcaption"}.get(form, text))
    assert everything(tmp_path / "l", form) == []


@pytest.mark.parametrize(
    ("form", "text"), [("jsonl", '{"a": 1}\n{"b": 2}\n'), ("json", '[{"a": 1}]'), ("csv", "url;caption\na.jpg;x\n")]
)
def test_rows_without_a_place_are_refused_by_their_columns(form: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "l").write_text(text)
    with pytest.raises(SettingsError, match="must hold the URIs"):
        everything(tmp_path / "l", form)

"""Columnar listing: a Parquet file of URIs or images, told by its types, is read a few rows at a time."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.scan.reading import parquet_listing
from pipeline.scan.reading.parquet_listing import bytes_of, column_of, read_images, read_rows, slices
from tests.pictures import picture

JPEG = picture(1)
IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
CELLS = [{"bytes": JPEG, "path": "a.jpg"}, {"bytes": None, "path": "b.jpg"}, None, {"bytes": b"", "path": None}]


def write(folder: Path, columns: dict[str, Any], *, note: dict[str, Any] | None = None, group: int = 1000) -> str:
    """Write a Parquet file, with Hugging Face's note where there is one."""
    table = pa.table(columns)
    if note is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": note}})})
    pq.write_table(table, folder / "l.parquet", row_group_size=group)
    return str(folder / "l.parquet")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["Url", "url"], "url"),
        (["URL", "caption"], "URL"),
        (["PATH", "url", "key"], "url"),
        (["key", "x"], "key"),
        (["url", "Url", "URL"], "url"),
    ],
)
def test_of_several_spellings_the_one_in_small_letters_wins(names: list[str], chosen: str) -> None:
    assert column_of(names, "l") == chosen


@pytest.mark.parametrize("names", [["Url", "URL"], ["url", "url"]])
def test_columns_that_are_as_good_are_refused(names: list[str]) -> None:
    with pytest.raises(SettingsError, match="call the one that holds the URIs 'url'"):
        column_of(names, "l")


@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.binary(),
        pa.large_binary(),
        pa.string_view(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
)
def test_text_of_every_type_is_a_column_of_uris(kind: pa.DataType, tmp_path: Path) -> None:
    values = [b"0.jpg", b"1.jpg"] if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else ["0.jpg", "1.jpg"]
    url = write(tmp_path, {"url": pa.array(values, kind), "n": [0, 1]})
    (piece,) = slices(url, None)
    assert (piece.form, piece.column) == ("parquet", "url")
    assert [row["url"] for row in read_rows(url, piece, ("n",))] == values


@pytest.mark.parametrize("values", [[1, 2], [1.5, 2.5], [["a"], ["b"]], [True, False]])
def test_a_column_that_cannot_hold_uris_is_refused_by_its_type(values: list[Any], tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="'url' is of the type .* cannot hold URIs"):
        list(slices(write(tmp_path, {"url": values}), None))


def images(url: str, image_member: str | None = None) -> list[tuple[str | None, int, list[Any], dict[str, Any]]]:
    """Read every image, with its column."""
    pieces = list(slices(url, image_member))
    assert {piece.form for piece in pieces} <= {"embedded"}
    return [(piece.column, *row) for piece in pieces for row in read_images(url, piece, ("label",))]


@pytest.mark.parametrize("name", ["image", "anything", "url"])
def test_a_struct_with_bytes_is_a_column_of_images_whatever_its_name(name: str, tmp_path: Path) -> None:
    url = write(tmp_path, {"label": [0, 1, 2, 3], name: pa.array(CELLS, IMAGE)}, group=3)
    assert images(url) == [(name, number, [cell], {"label": number}) for number, cell in enumerate(CELLS)]


def test_bytes_are_images_where_they_begin_so_and_other_bytes_are_not(tmp_path: Path) -> None:
    url = write(tmp_path, {"embedding": [b"\1\2", b"\3\4"], "jpg": [None, JPEG], "label": ["a", "b"]})
    assert images(url) == [("jpg", 0, [None], {"label": "a"}), ("jpg", 1, [JPEG], {"label": "b"})]


def test_a_listing_with_a_hash_beside_its_uris_stays_a_listing(tmp_path: Path) -> None:
    url = write(tmp_path, {"phash": [b"\1" * 8], "url": ["a.jpg"]})
    assert [piece.form for piece in slices(url, None)] == ["parquet"]


def test_huggingfaces_note_says_what_is_an_image_whatever_its_bytes(tmp_path: Path) -> None:
    url = write(tmp_path, {"x": [b"", b"broken"]}, note={"x": {"_type": "Image"}, "y": [{"_type": "Image"}]})
    assert [values for _, _, values, _ in images(url)] == [[b""], [b"broken"]]


def test_every_column_of_images_has_slices_of_its_own_unless_one_is_named(tmp_path: Path) -> None:
    url = write(tmp_path, {"left": pa.array(CELLS, IMAGE), "right": pa.array(CELLS, IMAGE)}, group=2)
    assert [(piece.column, piece.rows, piece.several) for piece in slices(url, None)] == [
        ("left", (0, 2), True),
        ("left", (2, 4), True),
        ("right", (0, 2), True),
        ("right", (2, 4), True),
    ]
    assert {piece.column for piece in slices(url, "right")} == {"right"}
    assert {piece.column for piece in slices(url, "jpg")} == {"left", "right"}


def test_a_column_of_lists_holds_any_number_of_images(tmp_path: Path) -> None:
    url = write(tmp_path, {"images": pa.array([CELLS[:2], [], None], pa.list_(IMAGE))})
    (piece,) = slices(url, None)
    assert piece.count is None
    assert [(number, len(values)) for _, number, values, _ in images(url)] == [(0, 2), (1, 0), (2, 0)]


def test_slices_of_a_large_row_group_hold_each_row_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_listing, "BYTES_PER_SLICE", 10 * len(JPEG))
    monkeypatch.setattr(parquet_listing, "BYTES_PER_BATCH", 3 * len(JPEG))
    cells = [JPEG + b"%d" % number for number in range(57)]
    url = write(tmp_path, {"jpg": cells})
    pieces = list(slices(url, None))
    assert [piece.rows for piece in pieces] == [(0, 14), (14, 28), (28, 42), (42, 57)]
    for piece in pieces:
        assert [(number, values) for number, values, _ in read_images(url, piece, ())] == [
            (number, [cells[number]]) for number in range(*piece.rows)
        ]
    assert bytes_of(url, pieces[0]) < bytes_of(url, pieces[3])


def test_of_a_large_row_group_a_page_and_a_batch_are_held(tmp_path: Path) -> None:
    url = str(tmp_path / "l.parquet")
    cells = [JPEG + bytes([number]) * (1 << 20) for number in range(96)]
    pq.write_table(pa.table({"jpg": cells}), url, write_batch_size=8, use_dictionary=False)
    del cells
    before = pa.total_allocated_bytes()
    (piece,) = slices(url, None)
    most = 0
    for _ in read_images(url, piece, ()):
        most = max(most, pa.total_allocated_bytes() - before)
    assert most < 48 << 20, f"{most:,} bytes of a row group of {96 << 20:,}"


def test_a_file_without_rows_has_no_slice(tmp_path: Path) -> None:
    assert list(slices(write(tmp_path, {"url": pa.array([], pa.string())}), None)) == []

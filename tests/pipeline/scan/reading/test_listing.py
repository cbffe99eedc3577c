"""A listing is cut into slices that together hold every row once, in every form."""

import csv
import io
import itertools
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.scan.reading import listing
from pipeline.scan.reading.columnar import ROWS_A_SLICE
from pipeline.scan.reading.listing import Entry, entries, form_of, slices
from pipeline.scan.reading.torn import TornError

ROWS = 2 * ROWS_A_SLICE + 37
NAMES = [f"images/é {number}.jpg" for number in range(ROWS)]
CAPTIONS = [f'line one\nline "two", {number}' for number in range(ROWS)]


def write(folder: Path, form: str) -> str:
    """Write the same rows in one of the forms."""
    path = folder / f"listing.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"caption": CAPTIONS, "URL": NAMES}), path, row_group_size=300)
    elif form == "csv":
        held = io.StringIO(newline="")
        csv.writer(held).writerows([("caption", "URL"), *zip(CAPTIONS, NAMES, strict=True)])
        path.write_bytes(b"\xef\xbb\xbf" + held.getvalue().encode())
    elif form == "tsv":
        rows = [("caption", "URL"), *zip(captions(form), NAMES, strict=True)]
        path.write_text("\r\n".join("\t".join(row) for row in rows), newline="")
    elif form == "txt":
        path.write_text("\n\n".join(NAMES))
    else:
        lines = (json.dumps({"caption": caption, "URL": name}) for caption, name in zip(CAPTIONS, NAMES, strict=True))
        path.write_text("\n".join(lines) + "\n")
    return str(path)


def captions(form: str) -> list[str]:
    """Give the captions as a form can hold them: TSV has no quotes, so a line ends a row."""
    return [caption.replace("\n", " ") for caption in CAPTIONS] if form == "tsv" else CAPTIONS


def everything(url: str, carry: tuple[str, ...] = ()) -> list[Entry]:
    """Read a listing slice by slice."""
    return [entry for part in slices(url) for entry in entries(url, part, carry)]


@pytest.mark.parametrize("form", ["parquet", "csv", "tsv", "jsonl", "ndjson", "txt"])
def test_every_row_comes_once_and_in_order(form: str, tmp_path: Path) -> None:
    url = write(tmp_path, form)
    assert [entry.text for entry in everything(url)] == NAMES
    rows = [part.rows for part in slices(url)]
    assert rows[0][0] == 0 and rows[-1][1] == ROWS
    assert all(one[1] == other[0] for one, other in itertools.pairwise(rows))


@pytest.mark.parametrize("form", ["parquet", "csv", "tsv", "jsonl"])
def test_columns_come_along_when_asked_for(form: str, tmp_path: Path) -> None:
    found = everything(write(tmp_path, form), ("caption", "absent"))
    assert [entry.carried for entry in found] == [{"caption": caption, "absent": None} for caption in captions(form)]


def test_a_relative_path_begins_at_the_listing_and_a_url_stands_for_itself(tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    path.write_text("a.jpg\n../b.jpg\n/c.jpg\ns3://d/e.jpg\nhttps://f/g.jpg?h=i\n")
    assert [entry.uri for entry in everything(str(path))] == [
        str(tmp_path / "a.jpg"),
        str(tmp_path.parent / "b.jpg"),
        "/c.jpg",
        "s3://d/e.jpg",
        "https://f/g.jpg?h=i",
    ]


def test_a_row_without_a_uri_is_an_entry_that_names_none(tmp_path: Path) -> None:
    path = tmp_path / "l.jsonl"
    path.write_text('{"uri": "a.jpg"}\n{"uri": null}\n{broken\n"b.jpg"\n')
    assert [entry.uri is None for entry in everything(str(path))] == [False, True, True, False]


def test_a_listing_without_a_column_of_uris_is_refused_by_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "l.csv"
    path.write_text("name,size\na.jpg,3\n")
    with pytest.raises(SettingsError, match=r"\['name', 'size'\].*'uri'"):
        list(slices(str(path)))


def test_a_broken_parquet_listing_is_refused_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "l.parquet"
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(TornError, match="l.parquet"):
        list(slices(str(path)))


def test_a_form_is_told_by_the_end_of_the_name() -> None:
    assert [form_of(name) for name in ("a.PARQUET", "b.csv", "c.json", "d.tar", "e")] == [
        "parquet",
        "csv",
        "json",
        None,
        None,
    ]


def test_a_slice_reads_its_own_bytes_alone(tmp_path: Path) -> None:
    url = write(tmp_path, "jsonl")
    parts = list(slices(url))
    text = Path(url).read_bytes()
    damaged = b"\0" * parts[1].span[0] + text[parts[1].span[0] : parts[1].span[1]]
    Path(url).write_bytes(damaged)
    assert [entry.text for entry in listing.entries(url, parts[1], ())] == NAMES[ROWS_A_SLICE : 2 * ROWS_A_SLICE]

"""Listing: in every form its slices have every row once."""

import csv
import io
import itertools
import json
from base64 import b64encode
from pathlib import Path

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.scan.reading import listing
from pipeline.scan.reading.listing import Entry, entries, form_of, slices
from pipeline.scan.reading.parquet_file import DamagedFileError
from pipeline.scan.reading.parquet_listing import ROWS_PER_SLICE
from pipeline.scan.reading.unit import Name
from tests.pictures import picture

ROWS = 2 * ROWS_PER_SLICE + 37
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
    with pytest.raises(DamagedFileError, match="l.parquet"):
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
    assert [entry.text for entry in listing.entries(url, parts[1], ())] == NAMES[ROWS_PER_SLICE : 2 * ROWS_PER_SLICE]


def test_paths_are_read_by_stated_rules(tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    path.write_bytes(
        b"  with space.jpg \n~/home.jpg\nC:\\photos\\a.jpg\n\\\\server\\a.jpg\nback\\slash.jpg\nfile:///a%30.jpg\ncaf\xe9.jpg\n"
    )
    spaced, home, drive, server, slash, percent, bytes_ = everything(str(path))
    assert spaced.uri == str(tmp_path / "with space.jpg")
    assert home.uri == str(tmp_path / "~/home.jpg")
    assert drive.uri is None and "Windows path" in str(drive.fault)
    assert server.uri is None and "Windows path" in str(server.fault)
    assert slash.uri == str(tmp_path / "back\\slash.jpg")
    assert percent.uri == "file:///a%30.jpg"
    assert bytes_.uri == f"file://{tmp_path}/caf%E9.jpg"


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_half_of_a_surrogate_pair_costs_its_own_row_alone(tmp_path: Path, form: str) -> None:
    names = ["a.jpg", "\ud83d.jpg", "https://127.0.0.1:9/\udd83", "\udc80.jpg", "\U0001f600.jpg", "b.jpg"]
    rows = [json.dumps({"url": name, "caption": name}) for name in names]
    path = tmp_path / f"l.{form}"
    path.write_text(f"[{','.join(rows)}]" if form == "json" else "\n".join(rows))
    found = everything(str(path))
    wanted = [
        f"{tmp_path}/a.jpg",
        None,
        None,
        f"file://{tmp_path}/%80.jpg",
        f"{tmp_path}/\U0001f600.jpg",
        f"{tmp_path}/b.jpg",
    ]
    assert [entry.uri for entry in found] == wanted
    assert ["surrogate" in (entry.fault or "") for entry in found] == [False, True, True, False, False, False]


def test_steps_of_a_path_are_taken_in_a_store_too() -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/lake/lists/l.txt", b"a.jpg\n./b.jpg\n../c.jpg\n../../d//e.jpg\n")
    assert [entry.uri for entry in everything("memory://lake/lists/l.txt")] == [
        "memory://lake/lists/a.jpg",
        "memory://lake/lists/b.jpg",
        "memory://lake/c.jpg",
        "memory://lake/d//e.jpg",
    ]


@pytest.mark.parametrize("form", ["csv", "jsonl", "txt", "parquet"])
def test_an_image_in_a_data_uri_is_read_where_it_stands(form: str, tmp_path: Path) -> None:
    image = picture(1)
    uris = [f"data:image/jpeg;base64,{b64encode(image).decode()}", "data:text/plain,a%20b", "data:;base64,A"]
    path = tmp_path / f"l.{form}"
    if form == "parquet":
        pq.write_table(pa.table({"url": uris}), path)
    else:
        lines = [json.dumps({"url": uri}) for uri in uris] if form == "jsonl" else [f'"{uri}"' for uri in uris]
        path.write_text("\n".join({"csv": ["url", *lines], "txt": uris}.get(form, lines)))
    held, plain, broken = everything(str(path))
    assert (held.uri, held.text, held.data) == (str(path), "0", image)
    assert plain.data == b"a b"
    assert broken.data is None and "broken base64" in str(broken.fault)


def test_a_row_with_too_many_fields_is_no_place(tmp_path: Path) -> None:
    (tmp_path / "l.csv").write_text("url,caption\na,b.jpg,a caption\n")
    (entry,) = everything(str(tmp_path / "l.csv"))
    assert entry.uri is None and "3 fields and the listing 2 columns" in str(entry.fault)


def test_a_partitions_column_is_carried_from_the_path(tmp_path: Path) -> None:
    folder = tmp_path / "l.parquet" / "date=2026-11-01" / "set=a%20b"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"url": ["/x.jpg"]}), folder / "part-0.parquet")
    (entry,) = everything(str(folder / "part-0.parquet"), ("date", "set", "none"))
    assert entry.carried == {"date": "2026-11-01", "set": "a b", "none": None}


@pytest.mark.parametrize("form", ["txt", "csv", "jsonl", "parquet"])
def test_a_listing_of_shards_names_them_and_one_of_images_names_none(form: str, tmp_path: Path) -> None:
    names = [f"s/{number}.tar" for number in range(300)]
    for path, listed in ((tmp_path / f"s.{form}", names), (tmp_path / f"i.{form}", ["a.jpg", *names])):
        if form == "parquet":
            pq.write_table(pa.table({"path": listed}), path)
        else:
            lines = [json.dumps({"path": name}) for name in listed] if form == "jsonl" else listed
            path.write_text("\n".join(["path", *lines] if form == "csv" else lines))
    assert listing.shards(str(tmp_path / f"s.{form}")) == [str(tmp_path / name) for name in names]
    assert listing.shards(str(tmp_path / f"i.{form}")) is None


def test_a_listing_of_shards_and_other_things_is_refused_with_the_row(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("0.tar\n1.tar\na.jpg\n")
    with pytest.raises(SettingsError, match="in row 2 'a.jpg'"):
        listing.shards(str(tmp_path / "l.txt"))


IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def test_images_of_a_parquet_file_are_entries_with_their_bytes_or_their_place(tmp_path: Path) -> None:
    cells = [
        {"bytes": b"1", "path": "one.jpg"},
        {"bytes": b"2", "path": None},
        {"bytes": None, "path": "three.jpg"},
        None,
    ]
    pq.write_table(pa.table({"image": pa.array(cells, IMAGE), "label": [1, 2, 3, 4]}), tmp_path / "l.parquet")
    url = str(tmp_path / "l.parquet")
    one, two, three, none = everything(url, ("label",))
    assert (one.uri, one.text, one.data, one.carried) == (url, "one.jpg", b"1", {"label": "1"})
    assert (two.uri, two.text, two.data) == (url, "1", b"2")
    assert (three.uri, three.data) == (str(tmp_path / "three.jpg"), None)
    assert none.uri is None and "row 3 of" in str(none.fault)


def test_images_of_several_columns_and_of_lists_have_keys_of_their_own(tmp_path: Path) -> None:
    url = str(tmp_path / "l.parquet")
    cells = pa.array([[{"bytes": b"1", "path": None}, {"bytes": b"2", "path": None}], []], pa.list_(IMAGE))
    other = pa.array([{"bytes": b"3", "path": None}, {"bytes": b"4", "path": None}], IMAGE)
    pq.write_table(pa.table({"images": cells, "mask": other}), url)
    assert [entry.text for entry in everything(url)] == ["0.0.images", "0.1.images", "0.mask", "1.mask"]
    pq.write_table(pa.table({"images": pa.array([[], None], pa.list_(IMAGE))}), url)
    (nothing,) = everything(url)
    assert "rows 0 to 1" in str(nothing.fault) and "hold no image" in str(nothing.fault)


def test_a_slice_is_found_again_by_its_units_name(tmp_path: Path) -> None:
    url = write(tmp_path, "csv")
    for piece in slices(url):
        assert listing.slice_of(Name(url, "x", piece.rows), url) == piece
    assert listing.slice_of(Name(url, "x", (1, 2)), url) is None
    assert listing.bytes_of(url, next(slices(url))) > 1000


def test_a_blank_of_a_name_is_part_of_it_where_such_a_file_is_there(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.jpg ", " b.jpg"):
        (tmp_path / name).write_bytes(name.encode())
    (tmp_path / "l.csv").write_text("path,caption\na.jpg ,x\n b.jpg,x\n a.jpg,x\n")
    (tmp_path / "l.txt").write_text("a.jpg \r\n b.jpg\r\n a.jpg\r\n")
    for name in ("l.csv", "l.txt"):
        url = str(tmp_path / name)
        found = [entry.uri for piece in slices(url) for entry in entries(url, piece, ())]
        assert found == [f"{tmp_path}/a.jpg ", f"{tmp_path}/ b.jpg", f"{tmp_path}/a.jpg"]


@pytest.mark.parametrize("text", ["data:image/png;base64,!!!", "data:image/png;base64"])
def test_a_data_uri_that_is_broken_says_so(text: str, tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text(f"{text}\n")
    url = str(tmp_path / "l.txt")
    [entry] = [entry for piece in slices(url) for entry in entries(url, piece, ())]
    assert entry.uri is None and entry.data is None and "data URI" in str(entry.fault)

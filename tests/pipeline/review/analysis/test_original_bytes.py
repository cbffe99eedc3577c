"""Laws of originals: the bytes that were judged, or the reason why there are none."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.records import Status
from pipeline.review.analysis.original_bytes import (
    BATCH_BYTES,
    Reading,
    Unavailable,
    _batches,
    _readings,
    original,
    originals,
)
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.table.selection import MAX_READING_BYTES
from tests.pictures import picture
from tests.web import site

PICTURES = [picture(number) for number in range(3)]


def rows_of(source: Path) -> list[dict[str, Any]]:
    """Read a source as a scan does, and write down what its table would say."""
    found = pa.concat_tables(fetch(list(Source([str(source)]).units()), ReadOptions(1 << 20))).to_pylist()
    assert [row["data"] for row in found] == PICTURES
    return [row | {"content_hash": hashlib.sha256(row["data"]).digest()[:16]} for row in found]


def shard() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:
        for number, data in enumerate(PICTURES):
            member = tarfile.TarInfo(f"{number:03}.jpg")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file.getvalue()


def source(folder: Path, kind: str) -> Path:
    """Write the pictures as a source of some kind."""
    match kind:
        case "shard":
            (folder / "a.tar").write_bytes(shard())
            return folder / "a.tar"
        case "compressed":
            (folder / "a.tar.gz").write_bytes(gzip.compress(shard()))
            return folder / "a.tar.gz"
        case "column":
            images = pa.array([{"bytes": data, "path": f"{number}.jpg"} for number, data in enumerate(PICTURES)])
            pq.write_table(pa.table({"image": images}), folder / "a.parquet")
            return folder / "a.parquet"
    for number, data in enumerate(PICTURES):
        (folder / f"{number}.jpg").write_bytes(data)
    if kind == "folder":
        return folder
    pq.write_table(pa.table({"uri": [str(folder / f"{number}.jpg") for number in range(3)]}), folder / "a.parquet")
    return folder / "a.parquet"


@pytest.mark.parametrize("kind", ["shard", "compressed", "column", "folder", "listing"])
def test_every_kind_of_source_gives_its_images_again(tmp_path: Path, kind: str) -> None:
    rows = rows_of(source(tmp_path, kind))
    assert [found for _, found in originals(rows)] == PICTURES
    assert original(rows[1]) == PICTURES[1]


def test_near_images_of_a_shard_come_in_one_request(tmp_path: Path) -> None:
    rows = rows_of(source(tmp_path, "shard"))
    near = [{**row, "offset": 1000 * number, "length": 900} for number, row in enumerate(rows)]
    assert [len(reading.rows) for reading in _readings(near)] == [3]
    assert [len(reading.rows) for reading in _readings(near[::2])] == [1, 1]
    assert [len(reading.rows) for reading in _readings([near[0], {**near[1], "length": MAX_READING_BYTES}])] == [1, 1]
    assert [
        len(together) for together in _batches(Reading([{**near[0], "length": BATCH_BYTES // 2}]) for _ in range(5))
    ] == [2, 2, 1]


def test_a_shard_whose_end_is_gone_gives_what_is_left(tmp_path: Path) -> None:
    rows = rows_of(source(tmp_path, "shard"))
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[: rows[2]["offset"] + 10])
    first, second, third = (found for _, found in originals(rows))
    assert [first, second] == PICTURES[:2]
    assert isinstance(third, Unavailable)


def test_rows_are_taken_as_they_are_needed(tmp_path: Path) -> None:
    rows = rows_of(source(tmp_path, "folder"))
    taken: list[int] = []

    def endless() -> Iterator[dict[str, Any]]:
        for number in range(10_000):
            taken.append(number)
            yield rows[number % 3]

    assert next(originals(endless()))[1] == PICTURES[0]
    assert len(taken) < 100


def test_a_fault_without_bytes_of_its_own_costs_no_reading(tmp_path: Path) -> None:
    rows = rows_of(source(tmp_path, "shard"))
    none = {**rows[1], "offset": None, "length": None, "content_hash": None, "status": "unsupported", "detail": "text"}
    assert [len(reading.rows) for reading in _readings([rows[0], none, rows[2]])] == [1, 1, 1]
    (_, first), (_, second), (_, third) = originals([rows[0], none, rows[2]])
    assert (first, third) == (PICTURES[0], PICTURES[2]) and second == Unavailable(Status.UNSUPPORTED, "text")


def test_an_image_that_a_compressed_shard_has_not_is_missing_at_its_place(tmp_path: Path) -> None:
    rows = rows_of(source(tmp_path, "compressed"))
    asked = [rows[0], rows[1], {**rows[1], "index": 7}]
    assert [isinstance(found, Unavailable) for _, found in originals(asked)] == [False, False, True]
    assert [row["index"] for row, _ in originals(list(reversed(rows)))] == [0, 1, 2]


def test_other_bytes_are_not_shown_as_the_ones_that_were_judged(tmp_path: Path) -> None:
    rows = rows_of(source(tmp_path, "folder"))
    (tmp_path / "1.jpg").write_bytes(picture(9))
    (tmp_path / "2.jpg").unlink()
    first, second, third = (found for _, found in originals(rows))
    assert first == PICTURES[0]
    assert isinstance(second, Unavailable) and second.status is Status.MISSING and "content of" in second.detail
    assert isinstance(third, Unavailable) and third.status is Status.MISSING


def test_the_original_of_a_listing_elsewhere_lies_where_its_listing_may_lead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.jpg").write_bytes(PICTURES[0])
    with site({"/x.jpg": lambda request: request.whole(PICTURES[1])}) as inner:
        for uri in (f"{inner.url}/x.jpg", str(tmp_path / "own.jpg")):
            row = {"unit": "http://10.0.0.5/list.txt#1:0-1", "index": 0, "uri": uri, "offset": None, "length": None}
            row |= {"content_hash": None, "status": "ok"}
            found = original(row)
            assert isinstance(found, Unavailable) and found.status is Status.FORBIDDEN
            assert original(row | {"unit": f"{tmp_path}/list.txt#1:0-1"}) in PICTURES
        assert len(inner.asked) == 1
        monkeypatch.setenv("MOLE_TRUST_LISTINGS", "all")
        assert original(row) == PICTURES[0]

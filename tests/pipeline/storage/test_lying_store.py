"""A store that lies is asked again: an error page with status 200, cut answers, resets, refusals; nothing false is a row."""

import pytest

from pipeline.scan.reading.image import ReadOptions, read_image
from pipeline.scan.reading.source import Source
from pipeline.storage import bucket, storage, stream
from tests.pipeline.storage.conftest import OBJECTS

WANTED = ReadOptions(max_bytes=1 << 20)


def test_no_page_of_a_listing_is_lost_and_no_image_is_taken_for_another(lie: str) -> None:
    units = list(Source(["s3://lake/photos/"]).units())
    assert [unit.key for unit in units] == [key.removeprefix("photos/") for key in sorted(OBJECTS)]
    for unit in units:
        row = read_image(unit.uri, unit.key, WANTED, {})
        assert (row["status"], row["data"]) == (None, OBJECTS[f"photos/{unit.key}"])
    names = storage.list_files("s3://lake/photos", ".jpg")
    assert names == [f"s3://lake/{key}" for key in sorted(OBJECTS)]


def test_a_stream_and_a_range_have_the_objects_bytes(lie: str) -> None:
    with stream.open_stream("s3://lake/photos/3.jpg") as shard:
        assert shard.read() == OBJECTS["photos/3.jpg"]
    assert storage.read_range("s3://lake/photos/4.jpg", 10, 20) == OBJECTS["photos/4.jpg"][10:20]
    if lie != "cut":  # a whole object that says it is shorter contradicts nothing
        assert storage.read("s3://lake/photos/5.jpg") == OBJECTS["photos/5.jpg"]


def test_what_was_written_is_there(lie: str) -> None:
    storage.write("s3://lake/new/a", b"0123456789")
    storage.create("s3://lake/new/b", b"abcdefghij")
    assert storage.read_range("s3://lake/new/a", 0, 10) == b"0123456789"
    assert storage.read_range("s3://lake/new/b", 0, 10) == b"abcdefghij"
    assert not storage.create("s3://lake/new/b", b"another")
    assert storage.read_range("s3://lake/new/b", 5, 10) == b"fghij"


def test_what_exists_and_what_does_not_is_told_apart(lie: str) -> None:
    fs, path = storage.filesystem("s3://lake/table/1.parquet")
    assert fs.exists(path) and not fs.exists("lake/table/2.parquet") and fs.exists("lake/table")
    assert storage.read_range("s3://lake/photos/1.jpg", 0, 9) == OBJECTS["photos/1.jpg"][:9]
    assert storage.exists("s3://lake/photos/1.jpg") and not storage.exists("s3://lake/photos/9.jpg")


@pytest.mark.parametrize(
    ("told", "data"),
    [
        ("bytes 0-9/100", b"0123456789"),  # what was asked for
        ("", b"0123456789" * 3),  # a server that ignores ranges
    ],
)
def test_a_range_that_is_what_was_asked_for_is_taken(told: str, data: bytes) -> None:
    assert bucket.within((0, 10), data, told) == b"0123456789"


@pytest.mark.parametrize(
    "told", ["bytes 0-8/100", "bytes 1-10/100", "bytes 0-9/9", "bytes 0-19/100", "items 0-9/100", "bytes 0-4/5"]
)
def test_another_range_than_was_asked_for_is_refused(told: str) -> None:
    with pytest.raises(OSError, match="range|received"):
        bucket.within((0, 10), b"0123456789", told)

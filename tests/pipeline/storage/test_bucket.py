"""A key is a key to the letter: each is listed, is a row, and is read again by the very name that the row has."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from mole.errors import SettingsError, StorageError
from pipeline.scan.reading.image import ReadOptions, read_image
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit_lookup import current_name
from pipeline.storage import storage
from pipeline.storage.folder import walk
from pipeline.storage.s3_file_system import S3Files
from tests.letters import letters
from tests.stores import REGION, WRITER

KEYS = [
    *("crawl/one.jpg", "crawl//two.jpg", "crawl/site//three.jpg", "crawl/site/four.jpg", "crawl///deep///five.jpg"),
    *("/six.jpg", "//seven.jpg", "crawl/eight.jpg/", "crawl/../nine.jpg", "crawl/./ten.jpg"),
    *("crawl/a?b.jpg", "crawl/a#b.jpg", "crawl/a%20b.jpg", "crawl/a+b c.jpg", "crawl/*.jpg", "crawl/[x].jpg"),
    *(
        "crawl/{a,b}.jpg",
        "crawl/x?versionId=1.jpg",
        "crawl/a::b.jpg",
        "crawl/é.jpg",
        "crawl/n\nl.jpg",
        "crawl/q'\"&<>.jpg",
    ),
]
OBJECTS = {key: key.encode() * 3 for key in KEYS}
WANTED = ReadOptions(max_bytes=1 << 20)

Serve = Callable[..., list[str]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Run a store of some objects, and let the client find it."""
    with ExitStack() as stack:

        def run(objects: dict[str, bytes], **how: object) -> list[str]:
            port, asked = stack.enter_context(letters(objects, **how))  # type: ignore[arg-type]
            for name, value in ({"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}"} | WRITER | REGION).items():
                monkeypatch.setenv(name, value)
            S3Files.clear_instance_cache()
            return asked

        yield run
    monkeypatch.undo()
    S3Files.clear_instance_cache()


def test_every_key_is_a_row_and_is_read_again_by_its_name(serve: Serve) -> None:
    serve(OBJECTS | {"crawl/": b"", "crawl/site/": b""}, page=2)
    units = list(Source(["s3://lake"]).units())
    assert sorted(unit.uri for unit in units) == sorted(f"s3://lake/{key}" for key in KEYS)
    for unit in units:
        row = read_image(unit.uri, unit.key, WANTED, {})
        assert (row["uri"], row["data"]) == (unit.uri, OBJECTS[unit.key])
        assert storage.read_range(unit.uri, 1, 4) == OBJECTS[unit.key][1:4]
        assert current_name(unit.uri) == unit.name


def test_a_prefix_is_taken_to_the_letter(serve: Serve) -> None:
    serve(OBJECTS | {"crawl/site/": b""})
    for url, keys in {
        "s3://lake/crawl/site/": ["crawl/site//three.jpg", "crawl/site/four.jpg"],
        "s3://lake//": ["/six.jpg", "//seven.jpg"],
        "s3://lake/crawl//": ["crawl//two.jpg", "crawl///deep///five.jpg"],
        "s3a://lake/crawl/site": ["crawl/site//three.jpg", "crawl/site/four.jpg"],
    }.items():
        assert sorted(unit.uri for unit in Source([url]).units()) == sorted(f"s3://lake/{key}" for key in keys)


def test_a_key_that_is_named_alone_is_that_object(serve: Serve) -> None:
    serve(OBJECTS)
    for key in KEYS:
        if not key.endswith("/"):
            assert [unit.uri for unit in Source([f"s3://lake/{key}"]).units()] == [f"s3://lake/{key}"]


def test_an_image_is_one_request_and_an_empty_one_is_empty(serve: Serve) -> None:
    asked = serve({"a.jpg": b"a", "empty.jpg": b""})
    assert read_image("s3://lake/a.jpg", "a", WANTED, {})["data"] == b"a"
    assert asked == ["GET a.jpg"]
    empty = read_image("s3://lake/empty.jpg", "empty", WANTED, {})
    assert (empty["status"], empty["bytes"]) == (None, 0)


def test_a_store_that_is_not_there_or_forbidden_says_so_and_who_must_act(serve: Serve) -> None:
    serve(OBJECTS, forbidden="crawl/site")
    with pytest.raises(SettingsError, match="bucket does not exist|NoSuchBucket"):
        list(Source(["s3://nowhere/crawl"]).units())
    with pytest.raises(
        SettingsError, match="not allowed to read.*the store's owner must grant these credentials access"
    ):
        list(Source(["s3://lake/crawl/site/four.jpg"]).units())
    with pytest.raises(StorageError, match="cannot list 's3://lake/crawl/site/': not allowed"):
        list(Source(["s3://lake/crawl"]).units())
    with pytest.raises(StorageError, match="cannot list"):
        list(walk("s3://lake/crawl"))

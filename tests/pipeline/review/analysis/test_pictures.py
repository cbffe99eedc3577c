"""Laws of the pictures of a page: each image has one or a reason, and nothing is read without bound."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from pipeline.images.thumbnail import MAX_BYTES
from pipeline.review.analysis import pictures as module
from pipeline.review.analysis.pictures import FILE_GONE, pictures
from pipeline.scan.table.views import ask
from tests.pictures import picture, write_shard
from tests.verdicts import verdicts_of


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an image, and a shard with two."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "alone.jpg").write_bytes(picture(1))
    write_shard(folder / "shard.tar", {"a.jpg": picture(2), "b.jpg": picture(3)})
    return folder


@pytest.fixture
def rows(sources: Path, tmp_path: Path) -> list[dict[str, Any]]:
    table = verdicts_of(sources / "alone.jpg", sources / "shard.tar", table=tmp_path)
    told: list[dict[str, Any]] = ask(str(table), 'FROM evidence ORDER BY unit, "index"').to_pylist()
    return [row | {"content_hash": None} for row in told]


@contextmanager
def listening() -> Iterator[int]:
    """Listen on a port and never answer."""
    with closing(socket.socket()) as door:
        door.bind(("127.0.0.1", 0))
        door.listen()
        yield int(door.getsockname()[1])


def test_files_and_members_of_archives_have_pictures(rows: list[dict[str, Any]]) -> None:
    made = pictures([*rows, rows[0]])
    assert len(made) == 3 and all(one.data and not one.why for one in made.values())


def test_an_image_that_is_gone_says_so(rows: list[dict[str, Any]]) -> None:
    gone = rows[0] | {"uri": "/nowhere/at/all.jpg", "unit": "/nowhere/at/all.jpg#1"}
    made = pictures([gone, rows[1], rows[2] | {"uri": None, "unit": "#1", "offset": None, "length": None}])
    assert made["/nowhere/at/all.jpg#1", gone["index"]].why == FILE_GONE
    assert made["#1", rows[2]["index"]].why == "not shown: missing, its source named no place"
    assert made[rows[1]["unit"], rows[1]["index"]].data


def test_what_is_too_large_is_not_even_read(rows: list[dict[str, Any]]) -> None:
    [large] = pictures([rows[0] | {"uri": "/nowhere", "bytes": MAX_BYTES + 1, "length": None}]).values()
    [wide] = pictures([rows[0] | {"uri": "/nowhere", "width": 10**5, "height": 10**5}]).values()
    assert "bytes, over the bound" in large.why and "pixels, over the bound" in wide.why


def test_a_store_that_hangs_costs_its_own_images_and_no_more(
    rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "UNIT_SECONDS", 1.0)
    with listening() as port:
        silent = rows[0] | {"uri": f"http://127.0.0.1:{port}/never.jpg", "unit": "a#1"}
        made = pictures([silent, *rows])
    assert made["a#1", silent["index"]].why == "not shown: reading it for this page took too long"
    assert sum(bool(one.data) for one in made.values()) == 3


def test_all_of_them_together_have_a_bound(rows: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_TOTAL_BYTES", 1)
    made = pictures(rows)
    assert sum(bool(one.data) for one in made.values()) == 1
    assert {one.why for one in made.values()} == {"", "not shown: reading it for this page took too long"}

"""Every image of a unit comes once, numbered, the last one marked; what cannot be read comes with its reason."""

import http.server
import os
import signal
import threading
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from mole.errors import StorageError
from pipeline.records import CARRIED, FETCHED, with_carried
from pipeline.scan.reading import fetch as fetch_module
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import Row, Wanted
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Unit
from tests.pipeline.scan.reading.test_archive import tar

WANTED = Wanted(max_bytes=1000)


def rows(source: str, wanted: Wanted = WANTED) -> list[dict[str, object]]:
    """Fetch everything that a source names."""
    tables = list(fetch(list(Source([source]).units()), wanted))
    assert all(table.schema.equals(with_carried(FETCHED, wanted.carry)) for table in tables)
    return [row for table in tables for row in table.to_pylist()]


def places(found: list[dict[str, object]]) -> list[tuple[object, ...]]:
    """Keep what tells a row's place and fault."""
    return [(row["index"], row["last"], row["key"], row["status"]) for row in found]


@pytest.fixture
def shard(tmp_path: Path) -> Path:
    """A shard with an image, a sample without one, one that is too large, and an empty one."""
    path = tmp_path / "s.tar"
    path.write_bytes(
        tar({"1.jpg": b"one", "1.json": b'{"url": "u"}', "2.txt": b"none", "3.png": b"x" * 1001, "4.jpg": b""})
    )
    return path


def test_every_sample_is_a_row_and_the_last_one_says_so(shard: Path) -> None:
    found = rows(str(shard))
    assert places(found) == [
        (0, False, "1", None),
        (1, False, "2", "unsupported"),
        (2, False, "3", "too_large"),
        (3, True, "4", None),
    ]
    assert [row["bytes"] for row in found] == [3, None, 1001, 0]
    assert "1,001 bytes, over the bound of 1,000" in str(found[2]["detail"])


def test_the_byte_range_reads_the_image_alone(shard: Path) -> None:
    (first, *_) = rows(str(shard))
    offset, length = first["offset"], first["length"]
    assert isinstance(offset, int) and isinstance(length, int)
    assert shard.read_bytes()[offset : offset + length] == b"one" == first["data"]


def test_carried_columns_travel_beside_the_row(shard: Path) -> None:
    found = rows(str(shard), Wanted(max_bytes=1000, carry=("url",)))
    assert [row[CARRIED] for row in found] == [{"url": "u"}, *[{"url": None}] * 3]


def test_what_has_its_row_already_is_not_fetched_again(shard: Path) -> None:
    (unit,) = Source([str(shard)]).units()
    (table,) = fetch([unit.without(((0, 1), (2, 3)))], WANTED)
    assert table["index"].to_pylist() == [1, 3]


def test_a_torn_shard_keeps_its_sound_samples_and_one_row_says_where_it_tore(tmp_path: Path) -> None:
    data = tar({"1.jpg": b"a" * 600, "2.json": b"{}", "2.jpg": b"b" * 600, "3.jpg": b"c"})
    path = tmp_path / "t.tar"
    path.write_bytes(data[: data.index(b"b" * 600) + 100])
    found = rows(str(path))
    assert places(found) == [(0, False, "1", None), (1, True, "2", "torn_archive")]
    assert "2.jpg" in str(found[1]["detail"]) and "100 of 600 bytes" in str(found[1]["detail"])


def test_an_empty_shard_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "e.tar").write_bytes(tar({}))
    assert places(rows(str(tmp_path / "e.tar"))) == [(0, True, None, "empty")]


def test_a_missing_shard_is_one_row(tmp_path: Path) -> None:
    (tmp_path / "0.tar").write_bytes(tar({"1.jpg": b"1"}))
    assert places(rows(f"{tmp_path}/{{0..1}}.tar")) == [(0, True, "1", None), (0, True, "1.tar", "missing")]


def test_every_entry_of_a_listing_is_a_row(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    (tmp_path / "folder.jpg").mkdir()
    listed = ["a.jpg", "gone.jpg", "folder.jpg", "foo://bar/x.jpg", "bad\0name.jpg"]
    (tmp_path / "l.txt").write_text("\n".join(listed))
    found = rows(str(tmp_path / "l.txt"))
    assert [row["key"] for row in found] == listed
    assert [row["status"] for row in found] == [None, "missing", "missing", "missing", "missing"]
    assert [row["last"] for row in found] == [False] * 4 + [True]


def test_a_file_that_vanished_since_it_was_planned_is_missing(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"a")
    units = list(Source([str(tmp_path)]).units())
    (tmp_path / "a.jpg").unlink()
    (table,) = fetch(units, WANTED)
    assert table["status"].to_pylist() == ["missing"]


def test_a_shard_that_vanishes_while_it_is_read_ends_the_run(shard: Path) -> None:
    units: list[Unit] = list(Source([str(shard)]).units())
    shard.unlink()
    with pytest.raises(StorageError, match="s.tar stopped answering"):
        list(fetch(units, WANTED))


def test_blocks_stay_small(tmp_path: Path) -> None:
    (tmp_path / "many.tar").write_bytes(tar({f"{number:04}.jpg": b"x" for number in range(100)}))
    tables = list(fetch(list(Source([str(tmp_path / "many.tar")]).units()), WANTED))
    assert len(tables) > 1
    assert pa.concat_tables(tables)["index"].to_pylist() == list(range(100))


class Odd(http.server.BaseHTTPRequestHandler):
    """A web server whose answers are the numbers in the path."""

    def do_GET(self) -> None:
        """Answer with the status that is asked for."""
        code = int(self.path.strip("/").split(".")[0])
        body = b"image" if code == 200 else b"no"
        self.send_response(code)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body)

    do_HEAD = do_GET

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
        """Stay quiet."""


@pytest.fixture
def web() -> Iterator[str]:
    """A web server on loopback."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Odd) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_what_a_web_server_answers_is_the_rows_status(web: str, tmp_path: Path) -> None:
    codes = [200, 404, 403, 410, 500]
    listed = [f"{web}/{code}.jpg" for code in codes] + ["http://127.0.0.1:9/x.jpg"]
    (tmp_path / "l.txt").write_text("\n".join(listed))
    found = rows(str(tmp_path / "l.txt"))
    assert [row["uri"] for row in found] == listed
    assert [row["status"] for row in found] == [None, "missing", "forbidden", "missing", "unreachable", "unreachable"]
    assert found[0]["data"] == b"image"


def test_a_memory_store_is_read_like_another() -> None:
    fsspec.filesystem("memory").pipe_file("/fetch/a.tar", tar({"1.jpg": b"1"}))
    assert places(rows("memory://fetch/a.tar")) == [(0, True, "1", None)]


def dies(unit: Unit, wanted: Wanted) -> Iterator[int]:
    """Read a unit, and end the process that reads it behind its second row."""
    for row in fetch_module.read_unit(unit, wanted):
        yield row["index"]
        if row["index"] == 1:
            os.kill(os.getpid(), signal.SIGSEGV)


def test_a_unit_that_kills_its_reader_keeps_the_rows_before_and_one_that_says_so(
    shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [unit] = Source([str(shard)]).units()
    whole = list(fetch_module.read_unit(unit, WANTED))
    assert list(fetch_module.read_suspected(unit, WANTED)) == whole
    monkeypatch.setattr(fetch_module, "_counted", dies)
    rows = list(fetch_module.read_suspected(unit, WANTED))
    assert rows[:2] == whole[:2] and len(rows) == 3
    assert places(rows)[2] == (2, True, None, "crashed") and "SIGSEGV" in rows[2]["detail"]


def test_a_reader_that_fails_as_nobody_foresaw_ends_its_own_unit_alone(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(unit: Unit, wanted: Wanted) -> Iterator[Row]:
        yield from islice(shards_of(unit, wanted), 2)
        raise LookupError("no such thing")

    shards_of = fetch_module._shard
    (tmp_path / "a.jpg").write_bytes(b"one")
    monkeypatch.setattr(fetch_module, "_shard", fails)
    units = [*Source([str(shard)]).units(), *Source([str(tmp_path / "a.jpg")]).units()]
    found = [row for table in fetch(units, WANTED) for row in table.to_pylist()]
    assert [row["status"] for row in found] == [None, "unsupported", "crashed", None]
    assert found[2]["last"] and found[2]["detail"] == "reading failed: LookupError: no such thing"

"""Fetch: every image of a unit once, numbered, the last one marked; a row that cannot be read has its reason."""

import bz2
import gzip
import http.server
import lzma
import os
import random
import signal
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import StorageError
from pipeline.records import CARRIED, FETCHED, with_carried
from pipeline.scan.reading import fetch as fetch_module
from pipeline.scan.reading import link_targets as linked_module
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions, Row, read_image
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit import Unit
from pipeline.storage.access_policy import Trust
from tests.pipeline.scan.reading.test_archive import entry, tar
from tests.web import Request, site

WANTED = ReadOptions(max_bytes=1000)


def rows(source: str, wanted: ReadOptions = WANTED) -> list[dict[str, object]]:
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
    found = rows(str(shard), ReadOptions(max_bytes=1000, carry=("url",)))
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


def read(folder: Path, data: bytes, name: str = "s.tar", wanted: ReadOptions = WANTED) -> list[dict[str, Any]]:
    """Fetch a shard of these bytes."""
    (folder / name).write_bytes(data)
    return rows(str(folder / name), wanted)


def test_each_image_of_a_sample_is_a_row_with_the_samples_metadata(tmp_path: Path) -> None:
    data = tar({"s0.left.png": b"l", "s0.right.png": b"r", "s0.json": b'{"url": "u"}', "s1.jpg": b"1"})
    found = read(tmp_path, data, wanted=ReadOptions(1000, carry=("url",)))
    assert [(row["index"], row["key"], row["data"], row[CARRIED]["url"]) for row in found] == [
        (0, "s0.left.png", b"l", "u"),
        (1, "s0.right.png", b"r", "u"),
        (2, "s1", b"1", None),
    ]
    for row in found:
        assert data[row["offset"] : row["offset"] + row["length"]] == row["data"]
    (unit,) = Source([str(tmp_path / "s.tar")]).units()
    (rest,) = fetch([unit.without(((0, 1), (2, 3)))], WANTED)
    assert rest["key"].to_pylist() == ["s0.right.png"]


def test_the_unit_is_another_one_where_a_member_is_named(tmp_path: Path) -> None:
    (tmp_path / "s.tar").write_bytes(tar({"s0.left.png": b"l", "s0.right.png": b"r"}))
    whole, named = (
        list(Source([str(tmp_path / "s.tar")], image_member=member).units()) for member in (None, "right.png")
    )
    assert named[0].name == f"{whole[0].name}:member=right.png"
    (table,) = fetch(named, ReadOptions(1000, image_member="right.png"))
    assert (table["key"].to_pylist(), table["data"].to_pylist()) == (["s0"], [b"r"])


def linked(body: bytes) -> bytes:
    """Write an archive with a hard link behind many members, and one that points to nothing."""
    far = b"".join(entry(f"{number}.png", body=bytes([number]) * 900) for number in range(9))
    links = entry("copy.jpg", tarfile.LNKTYPE, link="first.jpg") + entry("lost.jpg", tarfile.LNKTYPE, link="gone.jpg")
    return entry("first.jpg", body=body) + far + links + bytes(1024)


@pytest.mark.parametrize("kept", [0, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_a_hard_link_is_its_targets_image_or_says_why_not(
    packed: bool, kept: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(linked_module, "MAX_BYTES", kept)
    data = linked(b"image")
    first, *_, copy, lost = read(tmp_path, gzip.compress(data) if packed else data)
    assert (copy["offset"], copy["length"], copy["key"]) == (first["offset"], first["length"], "copy")
    if packed and not kept:
        assert (copy["data"], copy["status"]) == (None, "unsupported")
        assert "too far before it in a shard compressed by gzip" in copy["detail"]
    else:
        assert (copy["data"], copy["status"], copy["bytes"]) == (b"image", None, 5)
    assert (lost["status"], lost["bytes"], lost["offset"]) == ("unsupported", None, None)
    assert "a link to gone.jpg and holds no bytes" in lost["detail"]


def test_a_shard_of_clutter_alone_is_empty_and_says_what_was_passed_over(tmp_path: Path) -> None:
    data = entry("d/", tarfile.DIRTYPE) + entry("d/fifo.jpg", tarfile.FIFOTYPE) + entry("d/._a.jpg", body=b"\0\5\x16\7")
    (row,) = read(tmp_path, data + bytes(1024))
    assert row["status"] == "empty"
    assert "directory (1), pipe (1), system file (1)" in row["detail"]


def test_names_that_are_no_utf_8_and_names_of_elsewhere_are_only_names(tmp_path: Path) -> None:
    data = (
        entry("a\udcff.jpg", body=b"1") + entry("/etc/b.jpg", body=b"2") + entry("../../c.jpg", body=b"3") + bytes(1024)
    )
    assert [row["key"] for row in read(tmp_path, data)] == ["a\\xff", "/etc/b", "../../c"]


@pytest.mark.parametrize("form", ["bz2", "gz", "xz"])
def test_a_damaged_shard_is_its_own_affair(form: str, tmp_path: Path) -> None:
    packs: dict[str, Callable[[bytes], bytes]] = {"bz2": bz2.compress, "gz": gzip.compress, "xz": lzma.compress}
    for number in range(3):
        data = bytearray(
            packs[form](tar({f"{number}{name}.jpg": random.Random(name).randbytes(900) for name in range(20)}))
        )
        if number == 1:
            data[len(data) // 2] ^= 0xFF
            data[len(data) // 2 + 1] ^= 0xFF
        (tmp_path / f"{number}.tar.{form}").write_bytes(data)
    found = rows(f"{tmp_path}/*.tar.{form}")
    sound = [row for row in found if not str(row["uri"]).endswith(f"1.tar.{form}")]
    assert len(sound) == 40 and {row["status"] for row in sound} == {None}
    assert [row["status"] for row in found if row["last"]] == [None, "torn_archive", None]


def test_a_shard_in_a_listing_of_images_says_so_in_its_row(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_text("a.jpg\n0.tar\n")
    assert [row["status"] for row in rows(str(tmp_path / "l.txt"))] == ["missing", "unsupported"]


def test_each_shard_of_a_listing_of_shards_is_a_unit(tmp_path: Path) -> None:
    for number in range(2):
        (tmp_path / f"{number}.tar").write_bytes(tar({"1.jpg": b"1", "2.jpg": b"2"}))
    (tmp_path / "l.csv").write_text("path\n0.tar\n1.tar\n2.tar\n")
    found = rows(str(tmp_path / "l.csv"))
    assert [(str(row["uri"]).rpartition("/")[2], row["index"], row["status"]) for row in found] == [
        *(("0.tar", 0, None), ("0.tar", 1, None), ("1.tar", 0, None), ("1.tar", 1, None), ("2.tar", 0, "missing"))
    ]


def embedded(path: Path, *, rows: int = 30, group: int = 10) -> str:
    """Write images into a Parquet file as Hugging Face does, one of them null."""
    cells = [{"bytes": b"image %d" % number, "path": None} for number in range(rows)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table({"image": pa.array([*cells, None], kind), "label": list(range(rows + 1))})
    path.parent.mkdir(exist_ok=True)
    pq.write_table(table, path, row_group_size=group, write_page_checksum=True)
    return str(path)


def test_images_of_a_parquet_file_are_rows_in_their_place(tmp_path: Path) -> None:
    url = embedded(tmp_path / "l.parquet")
    found = rows(url, ReadOptions(1000, carry=("label",)))
    assert [row["data"] for row in found] == [*(b"image %d" % number for number in range(30)), None]
    assert {row["uri"] for row in found} == {url}
    assert [(row["key"], row[CARRIED]) for row in found] == [(str(n), {"label": str(n)}) for n in range(31)]
    assert found[-1]["status"] == "missing" and "row 30" in str(found[-1]["detail"])
    assert [unit.images for unit in Source([url]).units()] == [10, 10, 10, 1]


def test_a_damaged_page_is_told_as_the_files_for_its_own_rows_alone(tmp_path: Path) -> None:
    url = embedded(tmp_path / "l.parquet")
    at = pq.read_metadata(url).row_group(1).column(0).data_page_offset + 60
    data = bytearray(Path(url).read_bytes())
    data[at : at + 8] = bytes(8)
    Path(url).write_bytes(data)
    found = rows(url)
    assert [row["status"] for row in found] == [*[None] * 10, *["torn_archive"] * 10, *[None] * 10, "missing"]
    assert all("l.parquet is damaged" in str(row["detail"]) for row in found[10:20])
    assert [row["index"] for row in found] == [*range(10), *range(10), *range(10), 0]


def test_a_folder_of_parquet_files_with_images_and_a_glob_of_them_are_read(tmp_path: Path) -> None:
    for number in range(3):
        embedded(tmp_path / "data" / f"train-{number}.parquet", rows=4)
    (tmp_path / "data" / "train-1.parquet").write_bytes(b"PAR1 and nothing more")
    (tmp_path / "README.md").write_text("a data set")
    for source in (str(tmp_path), f"{tmp_path}/data/train-*.parquet"):
        found = rows(source)
        assert [row["status"] for row in found] == [*[None] * 4, "missing", "torn_archive", *[None] * 4, "missing"]


def test_what_spark_writes_is_one_listing(tmp_path: Path) -> None:
    folder = tmp_path / "list.parquet"
    for number in range(2):
        part = folder / f"date={number}"
        part.mkdir(parents=True)
        pq.write_table(pa.table({"url": [str(tmp_path / f"{number}.jpg")]}), part / "part-0.snappy.parquet")
        (tmp_path / f"{number}.jpg").write_bytes(b"%d" % number)
    (folder / "_SUCCESS").touch()
    found = rows(str(folder), ReadOptions(1000, carry=("date",)))
    assert [(row["data"], row[CARRIED]) for row in found] == [(b"0", {"date": "0"}), (b"1", {"date": "1"})]


def test_an_embedded_image_above_the_bound_is_too_large(tmp_path: Path) -> None:
    pq.write_table(pa.table({"jpg": [b"\xff\xd8\xff" + bytes(2000)]}), tmp_path / "l.parquet")
    (row,) = rows(str(tmp_path / "l.parquet"))
    assert (row["status"], row["bytes"], row["data"]) == ("too_large", 2003, None)


def test_bytes_of_another_coding_reach_the_table_as_text(tmp_path: Path) -> None:
    name = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(name)).write_bytes(b"1")
    (tmp_path / "l.csv").write_bytes(b"url,caption\ncaf\xe9.jpg,d\xe9j\xe0\n")
    (row,) = rows(str(tmp_path / "l.csv"), ReadOptions(1000, carry=("caption",)))
    assert (row["key"], row[CARRIED]) == ("caf\\xe9.jpg", {"caption": "d\\xe9j\\xe0"})
    assert str(row["uri"]).endswith(f"{tmp_path}/caf%E9.jpg")


def dies(unit: Unit, wanted: ReadOptions) -> Iterator[int]:
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
    monkeypatch.setattr(fetch_module, "_indices", dies)
    rows = list(fetch_module.read_suspected(unit, WANTED))
    assert rows[:2] == whole[:2] and len(rows) == 3
    assert places(rows)[2] == (2, True, None, "crashed") and "SIGSEGV" in rows[2]["detail"]


def test_a_reader_that_fails_as_nobody_foresaw_ends_its_own_unit_alone(
    shard: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(unit: Unit, wanted: ReadOptions) -> Iterator[Row]:
        yield from islice(shards_of(unit, wanted), 2)
        raise LookupError("no such thing")

    shards_of = fetch_module._shard
    (tmp_path / "a.jpg").write_bytes(b"one")
    monkeypatch.setattr(fetch_module, "_shard", fails)
    units = [*Source([str(shard)]).units(), *Source([str(tmp_path / "a.jpg")]).units()]
    found = [row for table in fetch(units, WANTED) for row in table.to_pylist()]
    assert [row["status"] for row in found] == [None, "unsupported", "crashed", None]
    assert found[2]["last"] and found[2]["detail"] == "reading failed: LookupError: no such thing"


def test_a_listing_elsewhere_reaches_only_what_is_public_or_its_own(tmp_path: Path) -> None:
    (tmp_path / "own.jpg").write_bytes(b"secret")
    with site({"/x.jpg": lambda request: request.whole(b"secret")}) as inner, site({}) as outer:
        port = inner.url.rpartition(":")[2]
        named = [
            *("a.jpg", f"{outer.url}/a.jpg", f"{inner.url}/x.jpg", f"http://localhost:{port}/x.jpg"),
            *(f"http://[::ffff:127.0.0.1]:{port}/x.jpg", "http://169.254.169.254/latest/meta-data/x.jpg"),
            *(f"{outer.url}/away.jpg", str(tmp_path / "own.jpg"), f"file://{tmp_path}/own.jpg", "../../etc/passwd"),
        ]
        outer.routes["/a.jpg"] = lambda request: request.whole(b"public")
        outer.routes["/away.jpg"] = lambda request: request.send(
            "HTTP/1.1 302 x", f"Location: {inner.url}/x.jpg", "Content-Length: 0"
        )
        outer.routes["/list.txt"] = lambda request: request.ranged("\n".join(named).encode())
        found = rows(f"{outer.url}/list.txt")
        assert [row["data"] for row in found] == [b"public", b"public", *[None] * 8]
        assert [row["status"] for row in found] == [None, None, *["forbidden"] * 7, "missing"]
        assert all(str(row["detail"]).startswith("refused: a listing that lies elsewhere") for row in found[2:-1])
        assert inner.asked == []
        trusting = replace(WANTED, trusted=Trust.ALL)
        read_ = [row["data"] for row in rows(f"{outer.url}/list.txt", trusting)]
        assert read_ == [*[b"public"] * 2, *[b"secret"] * 3, None, *[b"secret"] * 3, None]


def test_a_listing_of_this_machine_names_any_place_unless_no_listing_is_trusted(tmp_path: Path) -> None:
    (tmp_path / "own.jpg").write_bytes(b"own")
    with site({"/x.jpg": lambda request: request.whole(b"x")}) as inner:
        (tmp_path / "l.txt").write_text(f"own.jpg\n{inner.url}/x.jpg\n")
        assert [row["data"] for row in rows(str(tmp_path / "l.txt"))] == [b"own", b"x"]
        found = rows(str(tmp_path / "l.txt"), replace(WANTED, trusted=Trust.NONE))
        assert [row["status"] for row in found] == ["forbidden"] * 2


def test_images_that_a_parquet_file_elsewhere_names_by_path_are_beyond_its_reach(tmp_path: Path) -> None:
    (tmp_path / "own.jpg").write_bytes(b"own")
    cells = [{"bytes": b"\xff\xd8\xff", "path": None}, {"bytes": None, "path": str(tmp_path / "own.jpg")}]
    pq.write_table(pa.table({"image": cells}), tmp_path / "images.parquet")
    data = (tmp_path / "images.parquet").read_bytes()
    with site({"/images.parquet": lambda request: request.ranged(data, 'ETag: "1"')}) as outer:
        assert [row["status"] for row in rows(f"{outer.url}/images.parquet")] == [None, "forbidden"]


def test_shards_that_a_listing_elsewhere_names_are_beyond_its_reach(tmp_path: Path, shard: Path) -> None:
    data = shard.read_bytes()
    with site({"/in.tar": lambda request: request.ranged(data, 'ETag: "1"')}) as inner, site({}) as outer:
        outer.routes["/out.tar"] = lambda request: request.ranged(data, 'ETag: "1"')
        outer.routes["/moved.tar"] = lambda request: request.send(
            "HTTP/1.1 302 x", f"Location: {inner.url}/in.tar", "Content-Length: 0"
        )
        named = ["out.tar", f"{inner.url}/in.tar", f"{outer.url}/moved.tar", str(shard), f"file://{shard}"]
        outer.routes["/list.txt"] = lambda request: request.ranged("\n".join(named).encode())
        found = rows(f"{outer.url}/list.txt")
        assert [row["data"] for row in found[:4]] == [b"one", None, None, None]
        assert [(row["status"], row["data"]) for row in found[4:]] == [("forbidden", None)] * 3, "one file by two names"
        assert inner.asked == []


def test_a_shard_that_moves_behind_the_walls_after_it_was_planned_is_not_read(shard: Path) -> None:
    data = shard.read_bytes()
    with site({"/s.tar": lambda request: request.ranged(data, 'ETag: "1"')}) as inner, site({}) as outer:
        outer.routes["/list.txt"] = lambda request: request.ranged(b"s.tar")
        outer.routes["/s.tar"] = lambda request: request.ranged(data, 'ETag: "1"')
        units = list(Source([f"{outer.url}/list.txt"]).units())
        outer.routes["/s.tar"] = lambda request: request.send(
            "HTTP/1.1 302 x", f"Location: {inner.url}/s.tar", "Content-Length: 0"
        )
        with pytest.raises(StorageError, match="refused: a listing that lies elsewhere"):
            list(fetch(units, WANTED))
        assert inner.asked == []


def test_the_reason_of_a_fault_holds_no_password_and_no_signature() -> None:
    with site({}) as server:
        for path, code in (("/403.jpg", 403), ("/404.jpg", 404), ("/500.jpg", 500), ("/302.jpg", 302)):
            head = [f"HTTP/1.1 {code} x", "Content-Length: 0", "Connection: close"]
            head += [f"Location: {server.url}/gone.jpg?X-Amz-Signature=SECRET"] if code == 302 else []
            server.routes[path] = _answer(*head)
        server.routes["/cut.jpg"] = _answer("HTTP/1.1 200 OK", "Content-Length: 9000", "Connection: close")
        names = [*server.routes, "/x%00.jpg"]
        host = server.url.partition("://")[2]
        named = [f"http://me:SECRET@{host}{name}?X-Amz-Date=1&X-Amz-Signature=SECRET" for name in names]
        found = [read_image(url, url, WANTED, {}) for url in [*named, "http://me:SECRET@127.0.0.1:9/a?sig=SECRET&se=1"]]
        assert all(row["detail"] for row in found) and not any("SECRET" in row["detail"] for row in found)
        assert all("SECRET" in row["uri"] for row in found), "a rescan reads by it"


def _answer(*head: str) -> Callable[[Request], None]:
    return lambda request: request.send(*head)


def test_of_many_faults_the_first_ones_are_named_and_all_counted(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(b"".join(entry(f"{n}.jpg", body=b"x") + b"\xff" * 512 for n in range(30)) + bytes(1024))
    *images, torn = rows(str(path))
    assert [row["key"] for row in images] == [str(n) for n in range(30)]
    assert torn["status"] == "torn_archive" and "and at 22 more places" in str(torn["detail"])


def test_a_sample_without_an_image_names_few_of_its_members(tmp_path: Path) -> None:
    path = tmp_path / "s.tar"
    path.write_bytes(tar({f"1.{n}": b"x" for n in range(2_000)}))
    [row] = rows(str(path))
    assert row["status"] == "unsupported" and len(str(row["detail"])) < 300

"""Reread: what a rescan of selected images transfers, and what faults of a store do."""

import gzip
import tarfile
import threading
from base64 import b64encode
from collections.abc import Callable, Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import StorageError
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.selected_images import fetch_selected, fetch_whole_unit
from pipeline.scan.reading.source import Source
from pipeline.scan.table.selection import SelectionQuery, select_images
from pipeline.scan.table.views import open_views
from tests.pictures import picture, samples, write_shard
from tests.pipeline.scan.reading.test_archive import entry
from tests.verdicts import verdict_row, verdicts_of, write_verdicts
from tests.web import Request, site

WANTED = ReadOptions(1 << 20)
MAIN = (0, 1)


class Counting(BaseHTTPRequestHandler):
    """A web server that answers ranges, and counts the bytes of images that it sends."""

    folder: Path
    sent: list[int]

    def do_HEAD(self) -> None:
        """Say how long the file is."""
        self._answer(body=False)

    def do_GET(self) -> None:
        """Send the file, or the range that was asked for."""
        self._answer(body=True)

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self, *, body: bool) -> None:
        data = (self.folder / self.path.strip("/")).read_bytes()
        wanted = self.headers.get("Range")
        part = data
        if wanted is not None:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            part = data[int(first) : int(last) + 1]
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
        else:
            self.send_response(200)
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(part)))
        self.end_headers()
        if body:
            self.wfile.write(part)
            self.sent.append(len(part))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, list[int]]]:
    """A shard behind a web server: its URL, and what was sent of it."""
    write_shard(tmp_path / "www" / "a.tar", samples(60, side=300))
    sent: list[int] = []
    handler = type("Handler", (Counting,), {"folder": tmp_path / "www", "sent": sent})
    web = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{web.server_port}/a.tar", sent
    web.shutdown()


def listed(table: Path, folder: Path, where: str) -> tuple[str, int]:
    """Choose, and give the listing and the bytes that it plans to read."""
    url = str(folder / "listing.parquet")
    with open_views(str(table)) as views:
        selection = select_images(views, SelectionQuery(("new",), where=where), url)
    return url, selection.read_bytes


@pytest.mark.parametrize(("where", "images"), [('"index" % 10 < 3', 18), ('"index" = 7', 1), ("true", 60)])
def test_over_the_wire_go_the_chosen_images_and_at_most_a_fifth_more(
    server: tuple[str, list[int]], tmp_path: Path, where: str, images: int
) -> None:
    url, sent = server
    listing, planned = listed(verdicts_of(url, table=tmp_path / "table"), tmp_path, where)
    sent.clear()
    read = pa.concat_tables(fetch_selected(listing, 0, MAIN, WANTED)).to_pylist()
    assert [row["data"] for row in read] == [picture(int(row["key"]), side=300) for row in read]
    assert len(read) == images
    assert sum(sent) == planned <= 1.2 * sum(len(row["data"]) for row in read)


def test_parts_of_a_listing_are_its_rows_each_once(server: tuple[str, list[int]], tmp_path: Path) -> None:
    listing, _ = listed(verdicts_of(server[0], table=tmp_path / "table"), tmp_path, "true")
    parts = [pa.concat_tables(fetch_selected(listing, 0, (part, 7), WANTED)) for part in range(7)]
    assert pa.concat_tables(parts)["index"].to_pylist() == list(range(60))


def test_an_image_above_the_bound_is_not_read(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", {"small.jpg": picture(1), "large.jpg": b"x" * 100_000})
    listing, _ = listed(verdicts_of(shard, table=tmp_path / "table"), tmp_path, "true")
    read = pa.concat_tables(fetch_selected(listing, 0, MAIN, ReadOptions(50_000))).to_pylist()
    assert [(row["status"], row["data"] is None) for row in read] == [(None, False), ("too_large", True)]


def test_a_shard_that_gives_too_few_bytes_ends_the_run(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", samples(2))
    table = verdicts_of(shard, table=tmp_path / "table")
    listing, _ = listed(table, tmp_path, "true")
    rows = pq.read_table(listing)
    far = pa.array([1 << 40] * 2, pa.int64())
    pq.write_table(rows.set_column(rows.column_names.index("offset"), "offset", far), listing)
    with pytest.raises(StorageError, match="stopped answering"):
        list(fetch_selected(listing, 0, MAIN, WANTED))


def again(source: Path | str, folder: Path, where: str = "true") -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Read a source's images, and those of its table that are chosen again."""
    first = pa.concat_tables(fetch(list(Source([str(source)]).units()), WANTED)).to_pylist()
    url = str(folder / "listing.parquet")
    with open_views(str(verdicts_of(source, table=folder / "table"))) as views:
        selection = select_images(views, SelectionQuery(("new",), where=where), url)
    near = [table for group in range(selection.groups) for table in fetch_selected(url, group, MAIN, WANTED)]
    far = [table for unit, groups in selection.entire for table in fetch_whole_unit(url, unit, groups, WANTED)]
    found = sorted(pa.concat_tables([*near, *far]).to_pylist(), key=lambda row: (row["unit"], row["index"]))
    return sorted(first, key=lambda row: (row["unit"], row["index"])), found


def parquet(folder: Path) -> Path:
    """Write images into two columns of a Parquet file, one null, one of a name alone."""
    (folder / "named.jpg").write_bytes(picture(9))
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    left = [{"bytes": picture(number), "path": None} for number in range(7)]
    right = [None, {"bytes": None, "path": "named.jpg"}, *left[2:]]
    table = pa.table({"left": pa.array(left, kind), "right # 2": pa.array(right, kind)})
    pq.write_table(table, folder / "l.parquet", row_group_size=3)
    return folder / "l.parquet"


def csv(folder: Path) -> Path:
    """Write a listing whose images stand in it."""
    uris = [f"data:image/jpeg;base64,{b64encode(picture(number)).decode()}" for number in range(5)]
    (folder / "l.csv").write_text("\n".join(["url", *(f'"{uri}"' for uri in uris)]))
    return folder / "l.csv"


def tarred(folder: Path, name: str, pack: Callable[[bytes], bytes]) -> Path:
    """Write a shard with two images in a sample, a hard link, a system file, and a sample without an image."""
    image = picture(1)
    data = (
        entry("._a.jpg", body=b"\0\5\x16\7") + entry("a.left.jpg", body=image) + entry("a.right.jpg", body=picture(2))
    )
    data += entry("b.txt", body=b"x") + entry("c.jpg", tarfile.LNKTYPE, link="a.left.jpg") + bytes(1024)
    (folder / name).write_bytes(pack(data))
    return folder / name


@pytest.mark.parametrize(
    "make",
    [
        parquet,
        csv,
        partial(tarred, name="a.tar", pack=bytes),
        partial(tarred, name="a.tar.gz", pack=gzip.compress),
        partial(tarred, name="gzipped.tar", pack=gzip.compress),
    ],
)
@pytest.mark.parametrize("where", ["true", '"index" % 2 = 1'])
def test_what_is_chosen_again_has_the_bytes_that_it_had(
    make: Callable[[Path], Path], where: str, tmp_path: Path
) -> None:
    first, found = again(make(tmp_path), tmp_path, where)
    chosen = first if where == "true" else [row for row in first if row["index"] % 2]
    same = ("unit", "index", "last", "uri", "key", "offset", "length", "data", "status", "detail")
    assert [[row[name] for name in same] for row in found] == [[row[name] for name in same] for row in chosen]


def test_rows_that_a_parquet_file_has_no_more_are_missing(tmp_path: Path) -> None:
    url = parquet(tmp_path)
    table = verdicts_of(url, table=tmp_path / "table")
    pq.write_table(pa.table({"left": [b"\xff\xd8\xffother"]}), url)
    listing, _ = listed(table, tmp_path, "\"index\" = 0 AND uri LIKE '%l.parquet' AND status = 'ok'")
    with open_views(str(table)) as views:
        entire = select_images(views, SelectionQuery(("new",), where="status = 'ok'"), listing).entire
    found = [
        row
        for unit, groups in entire
        for row in pa.concat_tables(fetch_whole_unit(listing, unit, groups, WANTED)).to_pylist()
    ]
    assert {row["status"] for row in found} == {"missing"} and len(found) == 12
    assert all("its bytes changed" in row["detail"] for row in found)


def test_the_member_that_a_scan_named_is_meant_again_whatever_the_rescan_says(tmp_path: Path) -> None:
    shard = tarred(tmp_path, "a.tar.gz", gzip.compress)
    unit, *_ = Source([str(shard)], image_member="right.jpg").units()
    row = verdict_row(unit.name, 0, uri=str(shard), key="a", offset=None, length=None)
    with open_views(str(write_verdicts(tmp_path / "table", [row]))) as views:
        selection = select_images(views, SelectionQuery(("new",)), str(tmp_path / "listing.parquet"))
    [(name, groups)] = selection.entire
    (table,) = fetch_whole_unit(selection.url, name, groups, WANTED)
    assert table["data"].to_pylist() == [picture(2)]


def test_what_a_listing_elsewhere_may_not_name_is_refused_again_and_nobody_is_asked(tmp_path: Path) -> None:
    data = write_shard(tmp_path / "in.tar", samples(3)).read_bytes()
    with site({}) as inner, site({}) as outer:
        inner.routes["/x.jpg"] = lambda request: request.whole(picture(1))
        inner.routes["/in.tar"] = lambda request: request.ranged(data, 'ETag: "1"')
        outer.routes["/a.jpg"] = lambda request: request.whole(picture(2))
        lists = {
            "images": ["a.jpg", f"{inner.url}/x.jpg", str(tmp_path / "x.jpg"), f"file://{tmp_path}/x.jpg"],
            "shards": [f"{inner.url}/in.tar", str(tmp_path / "in.tar")],
        }
        for name, named in lists.items():
            outer.routes[f"/{name}.txt"] = partial(Request.ranged, body="\n".join(named).encode())
            (tmp_path / name).mkdir()
            first, found = again(f"{outer.url}/{name}.txt", tmp_path / name)
            told = [(row["uri"], row["status"], row["detail"], row["data"]) for row in first]
            assert [(row["uri"], row["status"], row["detail"], row["data"]) for row in found] == told
            assert sum(row["status"] == "forbidden" for row in found) == {"images": 3, "shards": 2}[name]
        assert inner.asked == []


def test_an_empty_image_of_a_shard_in_a_store_is_read_again(store: int, tmp_path: Path) -> None:
    members = {"0.jpg": picture(0), "1.jpg": b"", "2.jpg": picture(2)}
    fs = fsspec.filesystem("s3")
    fs.mkdir("hollow")
    fs.pipe_file("hollow/a.tar", write_shard(tmp_path / "a.tar", members).read_bytes())
    listing, planned = listed(verdicts_of("s3://hollow/a.tar", table=tmp_path / "table"), tmp_path, '"index" = 1')
    [row] = pa.concat_tables(fetch_selected(listing, 0, MAIN, WANTED)).to_pylist()
    assert planned == 0 and (row["key"], row["length"], row["data"]) == ("1", 0, None)

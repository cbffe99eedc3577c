"""Reading chosen images again: what moves over the wire, and what a store's faults do."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import StorageError
from pipeline.scan.reading.image import Wanted
from pipeline.scan.reading.reread import fetch_chosen
from pipeline.scan.table.choice import Asked, choose
from pipeline.scan.table.views import opened
from tests.pictures import picture, samples, write_shard
from tests.verdicts import verdicts_of

WANTED = Wanted(1 << 20)
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
    with opened(str(table)) as views:
        choice = choose(views, Asked(("new",), where=where), url)
    return url, choice.read_bytes


@pytest.mark.parametrize(("where", "images"), [('"index" % 10 < 3', 18), ('"index" = 7', 1), ("true", 60)])
def test_over_the_wire_go_the_chosen_images_and_at_most_a_fifth_more(
    server: tuple[str, list[int]], tmp_path: Path, where: str, images: int
) -> None:
    url, sent = server
    listing, planned = listed(verdicts_of(url, table=tmp_path / "table"), tmp_path, where)
    sent.clear()
    read = pa.concat_tables(fetch_chosen(listing, 0, MAIN, WANTED)).to_pylist()
    assert [row["data"] for row in read] == [picture(int(row["key"]), side=300) for row in read]
    assert len(read) == images
    assert sum(sent) == planned <= 1.2 * sum(len(row["data"]) for row in read)


def test_parts_of_a_listing_are_its_rows_each_once(server: tuple[str, list[int]], tmp_path: Path) -> None:
    listing, _ = listed(verdicts_of(server[0], table=tmp_path / "table"), tmp_path, "true")
    parts = [pa.concat_tables(fetch_chosen(listing, 0, (part, 7), WANTED)) for part in range(7)]
    assert pa.concat_tables(parts)["index"].to_pylist() == list(range(60))


def test_an_image_above_the_bound_is_not_read(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", {"small.jpg": picture(1), "large.jpg": b"x" * 100_000})
    listing, _ = listed(verdicts_of(shard, table=tmp_path / "table"), tmp_path, "true")
    read = pa.concat_tables(fetch_chosen(listing, 0, MAIN, Wanted(50_000))).to_pylist()
    assert [(row["status"], row["data"] is None) for row in read] == [(None, False), ("too_large", True)]


def test_a_shard_that_gives_too_few_bytes_ends_the_run(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", samples(2))
    table = verdicts_of(shard, table=tmp_path / "table")
    listing, _ = listed(table, tmp_path, "true")
    rows = pq.read_table(listing)
    far = pa.array([1 << 40] * 2, pa.int64())
    pq.write_table(rows.set_column(rows.column_names.index("offset"), "offset", far), listing)
    with pytest.raises(StorageError, match="stopped answering"):
        list(fetch_chosen(listing, 0, MAIN, WANTED))

"""Where a body ends is what HTTP says; a part of an image is never taken for the image."""

import gzip
import random
import socket
import struct
import zlib

import brotli
import pytest

from pipeline.records import Status
from pipeline.scan.reading.image import ReadOptions, read_image
from pipeline.storage import retry
from tests.web import Request, Site, site

IMAGE = random.Random(1).randbytes(200_000)
OK = "HTTP/1.1 200 OK"
WANTED = ReadOptions(max_bytes=1 << 20)


def chunked(body: bytes) -> bytes:
    """Write a body in chunks, as the network sends it, without its end mark."""
    parts = [body[start : start + 8192] for start in range(0, len(body), 8192)]
    return b"".join(b"%x\r\n" % len(part) + part + b"\r\n" for part in parts)


def reset(request: Request) -> None:
    """Hang up in the middle."""
    request.send(OK, f"Content-Length: {len(IMAGE)}", body=IMAGE[:50_000])
    request.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def whole(request: Request) -> None:
    request.whole(IMAGE)


WHOLE = {
    "length": whole,
    "chunked": lambda request: request.send(OK, "Transfer-Encoding: chunked", body=chunked(IMAGE) + b"0\r\n\r\n"),
    "closed": lambda request: request.send("HTTP/1.0 200 OK", body=IMAGE),
    "gzip": lambda request: request.whole(gzip.compress(IMAGE), "Content-Encoding: gzip"),
    "gzip-chunked": lambda request: request.send(
        OK, "Content-Encoding: gzip", "Transfer-Encoding: chunked", body=chunked(gzip.compress(IMAGE)) + b"0\r\n\r\n"
    ),
    "deflate": lambda request: request.whole(zlib.compress(IMAGE)[2:-4], "Content-Encoding: deflate"),
    "br": lambda request: request.whole(brotli.compress(IMAGE, quality=1), "Content-Encoding: br"),
    "no-gzip": lambda request: request.whole(IMAGE, "Content-Encoding: gzip"),
    "redirected": lambda request: request.send("HTTP/1.1 302 Found", "Location: /chunked", "Content-Length: 0"),
    "all-of-it": lambda request: request.send(
        "HTTP/1.1 206 Partial Content", f"Content-Range: bytes 0-{len(IMAGE) - 1}/{len(IMAGE)}", body=IMAGE
    ),
    "long-header": lambda request: request.whole(IMAGE, f"Content-Security-Policy: {'x' * 20_000}"),
}
UNREACHABLE = {
    "short": lambda request: request.send(OK, f"Content-Length: {len(IMAGE) + 1}", body=IMAGE),
    "chunks-without-end": lambda request: request.send(OK, "Transfer-Encoding: chunked", body=chunked(IMAGE)),
    "reset": reset,
    "long": lambda request: request.send(OK, f"Content-Length: {len(IMAGE) - 1000}", body=IMAGE),
    "little-long": lambda request: request.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123456789"),
    "half-gzip": lambda request: request.whole(gzip.compress(IMAGE)[:-9], "Content-Encoding: gzip"),
    "hung-up": lambda request: None,
    "no-http": lambda request: request.connection.sendall(b"\0\1\2\r\n\r\n"),
    "part": lambda request: request.send(
        "HTTP/1.1 206 Partial Content", f"Content-Range: bytes 0-999/{len(IMAGE)}", body=IMAGE[:1000]
    ),
    "nowhere": lambda request: request.send("HTTP/1.1 302 Found", f"Content-Length: {len(IMAGE)}", body=IMAGE),
    "a-file": lambda request: request.send("HTTP/1.1 302 Found", "Location: file:///etc/hosts", "Content-Length: 0"),
}
ASKED_AGAIN = {"short", "long", "chunks-without-end", "reset", "half-gzip", "hung-up"}


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A patience that waits a little instead of seconds."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retry, "MAX_WAIT", 0.02)


@pytest.fixture
def web() -> object:
    """A server of all these answers."""
    with site({f"/{name}": answer for name, answer in (WHOLE | UNREACHABLE).items()}) as running:
        yield running


@pytest.mark.parametrize("name", WHOLE)
def test_a_body_is_read_to_its_end_whether_its_length_is_told_or_not(name: str, web: Site) -> None:
    row = read_image(f"{web.url}/{name}", "k", WANTED, {})
    assert row["status"] is None and row["data"] == IMAGE


@pytest.mark.parametrize("name", UNREACHABLE)
def test_a_body_that_is_not_whole_is_unreachable_and_no_image(name: str, web: Site) -> None:
    row = read_image(f"{web.url}/{name}", "k", WANTED, {})
    assert row["status"] is Status.UNREACHABLE and row["detail"] and row["data"] is None
    assert (web.count(f"/{name}") > 1) is (name in ASKED_AGAIN)


def test_a_bomb_is_too_large_and_never_in_memory(web: Site) -> None:
    bomb = gzip.compress(bytes(64 << 20), compresslevel=1)
    web.routes["/bomb"] = lambda request: request.whole(bomb, "Content-Encoding: gzip")
    row = read_image(f"{web.url}/bomb", "k", WANTED, {})
    assert row["status"] is Status.TOO_LARGE and row["data"] is None


def test_an_answer_that_fails_once_is_asked_for_again(web: Site) -> None:
    def once(request: Request) -> None:
        if web.count("/once") > 1:
            whole(request)
        else:
            reset(request)

    web.routes["/once"] = once
    assert read_image(f"{web.url}/once", "k", WANTED, {})["data"] == IMAGE


def test_no_content_is_empty_and_a_page_of_html_is_its_bytes(web: Site) -> None:
    page = b"<!doctype html><title>404</title>"
    web.routes |= {
        "/none": lambda request: request.send("HTTP/1.1 204 No Content"),
        "/page": lambda request: request.whole(page),
    }
    assert read_image(f"{web.url}/none", "k", WANTED, {})["bytes"] == 0
    assert read_image(f"{web.url}/page", "k", WANTED, {})["data"] == page

"""What a web server may cost is bounded, and it is asked as the URL stands, by a client that says who it is."""

import random
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from pipeline.records import Status
from pipeline.scan.reading.image import ReadOptions, read_image
from pipeline.storage import http_response, local_copies, retry, storage, web
from pipeline.storage.fault import NoRangeError
from tests.web import Request, Site, site

DATA = random.Random(2).randbytes(100_000)
OK = "HTTP/1.1 200 OK"
WANTED = ReadOptions(max_bytes=1 << 20)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounds of tenths of a second."""
    monkeypatch.setattr(retry, "WEB_ATTEMPTS", 1)
    monkeypatch.setattr(http_response, "CHUNK_TIMEOUT", 0.4)
    monkeypatch.setattr(web, "IMAGE_TIMEOUT", 0.8)


@pytest.fixture
def server() -> Iterator[Site]:
    """A server of one file, with and without parts."""
    routes = {
        "/plain": lambda request: request.whole(DATA, 'ETag: "1"'),
        "/parts": lambda request: request.ranged(DATA, 'ETag: "1"'),
    }
    with site(routes) as running:
        yield running


def dripping(piece: bytes, seconds: float, *head: str) -> object:
    """Answer with a piece again and again."""

    def drip(request: Request) -> None:
        request.send(*head) if head else request.connection.sendall(f"{OK}\r\n".encode())
        while True:
            request.connection.sendall(piece)
            time.sleep(seconds)

    return drip


@pytest.mark.parametrize(
    ("drip", "reason"),
    [
        (dripping(b"x", 0.02, OK), "only .* bytes within 0.4 s"),
        (dripping(b"X-A: b\r\n", 0.02), "no response within 0.4 s"),
        (dripping(bytes(40_000), 0.05, OK, "Content-Length: 9000000"), "not complete within 0.8 s"),
        (lambda request: time.sleep(3), "no response within 0.4 s"),
    ],
)
def test_a_server_that_takes_its_time_for_ever_is_left(drip: object, reason: str, server: Site, hasty: None) -> None:
    assert callable(drip)
    server.routes["/drip"] = drip
    begun = time.monotonic()
    row = read_image(f"{server.url}/drip", "k", ReadOptions(max_bytes=1 << 26), {})
    assert row["status"] is Status.UNREACHABLE and re.search(f"SlowError: {reason}", row["detail"])
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "no such file or folder: HTTP 404 Not Found"),
        (b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", "not allowed to read: HTTP 403 Forbidden"),
        (b"HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n", "HTTP 418 Teapot"),
        (b"HTTP/1.1 302 Found\r\nLocation: ftp://x\r\n\r\n", "redirected to what is no web address: ftp://x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc", "the connection ended before the body did"),
        (b"", "the server closed the connection without an answer"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "not an answer by the rules of HTTP: Bad status line"),
    ],
)
def test_a_fault_says_what_a_server_did_without_its_url(answer: bytes, words: str, server: Site, hasty: None) -> None:
    server.routes["/odd"] = lambda request: request.connection.sendall(answer)
    assert read_image(f"{server.url}/odd", "k", WANTED, {})["detail"] == words


def test_a_port_where_nobody_listens_is_named(hasty: None) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        row = read_image(f"http://127.0.0.1:{port}/a", "k", WANTED, {})
    assert row["detail"] == f"no connection to 127.0.0.1:{port}: Connection refused"


def test_a_circle_of_redirects_ends(server: Site) -> None:
    def back(request: Request) -> None:
        request.send("HTTP/1.1 302 Found", "Location: /circle", "Content-Length: 0")
        request.keep = True

    server.routes["/circle"] = back
    row = read_image(f"{server.url}/circle", "k", WANTED, {})
    assert row["status"] is Status.UNREACHABLE and row["detail"] == "redirected too often"
    assert server.count("/circle") == web.MAX_REDIRECTS


def test_one_connection_serves_many_images_and_the_client_names_itself(server: Site) -> None:
    for _ in range(20):
        assert read_image(f"{server.url}/plain", "k", WANTED, {})["data"] == DATA
    assert server.count("/plain") == 20 and server.count("/plain", "HEAD") == 0
    assert server.connections == 1 and server.agents == {web.AGENT}


def test_a_process_that_ends_leaves_no_connection_open(server: Site) -> None:
    read = f"from pipeline.storage import storage; storage.read({server.url + '/plain'!r})"
    ended = subprocess.run([sys.executable, "-c", read], capture_output=True, text=True, check=True)
    assert ended.stderr == ""


def test_a_cookie_serves_its_own_redirect_and_nobody_else(server: Site) -> None:
    def guarded(request: Request) -> None:
        if "seen=1" in request.headers.get("cookie", ""):
            request.whole(DATA)
        else:
            request.send("HTTP/1.1 302 Found", f"Location: {request.path}", "Set-Cookie: seen=1", "Content-Length: 0")
            request.keep = True

    server.routes["/guarded"] = guarded
    url = server.url.replace("127.0.0.1", "localhost")
    for _ in range(2):
        assert read_image(f"{url}/guarded", "k", WANTED, {})["data"] == DATA
    assert server.count("/guarded") == 4


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("/a%2Fb%7Ec.jpg?s=%2B%2F&t=a+b", "/a%2Fb%7Ec.jpg?s=%2B%2F&t=a+b"),
        ("/a b|c.jpg", "/a%20b%7Cc.jpg"),
        ("/café.jpg", "/caf%C3%A9.jpg"),
        ("/100%.jpg", "/100%25.jpg"),
        ("/x/../a::b.jpg#top", "/a::b.jpg"),
        ("//a//b.jpg", "//a//b.jpg"),
    ],
)
def test_a_url_is_asked_for_as_it_stands_with_only_illegal_signs_quoted(path: str, asked: str, server: Site) -> None:
    read_image(f"HTTP{server.url[4:]}{path}", "k", WANTED, {})
    assert [each[1] for each in server.asked] == [asked]


def test_an_address_of_six_has_no_chain_in_it() -> None:
    with site({"/a::b.jpg": lambda request: request.whole(DATA)}, host="::1") as running:
        row = read_image(f"{running.url}/a::b.jpg", "k", WANTED, {})
        assert row["data"] == DATA and row["uri"] == f"{running.url}/a::b.jpg"


def test_a_file_without_parts_is_fetched_once_and_its_parts_are_cut_from_the_copy(server: Site) -> None:
    url = f"{server.url}/plain"
    for start in range(0, 90_000, 9_000):
        assert storage.read_range(url, start, start + 5_000) == DATA[start : start + 5_000]
    fs, path = storage.filesystem(url)
    with fs.open(path, "rb") as stream:
        assert stream.seek(-10, 2) == len(DATA) - 10
        assert stream.read() == DATA[-10:]
    assert server.count("/plain") == 1


def test_a_copy_goes_when_its_file_has_changed(server: Site) -> None:
    url = f"{server.url}/plain"
    assert storage.read_range(url, 0, 5) == DATA[:5]
    server.routes["/plain"] = lambda request: request.whole(DATA[::-1], 'ETag: "2"')
    assert storage.info(url)
    assert storage.read_range(url, 0, 5) == DATA[::-1][:5]


def test_a_file_with_parts_is_never_fetched_whole(server: Site) -> None:
    fs, path = storage.filesystem(f"{server.url}/parts")
    with fs.open(path, "rb", block_size=1000) as stream:
        stream.seek(50_000)
        assert stream.read(10) == DATA[50_000:50_010]
    assert storage.read_range(path, 10, 20) == DATA[10:20]
    assert all(span for method, _, span in server.asked if method == "GET")


def test_a_file_too_large_to_be_copied_says_what_to_do(server: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_copies, "MAX_BYTES", 50_000)
    with pytest.raises(NoRangeError, match="over 50,000 bytes; enable range requests"):
        storage.read_range(f"{server.url}/plain", 0, 5)
    assert server.count("/plain") == 1


def test_a_server_that_sends_another_part_than_was_asked_for_is_not_believed(server: Site) -> None:
    def wrong(request: Request) -> None:
        if "range" in request.headers:
            request.send("HTTP/1.1 206 Partial Content", "Content-Range: bytes 7-11/100000", body=DATA[7:12])
        else:
            request.whole(DATA)

    server.routes["/wrong"] = wrong
    assert storage.read_range(f"{server.url}/wrong", 0, 5) == DATA[:5]


def test_an_empty_file_has_no_part_and_a_size(server: Site) -> None:
    server.routes["/empty"] = lambda request: request.send(
        "HTTP/1.1 416 Range Not Satisfiable", "Content-Range: bytes */0", "Content-Length: 0"
    )
    found = storage.info(f"{server.url}/empty")
    assert found is not None and found.size == 0
    fs, path = storage.filesystem(found.url)
    with fs.open(path, "rb") as stream:
        assert stream.read() == b""


def test_a_file_is_looked_at_where_head_is_refused(server: Site) -> None:
    def only_get(request: Request) -> None:
        if request.method == "HEAD":
            request.send("HTTP/1.1 403 Forbidden", "Content-Length: 0")
        else:
            request.ranged(DATA, 'ETag: W/"7"')

    server.routes["/signed"] = only_get
    found = storage.info(f"{server.url}/signed?X-Amz-Signature=1")
    assert found is not None and (found.size, found.identity) == (len(DATA), "7")

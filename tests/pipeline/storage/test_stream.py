"""A shard is a stream, whether its server gives parts of it, breaks off in the middle, or tells no length."""

import gzip
import io
import random
import tarfile
from collections.abc import Iterator

import pytest

from mole.errors import StorageError
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.reading.unit_lookup import current_name
from pipeline.storage import retry, storage, stream
from tests.web import Request, Site, site

IMAGE = random.Random(3).randbytes(10_000)
WANTED = ReadOptions(max_bytes=1 << 20)


def _tar(images: int) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for number in range(images):
            member = tarfile.TarInfo(f"{number:04}.jpg")
            member.size = len(IMAGE)
            archive.addfile(member, io.BytesIO(IMAGE))
    return written.getvalue()


TAR = _tar(300)
OK = "HTTP/1.1 200 OK"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server without routes, and a client that waits a little instead of seconds."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retry, "MAX_WAIT", 0.02)
    with site({}) as running:
        yield running


def images(url: str) -> list[dict[str, object]]:
    """Fetch a shard."""
    return [row for table in fetch(list(Source([url]).units()), WANTED) for row in table.to_pylist()]


def breaking(site: Site, path: str, *, tag: bool) -> object:
    """Answer a third of the shard more each time; with a tag that is always another one where told so."""

    def answer(request: Request) -> None:
        times = site.count(path)
        told = f'ETag: "{times if tag else 0}"'
        request.send(OK, f"Content-Length: {len(TAR)}", told, body=TAR[: len(TAR) * times // 3])

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        lambda request: request.whole(TAR),
        lambda request: request.ranged(TAR),
        lambda request: request.send("HTTP/1.0 200 OK", body=TAR),
        lambda request: request.whole(gzip.compress(TAR, 1), "Content-Encoding: gzip"),
    ],
    ids=["whole", "parts", "no length", "coded"],
)
def test_a_shard_of_a_web_server_gives_every_image_and_each_again_by_its_range(answer: object, web: Site) -> None:
    assert callable(answer)
    web.routes["/a.tar"] = answer
    url = f"{web.url}/a.tar"
    rows = images(url)
    assert [row["data"] == IMAGE for row in rows] == [True] * 300
    before = web.count("/a.tar")
    for row in rows[::50]:
        start = row["offset"]
        assert isinstance(start, int)
        assert storage.read_range(url, start, start + len(IMAGE)) == IMAGE
    assert web.count("/a.tar") - before <= 6


def test_a_shard_that_breaks_off_is_read_on_where_the_reader_is(web: Site) -> None:
    web.routes["/a.tar"] = breaking(web, "/a.tar", tag=False)  # type: ignore[assignment]
    assert [row["data"] == IMAGE for row in images(f"{web.url}/a.tar")] == [True] * 300
    assert web.count("/a.tar") == 3


def test_a_shard_that_became_another_in_between_is_not_read_on(web: Site) -> None:
    web.routes["/a.tar"] = breaking(web, "/a.tar", tag=True)  # type: ignore[assignment]
    with pytest.raises(StorageError, match="changed while it was read"):
        images(f"{web.url}/a.tar")


def test_a_stream_lets_its_server_go(web: Site) -> None:
    web.routes["/a.tar"] = lambda request: request.whole(TAR)
    with stream.open_stream(f"{web.url}/a.tar") as opened:
        assert opened.read(5) == TAR[:5]
    assert images(f"{web.url}/a.tar")


def test_a_new_signature_is_the_same_unit_and_the_row_keeps_the_one_it_was_read_by(web: Site) -> None:
    def signed(request: Request) -> None:
        if request.method == "GET" and "X-Amz-Signature" in request.path:
            request.whole(TAR, 'ETag: "7"')
        else:
            request.send("HTTP/1.1 403 Forbidden", "Content-Length: 0")

    web.routes["/a.tar"] = signed
    urls = [f"{web.url}/a.tar?versionId=1&X-Amz-Date=2026&X-Amz-Signature={number}" for number in range(2)]
    names = [unit.name for url in urls for unit in Source([url]).units()]
    assert names == [f"{web.url}/a.tar?versionId=1#7"] * 2
    rows = images(urls[1])
    assert len(rows) == 300 and {row["uri"] for row in rows} == {urls[1]}
    assert current_name(urls[1]) == names[0]

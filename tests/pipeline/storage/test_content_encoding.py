"""A coded body comes back whole, in bounded pieces, or is known not to be whole."""

import gzip
import random
import sys
import zlib

import brotli
import pytest

from pipeline.storage.content_encoding import MAX_CHUNK_BYTES, ContentDecoder
from pipeline.storage.fault import ContentEncodingError

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BODY = random.Random(0).randbytes(1000) + bytes(1000)
CODED = {
    "gzip": gzip.compress(BODY),
    "x-gzip": gzip.compress(BODY[:600]) + gzip.compress(BODY[600:]),
    "deflate": zlib.compress(BODY),
    "Deflate": zlib.compress(BODY)[2:-4],
    "br": brotli.compress(BODY),
    "zstd": zstd.compress(BODY[:600]) + zstd.compress(BODY[600:]),
    "br, gzip": gzip.compress(brotli.compress(BODY)),
    "utf-8": BODY,
    "": BODY,
}


def undone(header: str, body: bytes, size: int) -> bytes:
    """Undo a body's codings, fed so many bytes at a time."""
    codings = ContentDecoder(header)
    parts = [part for start in range(0, len(body), size) for part in codings.feed(body[start : start + size])]
    return b"".join([*parts, *codings.finish()])


@pytest.mark.parametrize("header", CODED)
@pytest.mark.parametrize("size", [1, 2, 3, 7, 100, 1 << 20])
def test_a_coded_body_comes_back_however_it_is_cut_into_pieces(header: str, size: int) -> None:
    assert undone(header, CODED[header], size) == BODY


@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "br, gzip"])
def test_a_body_that_ends_inside_its_coding_is_not_taken_for_whole(header: str) -> None:
    for left in (1, 9, len(CODED[header]) // 2):
        with pytest.raises(ContentEncodingError, match="is truncated in its content encoding"):
            undone(header, CODED[header][:-left], 1000)


def test_a_broken_body_is_not_taken_for_whole() -> None:
    broken = bytearray(CODED["gzip"])
    broken[500] ^= 255
    with pytest.raises(ContentEncodingError, match="is not valid gzip"):
        undone("gzip", bytes(broken), 1000)


@pytest.mark.parametrize("header", ["gzip", "zstd"])
@pytest.mark.parametrize("body", [BODY, b"GIF", b""])
def test_a_plain_body_that_is_called_coded_is_taken_as_it_is(header: str, body: bytes) -> None:
    assert undone(header, body, 1) == undone(header, body, 1000) == body


def test_what_lies_behind_the_end_is_nobodys() -> None:
    for tail in (b"\0", b"tail", b"\x1f"):
        assert undone("gzip", CODED["gzip"] + tail, 1000) == BODY


@pytest.mark.parametrize("pack", [gzip.compress, brotli.compress, zlib.compress, zstd.compress])
def test_a_bomb_is_undone_a_bounded_piece_at_a_time(pack: object) -> None:
    assert callable(pack)
    names = {gzip.compress: "gzip", brotli.compress: "br", zlib.compress: "deflate", zstd.compress: "zstd"}
    pieces = ContentDecoder(names[pack]).feed(pack(bytes(8 * MAX_CHUNK_BYTES)))
    assert max(len(next(pieces)) for _ in range(4)) <= 2 * MAX_CHUNK_BYTES

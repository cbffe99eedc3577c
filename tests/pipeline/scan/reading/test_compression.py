"""Compression: detected by the first bytes; bytes before damage are returned, in pieces of bounded size."""

import bz2
import gzip
import io
import lzma
import random
import sys
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial

import pytest

from pipeline.scan.reading.archive import ArchiveFault, Member, members
from pipeline.scan.reading.compression import DamageError, Readable, decompressed
from tests.pipeline.scan.reading.test_archive import tar

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": partial(zstd.compress, options={zstd.CompressionParameter.checksum_flag: 1}),
}
NOISE = random.Random(1)
BODIES = {f"{number:03}.jpg": NOISE.randbytes(3000) for number in range(200)}


def everything(stream: Readable) -> bytes:
    """Read a stream to its end."""
    return b"".join(iter(lambda: stream.read(10_000), b""))


@pytest.mark.parametrize("form", COMPRESS)
def test_streams_that_follow_each_other_and_padding_are_read(form: str) -> None:
    packed = COMPRESS[form](b"first " * 9999) + bytes(512) + COMPRESS[form](b"second") + bytes(99)
    stream, told = decompressed(io.BytesIO(packed))
    assert told == form
    assert everything(stream) == b"first " * 9999 + b"second"


def test_what_is_not_compressed_comes_as_it_is_even_where_its_first_name_looks_so() -> None:
    for data in (b"", b"short", tar({"BZh9.jpg": b"1"}), b"PK\3\4" * 999):
        stream, told = decompressed(io.BytesIO(data))
        assert (everything(stream), told) == (data, None)


def read(data: bytes) -> tuple[dict[str, bytes | None], list[ArchiveFault]]:
    """Read an archive."""
    stream, _ = decompressed(io.BytesIO(data))
    parts = list(members(stream, lambda name, length, head: True))
    found = {part.name: part.data for part in parts if isinstance(part, Member)}
    return found, [part for part in parts if isinstance(part, ArchiveFault)]


@pytest.mark.parametrize("form", COMPRESS)
def test_two_flipped_bytes_are_a_tear_and_the_members_before_them_are_sound(form: str) -> None:
    data = bytearray(COMPRESS[form](tar(BODIES)))
    data[-60_000] ^= 0xFF
    data[-59_999] ^= 0xFF
    found, tears = read(bytes(data))
    assert "compressed stream is broken" in tears[-1].reason
    kept = {name: body for name, body in found.items() if body == BODIES[name]}
    assert len(kept) >= (0 if form == "bzip2" else 100), (
        "bzip2 puts 900 kB into a block, which is sound or not as a whole"
    )
    assert len(found) - len(kept) <= 1


@pytest.mark.parametrize("form", COMPRESS)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_a_cut_stream_keeps_every_member_before_the_cut(form: str, kept: float) -> None:
    data = COMPRESS[form](tar(BODIES))
    found, tears = read(data[: int(len(data) * kept)])
    assert found.items() <= BODIES.items() and len(tears) == 1
    assert form == "bzip2" or len(found) >= kept * len(BODIES) - 50


def test_of_a_damaged_gzip_every_byte_before_the_damage_comes_out() -> None:
    machine = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    plain = b"".join(b"member %d " % number for number in range(9000))
    sound = machine.compress(plain) + machine.flush(zlib.Z_FULL_FLUSH)
    broken = sound + b"\7" + machine.compress(plain) + machine.flush()
    stream, _ = decompressed(io.BytesIO(broken))
    out: list[bytes] = []
    with pytest.raises(DamageError, match="invalid block type"):
        out.extend(iter(lambda: stream.read(999), b""))
    assert b"".join(out) == plain


@pytest.mark.parametrize("form", COMPRESS)
@pytest.mark.parametrize("behind", [b"garbage at the end" * 9, b"\n", bytes(700), b"\x1f\x8b"])
def test_behind_the_end_mark_nothing_is_torn(form: str, behind: bytes) -> None:
    found, tears = read(COMPRESS[form](tar({"a.jpg": b"1"})) + behind)
    assert (found, tears) == ({"a.jpg": b"1"}, [])
    packed = COMPRESS[form](tar({"a.jpg": b"1"}) + bytes(1 << 20))
    assert read(packed[:-7]) == ({"a.jpg": b"1"}, [])


def test_a_checksum_that_does_not_fit_what_was_read_is_told_even_behind_the_end_mark() -> None:
    data = bytearray(gzip.compress(tar({"a.jpg": b"1"})))
    data[-8] ^= 0xFF
    _, tears = read(bytes(data))
    assert len(tears) == 1 and "incorrect data check" in tears[0].reason


@pytest.mark.parametrize("form", COMPRESS)
def test_a_bomb_of_zeros_takes_no_memory(form: str) -> None:
    zeros = COMPRESS[form](bytes(32 << 20))
    bomb = COMPRESS[form](tar({"a.jpg": b"1"})) + zeros
    tracemalloc.start()
    try:
        assert read(bomb) == ({"a.jpg": b"1"}, [])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 16 << 20

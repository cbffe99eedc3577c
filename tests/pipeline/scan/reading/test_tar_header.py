"""Header: read as POSIX and GNU define it, and refused where it is damaged."""

import tarfile

import pytest

from pipeline.scan.reading.tar_header import (
    BLOCK,
    Extension,
    HeaderError,
    expanded,
    mapped,
    number,
    parse,
    records,
    text,
)


def block(name: str = "a.jpg", **facts: object) -> bytes:
    """Write a header block."""
    info = tarfile.TarInfo(name)
    for key, value in facts.items():
        setattr(info, key, value)
    return info.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape")[-BLOCK:]


@pytest.mark.parametrize(
    ("digits", "value"),
    [
        (b"0000017\0", 15),
        (b"   17 \0\0", 15),
        (b"\0" * 8, 0),
        (b"\x80" + (8 << 30).to_bytes(11), 8 << 30),
        (b"\xff" * 12, -1),
    ],
)
def test_a_number_is_octal_or_of_base_256(digits: bytes, value: int) -> None:
    assert number(digits) == value


def test_a_number_that_is_none_is_refused() -> None:
    with pytest.raises(HeaderError, match="no number"):
        number(b"0000089\0")


@pytest.mark.parametrize("name", ["a.jpg", "é.jpg"])
def test_a_checksum_of_signed_bytes_is_one_too(name: str) -> None:
    sound = block(name)
    rest = sound[:148] + b" " * 8 + sound[156:]
    signed = sum(byte - 256 if byte > 127 else byte for byte in rest)
    assert parse(sound[:148] + b"%06o\0 " % signed + sound[156:]) == parse(sound)
    with pytest.raises(HeaderError, match=rf"bad checksum: {signed + 1} is stated, and its bytes sum to \d+"):
        parse(sound[:148] + b"%06o\0 " % (signed + 1) + sound[156:])


def test_a_negative_size_and_a_cut_block_are_no_headers() -> None:
    for bad, complaint in ((block(size=-5), "size"), (block()[:300], "300 of 512")):
        with pytest.raises(HeaderError, match=complaint):
            parse(bad)


def test_a_prefix_belongs_to_a_posix_name_and_not_to_gnus_times() -> None:
    long = f"{'folder/' * 20}name.jpg"
    posix = tarfile.TarInfo(long).tobuf(tarfile.USTAR_FORMAT)
    assert parse(posix).name.decode() == long
    gnu = bytearray(block())
    gnu[345:350] = b"00017"
    gnu[148:156] = b"%06o\0 " % (sum(gnu[:148]) + 256 + sum(gnu[156:]))
    assert parse(bytes(gnu)).name == b"a.jpg"


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (b"a\xc3\xa9.jpg", "aé.jpg"),
        (b"a\xff.jpg", r"a\xff.jpg"),
        (rb"a\xff.jpg", r"a\\xff.jpg"),
        (b"a\\b\xff.jpg", r"a\\b\xff.jpg"),
        (rb"a\b.jpg", r"a\b.jpg"),
    ],
)
def test_no_two_names_become_one(name: bytes, told: str) -> None:
    assert text(name) == told


def test_records_are_read_up_to_one_that_is_none() -> None:
    assert list(records(b"12 path=a b\n9 size=7\nrubbish")) == [(b"path", b"a b"), (b"size", b"7")]
    assert list(records(b"99 path=a\n")) == []


def test_a_sparse_files_own_name_wins_over_the_path_whatever_comes_first() -> None:
    for order in (
        (b"29 GNU.sparse.name=hole.jpg\n\n", b"12 path=./x\n"),
        (b"12 path=./x\n", b"29 GNU.sparse.name=hole.jpg\n\n"),
    ):
        extension = Extension()
        extension.add(tarfile.XHDTYPE, b"".join(order))
        assert extension.name == b"hole.jpg\n"


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "begins with b''"),
        (b"x\n", "begins with b'x'"),
        (b"99999999999\n", "begins with b'99999999999', and not with a count up to"),
        (b"2\n0\n1\n", "2 of 4 numbers are there"),
        (b"1\n0\nx\n", "1 of 2 numbers are there"),
    ],
)
def test_a_map_that_is_none_is_refused(body: bytes, told: str) -> None:
    with pytest.raises(HeaderError, match=f"the map of holes .*{told}"):
        mapped(body)


def test_pieces_lie_where_the_map_says_and_never_outside() -> None:
    assert expanded(b"abcde", [(1, 2), (5, 3), (9, 0)], 9) == b"\0ab\0\0cde\0"
    for pieces in ([(8, 2)], [(0, 6)]):
        with pytest.raises(HeaderError, match="wants"):
            expanded(b"abcde", pieces, 9)

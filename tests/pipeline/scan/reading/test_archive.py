"""A tar is read whole: sound members, tears, long names, links, and archives behind each other."""

import io
import tarfile

import pytest

from pipeline.scan.reading.archive import BLOCK, Member, Tear, members

BODIES = {"a.jpg": b"A" * 700, "b.png": b"B" * 512, "c.txt": b"", "d.webp": b"D" * 1300}


def tar(bodies: dict[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    """Write an archive of some files."""
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=form) as archive:
        for name, body in bodies.items():
            facts = tarfile.TarInfo(name)
            facts.size = len(body)
            archive.addfile(facts, io.BytesIO(body))
    return held.getvalue()


def read(data: bytes) -> list[Member | Tear]:
    """Read every member with its bytes."""
    return list(members(io.BytesIO(data), lambda name, length: True))


def bodies(parts: list[Member | Tear]) -> dict[str, bytes | None]:
    """Keep the members."""
    return {part.name: part.data for part in parts if isinstance(part, Member)}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_sound_archive_gives_every_member_and_no_tear(form: int) -> None:
    parts = read(tar(BODIES, form))
    assert bodies(parts) == BODIES
    assert not [part for part in parts if isinstance(part, Tear)]


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_a_long_name_is_kept_whole(form: int) -> None:
    long = {f"{'folder/' * 40}ünïcode {'x' * 90}.jpg": b"data"}
    assert bodies(read(tar(long, form))) == long


def test_the_byte_range_of_a_member_holds_its_bytes() -> None:
    data = tar(BODIES)
    for part in read(data):
        assert isinstance(part, Member)
        assert data[part.offset : part.offset + part.length] == BODIES[part.name]


def test_what_is_not_wanted_is_passed_over_unread() -> None:
    parts = list(members(io.BytesIO(tar(BODIES)), lambda name, length: name.endswith(".png")))
    assert {name for name, body in bodies(parts).items() if body is not None} == {"b.png"}


def test_a_cut_body_is_a_tear_that_names_its_member_and_the_members_before_stay() -> None:
    data = tar(BODIES)
    at = data.index(b"D" * 100)
    parts = read(data[: at + 300])
    assert list(bodies(parts)) == ["a.jpg", "b.png", "c.txt"]
    assert isinstance(parts[-1], Tear)
    assert parts[-1].member == "d.webp"
    assert parts[-1].offset == at - BLOCK
    assert "300 of 1,300 bytes" in parts[-1].reason


def test_a_cut_between_two_members_is_a_tear_too() -> None:
    data = tar(BODIES)
    parts = read(data[: data.index(b"D" * 100) - BLOCK])
    assert list(bodies(parts)) == ["a.jpg", "b.png", "c.txt"]
    assert [part for part in parts if isinstance(part, Tear)] == [
        Tear(3 * BLOCK + 2 * BLOCK + BLOCK, "the archive ends without its end mark")
    ]


def test_members_behind_a_broken_header_are_found_again() -> None:
    data = bytearray(tar(BODIES))
    header = data.index(b"B" * 512) - BLOCK
    data[header : header + BLOCK] = b"\xff" * BLOCK
    parts = read(bytes(data))
    assert bodies(parts) == {name: body for name, body in BODIES.items() if name != "b.png"}
    tears = [part for part in parts if isinstance(part, Tear)]
    assert [tear.offset for tear in tears] == [header]


def test_archives_behind_each_other_are_all_read() -> None:
    parts = read(tar({"a.jpg": b"1"}) + tar({"b.jpg": b"2"}))
    assert bodies(parts) == {"a.jpg": b"1", "b.jpg": b"2"}
    assert not [part for part in parts if isinstance(part, Tear)]


def test_padding_behind_the_end_mark_is_no_tear() -> None:
    parts = read(tar({"a.jpg": b"1"}) + b"junk" * 300)
    assert [type(part) for part in parts] == [Member]


def test_a_link_is_a_member_without_bytes_that_says_where_it_points() -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        facts = tarfile.TarInfo("copy.jpg")
        facts.type, facts.linkname = tarfile.LNKTYPE, "first.jpg"
        archive.addfile(facts)
    assert read(held.getvalue()) == [Member("copy.jpg", BLOCK, 0, None, link="first.jpg")]


def test_random_bytes_are_one_tear_and_no_member() -> None:
    parts = read(bytes(range(1, 256)) * 40)
    assert [type(part) for part in parts] == [Tear]


def test_an_empty_file_is_a_tear() -> None:
    assert [type(part) for part in read(b"")] == [Tear]


@pytest.mark.parametrize("cut", range(1, 6000, 257))
def test_wherever_an_archive_is_cut_it_says_so_and_invents_nothing(cut: int) -> None:
    data = tar(BODIES)
    end = data.index(b"D" * 100) + 1536
    parts = read(data[: min(cut, end - 1)])
    assert isinstance(parts[-1], Tear)
    assert bodies(parts).items() <= BODIES.items()

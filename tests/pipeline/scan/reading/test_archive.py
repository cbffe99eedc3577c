"""Archive: sound members, damaged places, long names, links and concatenated archives."""

import io
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.scan.reading import archive as archive_module
from pipeline.scan.reading import tar_header as header_module
from pipeline.scan.reading.archive import ArchiveFault, Member, Part, SkippedEntry, members
from pipeline.scan.reading.tar_header import BLOCK, text

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


def read(data: bytes) -> list[Part]:
    """Read every member with its bytes."""
    return list(members(io.BytesIO(data), lambda name, length, head: True))


def bodies(parts: list[Part]) -> dict[str, bytes | None]:
    """Keep the members."""
    return {part.name: part.data for part in parts if isinstance(part, Member)}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_a_sound_archive_gives_every_member_and_no_tear(form: int) -> None:
    parts = read(tar(BODIES, form))
    assert bodies(parts) == BODIES
    assert not [part for part in parts if isinstance(part, ArchiveFault)]


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
    parts = list(members(io.BytesIO(tar(BODIES)), lambda name, length, head: name.endswith(".png")))
    assert {name for name, body in bodies(parts).items() if body is not None} == {"b.png"}


def test_a_cut_body_is_a_tear_that_names_its_member_and_the_members_before_stay() -> None:
    data = tar(BODIES)
    at = data.index(b"D" * 100)
    parts = read(data[: at + 300])
    assert list(bodies(parts)) == ["a.jpg", "b.png", "c.txt"]
    assert isinstance(parts[-1], ArchiveFault)
    assert parts[-1].member == "d.webp"
    assert parts[-1].offset == at - BLOCK
    assert "300 of 1,300 bytes" in parts[-1].reason


def test_a_cut_between_two_members_is_a_tear_too() -> None:
    data = tar(BODIES)
    parts = read(data[: data.index(b"D" * 100) - BLOCK])
    assert list(bodies(parts)) == ["a.jpg", "b.png", "c.txt"]
    assert [part for part in parts if isinstance(part, ArchiveFault)] == [
        ArchiveFault(3 * BLOCK + 2 * BLOCK + BLOCK, "the archive ends without its end mark")
    ]


def test_members_behind_a_broken_header_are_found_again() -> None:
    data = bytearray(tar(BODIES))
    header = data.index(b"B" * 512) - BLOCK
    data[header : header + BLOCK] = b"\xff" * BLOCK
    parts = read(bytes(data))
    assert bodies(parts) == {name: body for name, body in BODIES.items() if name != "b.png"}
    tears = [part for part in parts if isinstance(part, ArchiveFault)]
    assert [tear.offset for tear in tears] == [header]


def test_archives_behind_each_other_are_all_read() -> None:
    parts = read(tar({"a.jpg": b"1"}) + tar({"b.jpg": b"2"}))
    assert bodies(parts) == {"a.jpg": b"1", "b.jpg": b"2"}
    assert not [part for part in parts if isinstance(part, ArchiveFault)]


def test_padding_behind_the_end_mark_is_no_tear() -> None:
    parts = read(tar({"a.jpg": b"1"}) + b"junk" * 300)
    assert [type(part) for part in parts] == [Member]


def test_a_link_is_a_member_without_bytes_that_says_where_it_points() -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as archive:
        facts = tarfile.TarInfo("copy.jpg")
        facts.type, facts.linkname = tarfile.LNKTYPE, "first.jpg"
        archive.addfile(facts)
    assert read(held.getvalue()) == [Member("copy.jpg", BLOCK, 0, None, link="first.jpg", ranged=False)]


def test_random_bytes_are_one_tear_and_no_member() -> None:
    parts = read(bytes(range(1, 256)) * 40)
    assert [type(part) for part in parts] == [ArchiveFault]


def test_an_empty_file_is_a_tear() -> None:
    assert [type(part) for part in read(b"")] == [ArchiveFault]


@pytest.mark.parametrize("cut", range(1, 6000, 257))
def test_wherever_an_archive_is_cut_it_says_so_and_invents_nothing(cut: int) -> None:
    data = tar(BODIES)
    end = data.index(b"D" * 100) + 1536
    parts = read(data[: min(cut, end - 1)])
    assert isinstance(parts[-1], ArchiveFault)
    assert bodies(parts).items() <= BODIES.items()


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, body: bytes = b"", link: str = "", size: int | None = None
) -> bytes:
    """Write a header of a kind, and what follows it."""
    facts = tarfile.TarInfo(name)
    facts.type, facts.linkname, facts.size = kind, link, len(body) if size is None else size
    return facts.tobuf(tarfile.GNU_FORMAT, errors="surrogateescape") + body + bytes(-len(body) % BLOCK)


END = bytes(2 * BLOCK)


def test_a_hard_link_has_its_targets_place_and_bytes_and_one_that_brings_bytes_has_its_own() -> None:
    data = entry("a.jpg", body=b"A" * 700) + entry("b.jpg", tarfile.LNKTYPE, link="a.jpg", size=700)
    data += entry("c.jpg", tarfile.LNKTYPE, b"C" * 9, "a.jpg") + entry("d.jpg", tarfile.SYMTYPE, link="a.jpg") + END
    a, b, c, d = (part for part in read(data) if isinstance(part, Member))
    assert (b.offset, b.length, b.data, b.link) == (a.offset, a.length, a.data, "a.jpg")
    assert (c.data, c.link) == (b"C" * 9, None)
    assert (d.data, d.link, d.ranged) == (None, "a.jpg", False)


def test_what_holds_no_file_is_passed_over_and_said() -> None:
    kinds = [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
    data = b"".join(entry(f"{number}.jpg", kind) for number, kind in enumerate(kinds))
    data += entry("old/", tarfile.AREGTYPE) + entry("d/", b"D", b"Yname\0") + entry("a.jpg", body=b"1") + END
    parts = read(data)
    assert [part.kind for part in parts if isinstance(part, SkippedEntry)] == [
        "device",
        "device",
        "pipe",
        *["directory"] * 3,
    ]
    assert bodies(parts) == {"a.jpg": b"1"} and len(parts) == 7


def test_a_tar_in_a_tar_is_one_member() -> None:
    inner = tar(BODIES)
    assert bodies(read(tar({"inner.tar": inner, "z.jpg": b"z"}))) == {"inner.tar": inner, "z.jpg": b"z"}


def test_a_header_wiped_out_with_zeros_is_a_tear_and_not_an_end() -> None:
    data = bytearray(tar(BODIES))
    at = data.index(b"B" * 512) - BLOCK
    data[at : at + BLOCK] = bytes(BLOCK)
    parts = read(bytes(data))
    assert list(bodies(parts)) == ["a.jpg", "c.txt", "d.webp"]
    assert [part.offset for part in parts if isinstance(part, ArchiveFault)] == [at + BLOCK]


@pytest.mark.parametrize("size", [8 << 30, 1 << 80])
def test_a_size_of_base_256_is_read_and_its_cut_body_is_a_tear(size: int) -> None:
    (tear,) = read(entry("huge.jpg", body=b"few", size=size))
    assert isinstance(tear, ArchiveFault) and tear.member == "huge.jpg" and f"of {size:,} bytes" in tear.reason


def test_an_extended_header_over_the_bound_is_a_tear_and_what_follows_is_read() -> None:
    long = entry("x", tarfile.XHDTYPE, bytes(17 << 20)) + entry("a.jpg", body=b"1") + END
    parts = read(long)
    assert [type(part) for part in parts] == [ArchiveFault, Member] and bodies(parts) == {"a.jpg": b"1"}


HOLES = {"s.bin": b"".join([b"A" * 5000, bytes(60_000), b"B" * 4096, bytes(40_000), b"C", bytes(9000)])}


def make_sparse(folder: Path, form: str) -> bytes:
    """Let GNU tar write a file with many holes."""
    with (folder / "s.bin").open("wb") as file:
        file.truncate(len(HOLES["s.bin"]) + 60 * 8192)
        for at in (0, 65_000, 109_096, *(120_000 + 8192 * number for number in range(58))):
            file.seek(at)
            file.write((HOLES["s.bin"] + bytes(1 << 20))[at : at + 1] or b"x")
            file.write(f"piece at {at}".encode())
    command = ["tar", "-S", f"--format={form.partition('-')[0]}", "-cf", "s.tar", "s.bin"]
    if "-" in form:
        command.insert(1, f"--sparse-version={form.partition('-')[2]}")
    subprocess.run(command, cwd=folder, check=True)
    return (folder / "s.tar").read_bytes()


@pytest.mark.parametrize("form", ["gnu", "posix-0.0", "posix-0.1", "posix-1.0"])
def test_a_sparse_member_is_expanded_under_its_own_name(form: str, tmp_path: Path) -> None:
    data = make_sparse(tmp_path, form)
    whole = (tmp_path / "s.bin").read_bytes()
    assert len(data) < len(whole)
    (member,) = read(data)
    assert isinstance(member, Member)
    assert (member.name, member.length, member.ranged) == ("s.bin", len(whole), False)
    assert member.data == whole


@pytest.mark.parametrize("form", ["gnu", "posix-1.0"])
def test_a_sparse_member_that_is_not_wanted_or_cut_invents_nothing(form: str, tmp_path: Path) -> None:
    data = make_sparse(tmp_path, form)
    (member,) = members(io.BytesIO(data), lambda name, length, head: False)
    assert isinstance(member, Member) and member.data is None and member.length > len(data)
    (tear,) = read(data[: len(data) // 3])
    assert isinstance(tear, ArchiveFault)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\\", exclude_categories=["Cs"]), min_size=1, max_size=150
)
FILES = st.lists(st.tuples(NAMES, st.binary(max_size=1500)), max_size=6)
FORMS = st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])


@settings(max_examples=80, deadline=None)
@given(files=FILES, form=FORMS, broken=st.lists(st.integers(0, 20_000), max_size=3), cut=st.integers(0, 20_000))
def test_a_sound_archive_reads_as_tarfile_reads_it_and_of_a_broken_one_no_more_is_lost(
    files: list[tuple[str, bytes]], form: int, broken: list[int], cut: int
) -> None:
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w", format=form) as archive:
        for name, body in files:
            facts = tarfile.TarInfo(name.strip("/") or "slash")
            facts.size = len(body)
            archive.addfile(facts, io.BytesIO(body))
    data = held.getvalue()
    assert theirs(data) == [(part.name, part.data) for part in read(data) if isinstance(part, Member)]
    damaged = bytearray(data[: max(1, len(data) - cut)])
    for at in broken:
        damaged[at % len(damaged)] ^= 0xFF
    ours = [(part.name, part.data) for part in read(bytes(damaged)) if isinstance(part, Member)]
    for own, read_there in theirs(bytes(damaged)):
        assert (text(own.encode("utf-8", "surrogateescape")), read_there) in ours


def theirs(data: bytes) -> list[tuple[str, bytes | None]]:
    """Read an archive with the standard library, as far as it goes."""
    found: list[tuple[str, bytes | None]] = []
    with (
        suppress(tarfile.TarError, OSError, ValueError),
        tarfile.open(fileobj=io.BytesIO(data), mode="r:", encoding="utf-8") as archive,
    ):
        opened = ((facts.name, archive.extractfile(facts)) for facts in archive if facts.isreg())
        found.extend((name, body.read()) for name, body in opened if body is not None)
    return found


def holes(real: bytes, pieces: bytes = b"", *, more: bool = False) -> bytes:
    """Write the header of a sparse file in GNU's old format, with its fields as they are."""
    block = bytearray(entry("s.jpg", tarfile.GNUTYPE_SPARSE, b"data"))[:BLOCK]
    block[386 : 386 + len(pieces)] = pieces
    block[482], block[483:495] = more, real
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    return bytes(block) + b"data".ljust(BLOCK, b"\0")


NEGATIVE, HUGE = b"\xff" * 12, b"\x80" + b"\xff" * 11
PIECE = b"%011o\0" % 4
SOUND = entry("a.jpg", body=b"1") + END
UNREADABLE = {
    "a negative length": holes(NEGATIVE),
    "a length that no column holds": holes(HUGE),
    "a negative place": holes(b"%011o\0" % 700, NEGATIVE + PIECE),
    "a negative piece": holes(b"%011o\0" % 700, PIECE + NEGATIVE),
    "a piece before the start": holes(b"%011o\0" % 700, NEGATIVE + NEGATIVE),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_a_sparse_header_with_an_impossible_number_is_a_tear_and_what_follows_is_read(name: str) -> None:
    tear, member = read(UNREADABLE[name] + SOUND)
    assert isinstance(tear, ArchiveFault) and "no sound header" in tear.reason
    assert isinstance(member, Member) and member.name == "a.jpg"


def record(keyword: str, value: str) -> bytes:
    """Write a pax record, whose length counts its own digits."""
    rest = f" {keyword}={value}\n"
    digits = len(str(len(rest) + len(str(len(rest)))))
    return f"{len(rest) + digits}{rest}".encode()


@pytest.mark.parametrize("keyword", ["size", "GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.numbytes"])
@pytest.mark.parametrize("digits", [20, 5000])
def test_a_pax_number_of_too_many_digits_is_a_tear_and_what_follows_is_read(keyword: str, digits: int) -> None:
    value = "9" * digits
    long = record(keyword, value)
    parts = read(entry("x", tarfile.XHDTYPE, long) + SOUND)
    assert [type(part) for part in parts] == [ArchiveFault, Member] and bodies(parts) == {"a.jpg": b"1"}
    assert isinstance(parts[0], ArchiveFault) and "is no number of bytes" in parts[0].reason


def test_a_map_in_the_body_with_a_number_of_too_many_digits_is_a_tear_and_what_follows_is_read() -> None:
    facts = tarfile.TarInfo("s.jpg")
    facts.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.realsize": "700", "GNU.sparse.name": "s.jpg"}
    for body in (b"9" * 5000 + b"\n", b"1\n0\n" + b"9" * 5000 + b"\n"):
        facts.size = len(body)
        data = facts.tobuf(tarfile.PAX_FORMAT) + body + bytes(-len(body) % BLOCK) + SOUND
        parts = read(data)
        assert [type(part) for part in parts] == [ArchiveFault, Member] and bodies(parts) == {"a.jpg": b"1"}


@pytest.mark.parametrize("form", ["blocks", "records"])
def test_a_map_of_holes_without_end_is_given_up_with_bounded_memory(form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (archive_module, header_module):
        monkeypatch.setattr(module, "MAX_PIECES", 100)
    block = (PIECE * 42).ljust(504, b"\0") + b"\1" + bytes(7)
    if form == "blocks":
        data = holes(b"%011o\0" % 700, more=True)[:BLOCK] + block * 60
    else:
        data = entry("x", tarfile.XHDTYPE, record("GNU.sparse.numbytes", "1") * 300)
    taken = io.BytesIO(data + SOUND)
    first = next(members(taken, lambda name, length, head: True))
    assert isinstance(first, ArchiveFault) and "a map of holes of more than 100 pieces" in first.reason
    assert bodies(read(data + SOUND)) == {"a.jpg": b"1"}


@pytest.mark.parametrize("kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE])
def test_a_name_over_the_bound_is_a_tear_and_the_entry_has_its_short_one(kind: bytes) -> None:
    name = "n" * (1 << 16) + "n"
    body = record("path", name) if kind == tarfile.XHDTYPE else name.encode()
    parts = read(entry("x", kind, body) + SOUND)
    assert [type(part) for part in parts] == [ArchiveFault, Member] and bodies(parts) == {"a.jpg": b"1"}
    assert isinstance(parts[0], ArchiveFault) and "a name of 65,537 bytes" in parts[0].reason

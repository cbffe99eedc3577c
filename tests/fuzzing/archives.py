"""Archives: generated tars of every kind that is met, each with what is in it."""

import bz2
import gzip
import lzma
import random
import sys
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.fuzzing.tar_entry import BLOCK, END, changed, entry, padded, summed

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Chance = random.Random


@dataclass
class Archive:
    """An archive and what it holds.

    Attributes:
        data: its bytes so far.
        files: the raw name and the content of each file, in order; a hard link has its target's.
        features: what is in it beyond plain files.
    """

    data: bytes = b""
    files: list[tuple[bytes, bytes]] = field(default_factory=list)
    features: list[str] = field(default_factory=list)

    def put(self, name: bytes, body: bytes, entry: bytes) -> None:
        """Add an entry that holds a file."""
        self.data += entry
        self.files.append((name, body))


def archive(number: int, seed: int = 0) -> Archive:
    """Make one archive: plain files in one of three formats, among them up to three features."""
    chance = random.Random(f"archive {seed} {number}")
    made = Archive()
    features = chance.sample(tuple(FEATURES), chance.choice((0, 1, 1, 2, 3)))
    plain(chance, made)
    for name in features:
        made.features.append(name)
        FEATURES[name](chance, made)
        plain(chance, made)
    ending = chance.choices(tuple(ENDINGS), (8, 1, 1, 1, 1, 1))[0]
    made.features += [ending] if ending else []
    ENDINGS[ending](chance, made)
    packed = chance.choices(tuple(PACKERS), (4, 1, 1, 1, 1, 1, 1))[0]
    made.features += [packed] if packed else []
    made.data = PACKERS[packed](made.data)
    return made


def content(chance: Chance) -> bytes:
    """Make a file's bytes, of a length around the borders of blocks."""
    return chance.randbytes(chance.choice((0, 1, 40, 511, 512, 513, 1024, 9_000)))


def plain(chance: Chance, made: Archive) -> None:
    """Add a few files as WebDataset writes them."""
    form = chance.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    for _ in range(chance.randrange(1, 4)):
        name, body = (
            b"%06d.%s" % (chance.randrange(10**6), chance.choice((b"jpg", b"json", b"seg.png"))),
            content(chance),
        )
        made.put(name, body, entry(name, body, form))


def long_name(chance: Chance, made: Archive) -> None:
    """A path over 100 bytes."""
    form = chance.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    name = (
        chance.choice(("folder/", "Ördner/")) * chance.choice((9, 20, 60)) + "x" * chance.choice((1, 99, 150))
    ).encode()
    made.put(name, b"long", entry(name, b"long", form))


def odd_name(chance: Chance, made: Archive) -> None:
    """A name with characters that mean something elsewhere."""
    name = chance.choice((b"a b.jpg", b"back\\slash.jpg", b"new\nline.jpg", b"tab\t.jpg", b"quote'\".jpg", b"%41.jpg", b"*?[x].jpg",
                          b"...jpg", b".hidden", b"no-dot", "日本.jpg".encode(), "e\u0301.jpg".encode(), b"a..b.jpg", b"-rf.jpg"))  # fmt: skip
    made.put(name, b"odd", entry(name, b"odd", chance.choice((tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))))


def raw_name(chance: Chance, made: Archive) -> None:
    """A name whose bytes are no UTF-8."""
    name = chance.choice((b"caf\xe9.jpg", b"\xff\xfe.jpg", b"\x93\xfa.jpg"))
    made.put(name, b"raw", entry(name, b"raw"))


def walking_name(chance: Chance, made: Archive) -> None:
    """A path that is absolute, or walks out of its folder, or is not in its shortest form."""
    name = chance.choice((b"/abs.jpg", b"../up.jpg", b"./here.jpg", b"a/../b.jpg", b"a//b.jpg", b"a/./b.jpg"))
    made.put(name, b"walk", entry(name, b"walk"))


def duplicate(chance: Chance, made: Archive) -> None:
    """The same name twice."""
    name = b"twice-%d.jpg" % chance.randrange(1000)
    for body in (b"first", b"second"):
        made.put(name, body, entry(name, body))


def no_file(chance: Chance, made: Archive) -> None:
    """Directories, devices, pipes, symbolic links and labels, which hold no file."""
    kinds = [tarfile.DIRTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.SYMTYPE]
    kind = chance.choice(kinds)
    made.data += entry(
        b"nothing-%d" % chance.randrange(1000), kind=kind, link="x.jpg" if kind == tarfile.SYMTYPE else ""
    )


def volume_label(chance: Chance, made: Archive) -> None:
    """GNU's label of a volume."""
    made.data += entry(b"label", kind=b"V")


def old_folder(chance: Chance, made: Archive) -> None:
    """A directory as tars from before 1988 write it: a file without bytes whose name ends in a slash."""
    made.data += changed(entry(b"old/")[:BLOCK], 156, chance.choice((b"\0", b"0")))


def hard_link(chance: Chance, made: Archive) -> None:
    """A hard link to a file before it, without bytes."""
    made.put(b"target.jpg", b"content", entry(b"target.jpg", b"content"))
    made.put(b"link.jpg", b"content", entry(b"link.jpg", kind=tarfile.LNKTYPE, link="target.jpg"))


def hard_link_with_size(chance: Chance, made: Archive) -> None:
    """A hard link that states its target's size, and has no bytes, as old GNU tars write it."""
    made.put(b"target.jpg", b"content", entry(b"target.jpg", b"content"))
    made.put(b"link.jpg", b"content", entry(b"link.jpg", kind=tarfile.LNKTYPE, link="target.jpg", size=7))


def hard_link_with_bytes(chance: Chance, made: Archive) -> None:
    """A hard link that brings its own bytes, as pax and cpio write it."""
    made.put(b"target.jpg", b"content", entry(b"target.jpg", b"content"))
    made.put(b"link.jpg", b"own", entry(b"link.jpg", b"own", tarfile.PAX_FORMAT, tarfile.LNKTYPE, "target.jpg"))


HOLES = b"AB" + bytes(598) + b"CD" + bytes(98)


def sparse_gnu(chance: Chance, made: Archive) -> None:
    """A file with holes in GNU's old format, with or without a block that continues its map."""
    pieces = [0, 2, 600, 2] if chance.random() < 0.5 else [0, 1, 1, 1, 600, 1, 601, 1, 700, 0]
    fields = b"".join(b"%011o\0" % number for number in pieces)
    head = entry(b"sparse.jpg", b"ABCD", kind=tarfile.GNUTYPE_SPARSE)[:BLOCK]
    more = fields[96:]
    head = changed(changed(head, 386, fields[:96]), 482, (b"\1" if more else b"\0") + b"%011o\0" % 700)
    made.put(b"sparse.jpg", HOLES, head + (more.ljust(BLOCK, b"\0") if more else b"") + padded(b"ABCD"))


def sparse_pax(chance: Chance, made: Archive) -> None:
    """A file with holes as pax records 0.1 or 1.0 name it."""
    own = b"GNUSparseFile.1/sparse.jpg"
    if chance.random() < 0.5:
        records = {
            "GNU.sparse.map": "0,2,600,2",
            "GNU.sparse.size": "700",
            "GNU.sparse.name": "sparse.jpg",
            "GNU.sparse.numblocks": "2",
        }
        body = b"ABCD"
    else:
        records = {
            "GNU.sparse.major": "1",
            "GNU.sparse.minor": "0",
            "GNU.sparse.realsize": "700",
            "GNU.sparse.name": "sparse.jpg",
        }
        body = padded(b"2\n0\n2\n600\n2\n") + b"ABCD"
    made.put(b"sparse.jpg", HOLES, entry(own, body, tarfile.PAX_FORMAT, pax=records))


def pax_records(chance: Chance, made: Archive) -> None:
    """Pax records that describe no file, or give the size that the header does not."""
    if chance.random() < 0.5:
        facts = entry(
            b"x",
            pax={"comment": "ünïcode = yes\nmore", "SCHILY.xattr.user.a": "1", "mtime": "1.5"},
            form=tarfile.PAX_FORMAT,
        )
        made.data += (
            tarfile.TarInfo.create_pax_global_header({"comment": "whole", "uname": "ü"})
            if chance.random() < 0.5
            else b""
        )
        made.put(b"x", b"", facts)
    else:
        head = entry(b"sized.jpg", b"", tarfile.PAX_FORMAT, size=0, pax={"size": "700"})
        made.put(b"sized.jpg", b"s" * 700, head + padded(b"s" * 700))


def numbers(chance: Chance, made: Archive) -> None:
    """Sizes as other writers put them: base 256, without an end, after spaces."""
    head, size = (
        entry(b"number.jpg", b"12345")[:BLOCK],
        chance.choice((b"\x80" + bytes(10) + b"\5", b"00000000005 ", b"          5\0", b"5\0" + bytes(10))),
    )
    made.put(b"number.jpg", b"12345", changed(head, 124, size) + padded(b"12345"))


def old_header(chance: Chance, made: Archive) -> None:
    """A header from before POSIX: without a magic, or with a checksum of signed bytes."""
    if chance.random() < 0.5:
        head = entry(b"old.jpg", b"old")[:BLOCK]
        made.put(b"old.jpg", b"old", summed(head[:257] + bytes(BLOCK - 257)) + padded(b"old"))
    else:
        name = "ø.jpg".encode()
        made.put(name, b"old", summed(entry(name, b"old")[:BLOCK], signed=True) + padded(b"old"))


def other_kind(chance: Chance, made: Archive) -> None:
    """A contiguous file, or one of a kind that nobody knows, which is a file by POSIX."""
    kind = chance.choice((tarfile.CONTTYPE, b"Z", b"\0"))
    made.put(b"kind.jpg", b"kind", changed(entry(b"kind.jpg", b"kind")[:BLOCK], 156, kind) + padded(b"kind"))


def lone_zeros(chance: Chance, made: Archive) -> None:
    """One block of zeros between two members, which is half an end mark."""
    made.data += bytes(BLOCK)


FEATURES: dict[str, Callable[[Chance, Archive], None]] = {
    feature.__name__.replace("_", " "): feature
    for feature in (long_name, odd_name, raw_name, walking_name, duplicate, no_file, volume_label, old_folder, hard_link, hard_link_with_size,
                    hard_link_with_bytes, sparse_gnu, sparse_pax, pax_records, numbers, old_header, other_kind, lone_zeros)
}  # fmt: skip


def _end(chance: Chance, made: Archive) -> None:
    made.data += END + bytes(BLOCK * chance.choice((0, 0, 18)))


def _second(chance: Chance, made: Archive) -> None:
    _end(chance, made)
    plain(chance, made)
    _end(chance, made)


def _junk(chance: Chance, made: Archive) -> None:
    _end(chance, made)
    made.data += chance.randbytes(700)


def _nothing(chance: Chance, made: Archive) -> None:
    """Add no end mark."""


def _half(chance: Chance, made: Archive) -> None:
    made.data += bytes(BLOCK)


def _unpadded(chance: Chance, made: Archive) -> None:
    made.put(b"last.jpg", b"last", entry(b"last.jpg", b"last")[: BLOCK + 4])


ENDINGS: dict[str, Callable[[Chance, Archive], None]] = {
    "": _end, "second archive behind": _second, "junk behind": _junk, "no end mark": _nothing, "half an end mark": _half,
    "last block not filled": _unpadded,
}  # fmt: skip


def _streams(data: bytes) -> bytes:
    middle = len(data) // 2
    return gzip.compress(data[:middle], mtime=0) + gzip.compress(data[middle:], mtime=0)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes, "gzip": lambda data: gzip.compress(data, mtime=0), "bzip2": bz2.compress, "xz": lzma.compress, "zstd": zstd.compress,
    "gzip of two streams": _streams, "zstd of two frames": lambda data: zstd.compress(data[:700]) + zstd.compress(data[700:]),
}  # fmt: skip

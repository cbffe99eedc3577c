"""Tar entry: writes an entry of an archive, and changes its header as other writers have it."""

import tarfile
from typing import Literal, cast

BLOCK = 512
END = bytes(2 * BLOCK)


def entry(name: bytes, body: bytes = b"", form: int = tarfile.GNU_FORMAT, kind: bytes = tarfile.REGTYPE, link: str = "",
          size: int | None = None, pax: dict[str, str] | None = None) -> bytes:  # fmt: skip
    """Write a header, with what must come before it, and its body."""
    facts = tarfile.TarInfo(name.decode("utf-8", "surrogateescape"))
    facts.type, facts.linkname, facts.size = kind, link, len(body) if size is None else size
    facts.pax_headers = pax or {}
    return facts.tobuf(cast(Literal[0, 1, 2], form), "utf-8", "surrogateescape") + padded(body)


def padded(body: bytes) -> bytes:
    """Fill the last block."""
    return body + bytes(-len(body) % BLOCK)


def summed(head: bytes | bytearray, *, signed: bool = False) -> bytes:
    """Write a header's checksum; old tars add signed bytes."""
    blank = bytes(head[:148]) + b" " * 8 + bytes(head[156:])
    total = sum(byte - 256 if signed and byte > 127 else byte for byte in blank)
    return blank[:148] + b"%06o\0 " % total + blank[156:]


def changed(head: bytes, at: int, value: bytes) -> bytes:
    """Overwrite a field of a header."""
    return summed(head[:at] + value + head[at + len(value) :])

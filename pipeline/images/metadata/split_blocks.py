"""Split blocks: joins extended XMP and C2PA manifest stores that a JPEG splits over several segments."""

from collections.abc import Iterator

from pipeline.images.metadata.block import MAX_BLOCK_BYTES, MAX_STORE_BYTES, Block, c2pa_block, xmp_block

MAX_BOXES = 1_000
"""JUMBF boxes in one JPEG's segments."""


class ExtendedXmp:
    """The parts of an extended XMP packet, which the main packet references by digest."""

    def __init__(self) -> None:
        self._parts: dict[bytes, dict[int, bytes]] = {}
        self._size = 0

    def add(self, segment: bytes) -> None:
        """Add the body of an APP1 segment, after its namespace."""
        self._size += len(segment)
        if self._size <= MAX_BLOCK_BYTES:
            self._parts.setdefault(segment[:32], {})[int.from_bytes(segment[36:40])] = segment[40:]

    def joined(self, main: bytes) -> Iterator[Block]:
        """Join the packets whose digest is in the main packet, up to the first missing part."""
        for digest, parts in self._parts.items():
            whole = b""
            while len(whole) in parts and parts[len(whole)]:
                whole += parts[len(whole)]
            if digest in main.replace(b"\0", b"") and whole:
                yield xmp_block(whole)


class JumbfParts:
    """The parts of JUMBF boxes in a JPEG's segments, each of which repeats the box's header."""

    def __init__(self) -> None:
        self._parts: dict[bytes, list[bytes]] = {}
        self._size = 0

    def add(self, segment: bytes) -> None:
        """Add the body of an APP11 segment."""
        self._size += len(segment)
        parts = self._parts.setdefault(segment[2:4], []) if len(self._parts) < MAX_BOXES else []
        if self._size <= MAX_STORE_BYTES + (1 << 18):
            parts.append(segment[(16 if segment[8:12] != b"\0\0\0\1" else 24) if parts else 8 :])

    def joined(self) -> Iterator[Block]:
        """Join the parts of each box, and yield the C2PA manifest stores."""
        for parts in self._parts.values():
            whole = b"".join(parts)
            if whole[4:8] == b"jumb" and b"c2pa" in whole[:64]:
                yield c2pa_block(whole if int.from_bytes(whole[:4]) <= len(whole) else b"")

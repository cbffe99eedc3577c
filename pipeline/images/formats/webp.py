"""WebP: inspects the canvas size, for which Pillow allocates memory as soon as it opens a file.

Source: RFC 9649.
"""

from pipeline.images.formats.layout import Layout, too_large, truncated

MAX_CHUNKS = 100_000


def inspect(data: bytes) -> Layout:
    """Inspect a WebP: read the first chunk, and count the others.

    Args:
        data: the whole file.

    Raises:
        RefusalError: it ends in its first chunk, or has too many.
    """
    body = data[20:30]
    if len(body) < 10:
        raise truncated(f"no complete header in {len(data):,} bytes")
    match data[12:16]:
        case b"VP8X":
            size = (1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little"))
        case b"VP8L":
            packed = int.from_bytes(body[1:5], "little")
            size = (1 + (packed & 0x3FFF), 1 + (packed >> 14 & 0x3FFF))
        case b"VP8 ":
            size = (int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF)
        case _:
            raise truncated(f"no image chunk but {data[12:16]!r} comes first")
    at, end = 12, min(len(data), 8 + int.from_bytes(data[4:8], "little"))
    for _ in range(MAX_CHUNKS):
        if at + 8 > end:
            # Two canvases, a frame and Pillow's copy are held at once, four bytes per pixel each.
            return Layout(data, size, bytes_per_pixel=16)
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        at += 8 + length + length % 2
    raise too_large(f"more than {MAX_CHUNKS:,} chunks")

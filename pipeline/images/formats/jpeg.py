"""JPEG: inspects the segments up to the first scan, and counts the scans.

Source: ITU-T T.81 annex B; T.87 (JPEG-LS) shares its markers.
"""

import re

from pipeline.images.formats.layout import Layout, too_large, truncated, unsupported

MARKER = re.compile(rb"\xff([\x01-\xfe])")
SCAN_END = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
MAX_SEGMENTS = 10_000
MAX_FILL_BYTES = 1 << 16
"""Maximum stray bytes between two segments; Pillow reads them one by one."""
MAX_SCANNED_PIXELS = 1_200_000_000
"""Maximum of pixels times scans: each scan of a progressive file is a pass over all its pixels, even if empty."""
ARITHMETIC_COST = 8
"""Cost of a scan with arithmetic coding in scans with Huffman coding."""

UNSUPPORTED_FRAMES = {
    0xC5: "hierarchical", 0xC6: "hierarchical", 0xC7: "hierarchical", 0xCB: "lossless, arithmetic-coded",
    0xCD: "hierarchical", 0xCE: "hierarchical", 0xCF: "hierarchical", 0xF7: "JPEG-LS",
}  # fmt: skip
FRAME_MARKERS = {0xC0, 0xC1, 0xC2, 0xC3, 0xC9, 0xCA} | UNSUPPORTED_FRAMES.keys()
BARE_MARKERS = {0x01, *range(0xD0, 0xD9)}
"""Markers without a body."""


def inspect(data: bytes) -> Layout:
    """Inspect a JPEG.

    Args:
        data: the whole file, with a JPEG signature.

    Raises:
        RefusalError: it ends before its first scan, is of an unsupported kind, or exceeds a bound.
    """
    at, frame = 2, 0
    for _ in range(MAX_SEGMENTS):
        code, at = _marker(data, at)
        if code in BARE_MARKERS:
            continue
        length = int.from_bytes(data[at : at + 2])
        if code == 0xD9 or length < 2:
            raise truncated(f"no scan before byte {at:,}")
        if code in FRAME_MARKERS:
            frame = at
            _check_frame(code, data[at : at + 8])
        elif code == 0xDA:
            if not frame:
                raise truncated(f"a scan without a frame header before it, at byte {at:,}")
            return _layout(data, frame, at)
        at += length
    raise too_large(f"more than {MAX_SEGMENTS:,} segments before the first scan")


def _marker(data: bytes, at: int) -> tuple[int, int]:
    """Return the next marker and its end; normally at `at`."""
    head = data[at : at + 2]
    if len(head) == 2 and head[0] == 0xFF and 0 < head[1] < 0xFF:
        return head[1], at + 2
    found = MARKER.search(data, at, at + MAX_FILL_BYTES)
    if found is not None:
        return found[1][0], found.end()
    if len(data) > at + MAX_FILL_BYTES:
        raise too_large(f"more than {MAX_FILL_BYTES:,} bytes that are no segment, at byte {at:,}")
    raise truncated(f"no scan in {len(data):,} bytes")


def _check_frame(code: int, head: bytes) -> None:
    """Refuse a frame with an unsupported coding process."""
    if len(head) < 8:
        raise truncated(f"it ends in its frame header, of which {len(head)} bytes of 8 are there")
    bits, high, parts = head[2], int.from_bytes(head[3:5]), head[7]
    if code in UNSUPPORTED_FRAMES:
        raise unsupported(f"{UNSUPPORTED_FRAMES[code]} JPEG", "jls" if code == 0xF7 else None)
    if bits != 8:
        raise unsupported(f"{bits}-bit JPEG")
    if parts not in (1, 3, 4):
        raise unsupported(f"JPEG of {parts} components")
    if not high:
        raise unsupported("JPEG whose height follows its pixels (DNL)")


def _layout(data: bytes, frame: int, scan: int) -> Layout:
    """Compute the cost of the scans.

    Args:
        data: the whole file.
        frame: position of the frame header's length.
        scan: position of the first scan header's length.
    """
    code, parts = data[frame - 1], data[frame + 7]
    high, wide = int.from_bytes(data[frame + 3 : frame + 5]), int.from_bytes(data[frame + 5 : frame + 7])
    single = code not in (0xC2, 0xCA) and data[scan + 2 : scan + 3] == bytes([parts])
    passes = 1 if single else data.count(b"\xff\xda", scan - 2)
    cost = wide * high * (ARITHMETIC_COST if code in (0xC9, 0xCA) else 1)
    if passes * cost > MAX_SCANNED_PIXELS:
        passes = _scans(data, scan, MAX_SCANNED_PIXELS // cost + 1)
    if passes * cost > MAX_SCANNED_PIXELS:
        scans = f"{passes:,} arithmetic-coded" if code in (0xC9, 0xCA) else f"{passes:,}"
        reason = f"{wide:,} x {high:,} pixels in {scans} scans or more, over the bound of {MAX_SCANNED_PIXELS:,} in all"
        raise too_large(reason, (wide, high))
    # Progressive decoding holds all coefficients: two bytes each, of at most `parts` components.
    held = 0 if single else 2 * parts
    return Layout(data, (wide, high), bytes_per_pixel=held + (8 if parts == 4 else 4), passes=passes)


def _scans(data: bytes, scan: int, max_scans: int) -> int:
    """Count the scans, at most `max_scans`."""
    count, at = 1, scan + int.from_bytes(data[scan : scan + 2])
    for _ in range(max_scans * 8 + MAX_SEGMENTS):
        found = SCAN_END.search(data, at)
        if found is None or found[1] == b"\xd9" or count >= max_scans:
            break
        count += found[1] == b"\xda"
        at = found.end()
        if found[1][0] not in BARE_MARKERS:
            at += int.from_bytes(data[at : at + 2])
    return count

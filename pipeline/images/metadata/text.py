"""Text: decodes and cleans metadata texts of various encodings."""

import re
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE, BOM_UTF32_BE, BOM_UTF32_LE

from pipeline.images.metadata.tiff import Order

MAX_CHARACTERS = 500
"""Maximum length of a value in the table."""

MARKS = (
    (BOM_UTF8, "utf-8"),
    (BOM_UTF32_LE, "utf-32-le"),
    (BOM_UTF32_BE, "utf-32-be"),
    (BOM_UTF16_LE, "utf-16-le"),
    (BOM_UTF16_BE, "utf-16-be"),
)
"""Byte order marks, longer ones before their prefixes."""

CHARSET = re.compile(rb"(?:ASCII|UNICODE|JIS|UTF-?8)\0+|\0{8}")
"""The eight-byte character codes of EXIF comments."""

CONTROLS = re.compile(r"[\0-\x1f\x7f-\x9f\ufeff\ufffe\uffff]+")


def clean(text: str) -> str:
    """Convert a value to one line of valid UTF-8 without control characters, truncated to MAX_CHARACTERS."""
    sound = text[: 40 * MAX_CHARACTERS].encode("utf-8", "replace").decode()
    return " ".join(CONTROLS.sub(" ", sound).split())[:MAX_CHARACTERS].rstrip()


def decode_text(data: bytes) -> str:
    """Decode UTF-8 or UTF-16, by byte order mark or heuristics; otherwise Latin-1."""
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding, "replace")
    if b"\0" in data[:64].strip(b"\0"):
        order = _guess_byte_order(data)
        if order is not None:
            return data.decode(order, "replace")
    return _decode_eight_bits(data)


def decode_exif_text(data: bytes) -> str:
    """Decode an EXIF text, which ends at its first NUL unless it is UTF-16."""
    head = data.partition(b"\0")[0]
    if len(head) > 1 and head.isascii():  # in UTF-16 every second byte of such letters is a NUL
        return head.decode()
    text = decode_text(data)
    return text.strip("\0").partition("\0")[0]


def decode_user_comment(data: bytes, order: Order) -> str:
    """Decode an EXIF UserComment, whose declared character set is often wrong.

    Args:
        data: the field's bytes; without a character code, all of them are text.
        order: byte order of the EXIF block, used for UTF-16 if heuristics fail.
    """
    named = CHARSET.match(data[:8])
    text = data[8:] if named else data
    if not named or not data.startswith(b"UNICODE") or any(text.startswith(mark) for mark, _ in MARKS):
        return decode_text(text).strip("\0")
    if b"\0" not in text.rstrip(b"\0"):
        try:
            return text.rstrip(b"\0").decode("utf-8")
        except UnicodeDecodeError:
            pass  # UTF-16 without Latin letters: no byte is zero
    return text.decode(_guess_byte_order(text) or f"utf-16-{order[0]}e", "replace").strip("\0")


def decode_windows_text(data: bytes) -> str:
    """Decode one of Windows' EXIF fields, always little endian."""
    return data.decode("utf-16-le", "replace").strip("\0").partition("\0")[0]


def _guess_byte_order(data: bytes) -> str | None:
    """Guess the byte order of UTF-16 from the zero bytes of Latin letters; None if undecided."""
    head = data[:4096]
    even, odd = head[::2].count(0), head[1::2].count(0)
    if even == odd:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"


def _decode_eight_bits(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as reason:
        cut = reason.start >= len(data) - 3 and not data[: reason.start].isascii()  # truncated within a character
        return data.decode("utf-8", "ignore") if cut else data.decode("latin-1")

"""Clutter: what operating systems leave beside files, and what first bytes say that a member is an image."""

import re

SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\x00\x00\x00\x00|II\*\x00|MM\x00\*|II\+\x00|MM\x00\+"
    rb"|....ftyp(?:avi[fs]|he[iv]|mif1|msf1)|\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)
"""How the formats begin whose names end like an image's; short marks that text may begin with are left out."""
FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini", ".localized"})
FOLDER = "__MACOSX"
TWIN = "._"
"""How macOS begins the name of a file's twin, which holds its attributes (AppleDouble)."""


def begins_as_image(head: bytes) -> bool:
    """Tell by its first bytes whether a file is an image."""
    return SIGNATURE.match(head) is not None


def is_clutter(name: str) -> bool:
    """Tell by its name whether a file is what macOS or Windows leave beside others, or a note of webdataset's own."""
    *folders, base = name.split("/")
    if base.startswith(TWIN) or base.lower() in FILES or FOLDER in folders:
        return True
    return name.startswith("__") and name.endswith("__")

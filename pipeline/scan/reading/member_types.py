"""Member types: images by their first bytes, and system files of macOS and Windows by their name."""

import re

SIGNATURE = re.compile(
    rb"\xff\xd8\xff|\x89PNG\r\n\x1a\n|GIF8[79]a|RIFF....WEBP|BM....\x00\x00\x00\x00|II\*\x00|MM\x00\*|II\+\x00|MM\x00\+"
    rb"|....ftyp(?:avi[fs]|he[iv]|mif1|msf1)|\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51",
    re.DOTALL,
)
"""Signatures of the image formats; marks so short that text may begin with them are left out."""
SYSTEM_FILES = frozenset({".ds_store", "thumbs.db", "desktop.ini", ".localized"})
SYSTEM_FOLDER = "__MACOSX"
APPLE_DOUBLE = "._"
"""Prefix of an AppleDouble file, in which macOS keeps another file's attributes."""


def has_image_signature(head: bytes) -> bool:
    """Tell by its first bytes whether a file is an image."""
    return SIGNATURE.match(head) is not None


def is_system_file(name: str) -> bool:
    """Tell by its name whether a file is a system file of macOS or Windows, or metadata of webdataset."""
    *folders, base = name.split("/")
    if base.startswith(APPLE_DOUBLE) or base.lower() in SYSTEM_FILES or SYSTEM_FOLDER in folders:
        return True
    return name.startswith("__") and name.endswith("__")

"""Member types: system files by their name, images by their first bytes."""

import pytest

from pipeline.scan.reading.member_types import has_image_signature, is_system_file
from tests.pictures import picture


@pytest.mark.parametrize("form", ["jpeg", "png", "webp", "gif", "bmp", "tiff", "avif", "jpeg2000"])
def test_every_format_that_is_decoded_begins_as_an_image(form: str) -> None:
    assert has_image_signature(picture(1, form=form))


@pytest.mark.parametrize("head", [b"", b"BM is a text", b"GIF", b'{"a": 1}', bytes(600), b"\0\5\x16\7\0\2\0\0Mac OS X"])
def test_other_bytes_do_not(head: bytes) -> None:
    assert not has_image_signature(head)


@pytest.mark.parametrize(
    "name", ["._a.jpg", "./d/._a.jpg", "__MACOSX/a.jpg", "x/.DS_Store", "Thumbs.db", "THUMBS.DB", "__index__"]
)
def test_clutter_is_known_by_its_name(name: str) -> None:
    assert is_system_file(name)


@pytest.mark.parametrize("name", ["a.jpg", ".hidden.jpg", "_a.jpg", "MACOSX/a.jpg", "d/__a__", "x._a.jpg"])
def test_what_only_looks_a_little_so_is_none(name: str) -> None:
    assert not is_system_file(name)

"""Laws of an exported sample: the true extension, the row without its nulls, and the class that a training reads."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from pipeline.review.webdataset_sample import extension, members

ROW: dict[str, Any] = {
    "uri": "/photos/a.PNG",
    "key": "a.PNG",
    "unit": "/photos/a.PNG#1",
    "index": 0,
    "content_hash": b"\xab\xcd",
    "format": "jpeg",
    "verdict": "unsure",
    "probability": 0.5,
    "detail": None,
    "provenance": {"camera": None, "generator": "Stable Diffusion"},
    "scanned_at": datetime(2026, 11, 1, tzinfo=UTC),
}


@pytest.mark.parametrize(
    ("form", "name", "wanted"),
    [
        ("jpeg", "a.PNG", "jpg"),
        ("webp", "a", "webp"),
        ("tiff", "a.jpg", "tif"),
        (None, "a.JPG", "jpg"),
        (None, "a", "bin"),
    ],
)
def test_an_image_has_the_extension_of_its_bytes_or_else_of_its_name(form: str | None, name: str, wanted: str) -> None:
    assert extension({"format": form, "key": name, "uri": None}) == wanted


def test_a_row_is_written_without_what_is_null_in_it() -> None:
    made = members(7, ROW, b"bytes")
    assert made["__key__"] == "000000007" and made["jpg"] == b"bytes"
    told = json.loads(made["json"])
    assert told["content_hash"] == "abcd" and told["scanned_at"] == "2026-11-01T00:00:00+00:00"
    assert told["provenance"] == {"generator": "Stable Diffusion"}
    assert "detail" not in told and "label" not in told and "cls" not in made


@pytest.mark.parametrize(("said", "cls"), [("generated", b"1"), ("real", b"0"), ("unsure", None)])
def test_only_real_and_generated_are_classes(said: str, cls: bytes | None) -> None:
    made = members(0, ROW | {"label": said, "labelled_by": "ada"}, b"bytes")
    told = json.loads(made["json"])
    assert made.get("cls") == cls
    assert told.get("label") == (said if cls else None) and told["labelled_by"] == "ada"
    assert told.get("unsure", False) is (cls is None)

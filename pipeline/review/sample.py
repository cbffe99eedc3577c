"""Sample: what a WebDataset shard holds of an image: its bytes, its row as JSON, and the class that was said of it."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.images.extension import is_image
from pipeline.labels import Label

EXTENSIONS = {"jpeg": "jpg", "tiff": "tif"}
"""Of formats whose files usually have another one than their name."""
UNKNOWN = "bin"
CLASSES = {str(Label.REAL): "0", str(Label.GENERATED): "1"}
"""What `.cls` holds, as `finetune --samples` reads it."""
DIGITS = 9

Row = Mapping[str, Any]
"""An image's row of the view `evidence`, with what was said of it where it was labelled."""


def members(number: int, row: Row, data: bytes) -> dict[str, Any]:
    """Write an image as the `webdataset` package takes a sample.

    Args:
        number: of the image among those that are exported, which names the sample.
        row: its row.
        data: its bytes.

    Returns:
        `__key__`, and bytes by extension: the image under that of its true format, `json`, and `cls` where somebody
        said that it is real or generated.
    """
    made: dict[str, Any] = {"__key__": f"{number:0{DIGITS}}", extension(row): data, "json": described(row)}
    said = row.get("label")
    return made | ({"cls": CLASSES[said].encode()} if said in CLASSES else {})


def extension(row: Row) -> str:
    """Return an image's extension: by what its bytes are, or by its name if nothing reads them."""
    form: str | None = row["format"]
    if form is not None:
        return EXTENSIONS.get(form, form)
    for name in (row["key"], row["uri"]):
        if name and is_image(name):
            return str(name.rpartition(".")[2].lower())
    return UNKNOWN


def described(row: Row) -> bytes:
    """Write a row as JSON, without what is null in it.

    `label` stands there only as `real` or `generated`, which is what a training reads; an image that somebody could not
    tell has `unsure` in its place.
    """
    told = {name: value for name, value in row.items() if name != "label"}
    if (said := row.get("label")) is not None:
        told |= {"label": said} if said in CLASSES else {str(said): True}
    return json.dumps(_plain(told), ensure_ascii=False, sort_keys=True).encode("utf-8", "backslashreplace")


def _plain(value: object) -> Any:
    """Write a value as JSON has it: hashes in hexadecimal, times in ISO 8601, structs without their nulls."""
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items() if own is not None}
    if isinstance(value, list):
        return [_plain(own) for own in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value

"""WebDataset sample: the members of a WebDataset sample: an image's bytes, its row as JSON, and its labelled class."""

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from pipeline.images.extension import is_image
from pipeline.labels import Label

EXTENSIONS = {"jpeg": "jpg", "tiff": "tif"}
"""Extensions that differ from the format's name."""
UNKNOWN = "bin"
CLASSES = {str(Label.REAL): "0", str(Label.GENERATED): "1"}
"""The content of `.cls`, as `finetune --samples` reads it."""
DIGITS = 9

Row = Mapping[str, Any]
"""An image's row of the view `evidence`, with its label if it has one."""


def members(number: int, row: Row, data: bytes) -> dict[str, Any]:
    """Make a sample for the `webdataset` package.

    Args:
        number: number of the exported image, which names the sample.
        row: the image's row.
        data: the image's bytes.

    Returns:
        `__key__`, and bytes by extension: the image under the extension of its actual format, `json`, and `cls` if it
        is labelled real or generated.
    """
    made: dict[str, Any] = {"__key__": f"{number:0{DIGITS}}", extension(row): data, "json": described(row)}
    label = row.get("label")
    return made | ({"cls": CLASSES[label].encode()} if label in CLASSES else {})


def extension(row: Row) -> str:
    """Return an image's extension by its detected format, or by its name if the format is unknown."""
    form: str | None = row["format"]
    if form is not None:
        return EXTENSIONS.get(form, form)
    for name in (row["key"], row["uri"]):
        if name and is_image(name):
            return str(name.rpartition(".")[2].lower())
    return UNKNOWN


def described(row: Row) -> bytes:
    """Return a row as JSON, without nulls.

    `label` is only written if it is `real` or `generated`, which is what a training reads; `unsure` is written as its
    own key.
    """
    values = {name: value for name, value in row.items() if name != "label"}
    if (label := row.get("label")) is not None:
        values |= {"label": label} if label in CLASSES else {str(label): True}
    return json.dumps(_plain(values), ensure_ascii=False, sort_keys=True).encode("utf-8", "backslashreplace")


def _plain(value: object) -> Any:
    """Convert a value to JSON types: hashes in hexadecimal, times in ISO 8601, structs without nulls."""
    if isinstance(value, dict):
        return {name: _plain(own) for name, own in value.items() if own is not None}
    if isinstance(value, list):
        return [_plain(own) for own in value]
    if isinstance(value, bytes):
        return value.hex()
    return value.isoformat() if isinstance(value, datetime) else value

"""Prepare: bytes become the views that the model sees, `uint8 (C, 3, S, S)`; a fault becomes the row's status."""

import hashlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mole.preprocess import Preprocess
from mole.view import Pixels, views
from pipeline.decode import Bounds, Fault, Picture, decode
from pipeline.provenance import declared
from pipeline.records import PLACE, PREPARED, SAME_AS, SCORE, Status, like
from pipeline.scan.table.known import Known

HASH_BYTES = 16
KNOWN = [pa.field(*named) for named in SCORE]
OWN = tuple(name for name in PREPARED.names if name not in (*dict(PLACE), "pixels"))


def prepare(fetched: pa.Table, spec: Preprocess, bounds: Bounds, known: Known | None = None) -> pa.Table:
    """Decode and view a block of images.

    Args:
        fetched: a table of `FETCHED`.
        spec: the model's preprocessing.
        bounds: what is refused before it is decoded.
        known: verdicts of the model; an image whose bytes have one is not decoded.

    Returns:
        A table of `PREPARED`, row for row; with `known` also logit, gates and `same_as`, where they are known.
    """
    views_BN = np.empty((len(fetched), spec.bytes), np.uint8)
    rows: list[dict[str, Any]] = []
    seen: list[bool] = []
    for data, status in zip(fetched["data"], fetched["status"], strict=True):
        content = data.as_buffer().to_pybytes() if data.is_valid else None
        row, picture = _look_at(content, status.as_py(), spec, bounds, known)
        if picture is not None:
            views_BN[sum(seen)] = views(picture.pixels_3HW, spec).reshape(-1)
        rows.append(row)
        seen.append(picture is not None)
    more = [] if known is None else [*KNOWN, SAME_AS]
    schema = like(pa.schema([*PREPARED, *more]), fetched)
    columns: dict[str, Any] = {name: fetched[name] for name in schema.names if name in fetched.column_names}
    for name in (*OWN, *(field.name for field in more)):
        made = pa.array([row.get(name) for row in rows], schema.field(name).type)
        columns[name] = pa.chunked_array([made]) if name not in columns else _first(columns[name], made)
    columns["pixels"] = _column(views_BN, seen)
    return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema)


def _column(views_BN: Pixels, seen: list[bool]) -> pa.LargeBinaryArray:
    """See views that lie one behind the other as a column, without a copy; null where none was seen."""
    ends = np.cumsum([0, *seen], dtype=np.int64) * views_BN.shape[1]
    buffers = [pa.array(seen, pa.bool_()).buffers()[1], pa.py_buffer(ends), pa.py_buffer(views_BN[: sum(seen)])]
    return pa.Array.from_buffers(pa.large_binary(), len(seen), buffers)


def _first(known: pa.ChunkedArray, made: pa.Array) -> pa.ChunkedArray:
    """Keep what fetch knew; fill the rest."""
    return pc.coalesce(known, made)


def _look_at(
    data: bytes | None, status: str | None, spec: Preprocess, bounds: Bounds, known: Known | None
) -> tuple[dict[str, Any], Picture | None]:
    """Find out all that a row says of an image's bytes, and decode what must be scored."""
    if status is not None:
        return {}, None
    if not data:
        return {"status": Status.EMPTY, "detail": "no bytes"}, None
    facts: dict[str, Any] = {"content_hash": hashlib.sha256(data).digest()[:HASH_BYTES]}
    if known is not None and (found := known.find(facts["content_hash"])) is not None:
        return found | {"status": Status.OK}, None
    picture = decode(data, bounds, spec.window)
    facts |= {"format": picture.format, "width": picture.width, "height": picture.height}
    facts["provenance"] = declared(data, picture.format)
    if isinstance(picture, Fault):
        return facts | {"status": picture.status, "detail": picture.detail}, None
    return facts | {"status": Status.OK}, picture

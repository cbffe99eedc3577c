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
COLUMNS = {field.name: field.type for field in pa.schema([*PREPARED, *KNOWN, SAME_AS])}
UNFIT = (pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError)
"""What Arrow raises over a value that its column cannot hold."""
MOST_DETAIL = 500
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
        row, views_N = _looked_at(content, status.as_py(), spec, bounds, known)
        if views_N is not None:
            views_BN[sum(seen)] = views_N
        rows.append(row)
        seen.append(views_N is not None)
    more = [] if known is None else [*KNOWN, SAME_AS]
    schema = like(pa.schema([*PREPARED, *more]), fetched)
    columns: dict[str, Any] = {name: fetched[name] for name in schema.names if name in fetched.column_names}
    names = (*OWN, *(field.name for field in more))
    try:
        made = _columns(rows, names)
    except UNFIT:
        made = _columns([_fitting(row) for row in rows], names)
    for name, column in made.items():
        columns[name] = pa.chunked_array([column]) if name not in columns else _first(columns[name], column)
    columns["pixels"] = _column(views_BN, seen)
    return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema)


def _columns(rows: list[dict[str, Any]], names: tuple[str, ...]) -> dict[str, pa.Array]:
    return {name: pa.array([row.get(name) for row in rows], COLUMNS[name]) for name in names}


def _column(views_BN: Pixels, seen: list[bool]) -> pa.LargeBinaryArray:
    """See views that lie one behind the other as a column, without a copy; null where none was seen."""
    ends = np.cumsum([0, *seen], dtype=np.int64) * views_BN.shape[1]
    buffers = [pa.array(seen, pa.bool_()).buffers()[1], pa.py_buffer(ends), pa.py_buffer(views_BN[: sum(seen)])]
    return pa.Array.from_buffers(pa.large_binary(), len(seen), buffers)


def _first(known: pa.ChunkedArray, made: pa.Array) -> pa.ChunkedArray:
    """Keep what fetch knew; fill the rest."""
    return pc.coalesce(known, made)


def _looked_at(
    data: bytes | None, status: str | None, spec: Preprocess, bounds: Bounds, known: Known | None
) -> tuple[dict[str, Any], Pixels | None]:
    """Look at one image: whatever is raised by it is its row, and never its neighbours' too."""
    row: dict[str, Any] = {}
    if status is not None:
        return row, None
    try:
        picture = _look_at(data, bounds, spec, known, row)
        return row, None if picture is None else views(picture.pixels_3HW, spec).reshape(-1)
    except Exception as reason:  # noqa: BLE001 - one image's bytes are all that is looked at here, so they are the cause
        status = Status.TOO_LARGE if isinstance(reason, MemoryError) else Status.UNSUPPORTED
        return row | {"status": status, "detail": f"{type(reason).__name__}: {reason}"}, None


def _fitting(row: dict[str, Any]) -> dict[str, Any]:
    """Leave out of a row what no column holds, and say so: a number too large, a text that is not UTF-8."""
    unfit = [name for name, value in row.items() if not _fits(name, value)]
    if not unfit:
        return row
    told = "; ".join([str(row.get("detail") or ""), *(f"no column holds its {name}: {row[name]!r}" for name in unfit)])
    kept = {name: None if name in unfit else value for name, value in row.items()}
    return kept | {"detail": told.strip("; ")[:MOST_DETAIL].encode("utf-8", "backslashreplace").decode()}


def _fits(name: str, value: Any) -> bool:
    try:
        pa.scalar(value, COLUMNS[name])
    except UNFIT:
        return False
    return True


def _look_at(
    data: bytes | None, bounds: Bounds, spec: Preprocess, known: Known | None, row: dict[str, Any]
) -> Picture | None:
    """Put into a row all that it says of an image's bytes, and decode what must be scored."""
    if not data:
        row |= {"status": Status.EMPTY, "detail": "no bytes"}
        return None
    row["content_hash"] = hashlib.sha256(data).digest()[:HASH_BYTES]
    if known is not None and (found := known.find(row["content_hash"])) is not None:
        row |= found | {"status": Status.OK}
        return None
    picture = decode(data, bounds, spec.window)
    row |= {"format": picture.format, "width": picture.width, "height": picture.height}
    row["provenance"] = declared(data, picture.format)
    if isinstance(picture, Fault):
        row |= {"status": picture.status, "detail": picture.detail}
        return None
    row["status"] = Status.OK
    return picture

"""Prepare: bytes become the views that the model sees, `uint8 (C, 3, S, S)`; a fault becomes the row's status."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mole.views.preprocess import Preprocess
from mole.views.view import Pixels, views
from pipeline.images.decode import Bounds, Fault, decode
from pipeline.images.provenance import declared
from pipeline.records import COPY, PLACE, PREPARED, SAME_AS, SCORE, Status, like
from pipeline.runtime.isolation import Server, bounded_time, server
from pipeline.runtime.task_attempts import is_poison_suspected
from pipeline.scan.table.known import Known

HASH_BYTES = 16
KNOWN = [pa.field(*named) for named in SCORE]
COLUMNS = {field.name: field.type for field in pa.schema([*PREPARED, *KNOWN, SAME_AS])}
UNFIT = (pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError)
"""What Arrow raises over a value that its column cannot hold."""
MOST_DETAIL = 500
OWN = tuple(name for name in PREPARED.names if name not in (*dict(PLACE), "pixels"))

Facts = dict[str, Any]
"""What a row says of its image, by column."""
Look = Callable[[bytes], tuple[Facts, Pixels | None]]
"""Decodes an image and cuts its views, uint8 (C, 3, S, S); None where there is a fault."""
Claim = Callable[[Sequence[bytes], Sequence[str]], Sequence[bool]]
"""Told the content and the place of some images, says for each whether it is the one of its content to be scored."""


def prepare(
    fetched: pa.Table, spec: Preprocess, look: Look, *, known: Known | None = None, claim: Claim | None = None
) -> pa.Table:
    """Decode and view a block of images.

    Args:
        fetched: a table of `FETCHED`.
        spec: the model's preprocessing.
        look: decodes an image and cuts its views.
        known: verdicts of the model; an image whose bytes have one is not decoded.
        claim: with `known`; an image that is another's copy is not decoded, and its row waits for the other's.

    Returns:
        A table of `PREPARED`, row for row; with `known` also logit, gates and `same_as`, where they are known.
    """
    views_BN = np.empty((len(fetched), spec.bytes), np.uint8)
    contents = [data.as_buffer().to_pybytes() if data.is_valid else None for data in fetched["data"]]
    rows = [_settled(*one, known) for one in zip(contents, fetched["status"].to_pylist(), strict=True)]
    if claim is not None:
        _set_copies_apart(rows, fetched, claim)
    seen: list[bool] = []
    for content, row in zip(contents, rows, strict=True):
        view = None
        if content and "status" not in row:
            facts, view = look(content)
            row.update(facts)
        if view is not None:
            views_BN[sum(seen)] = view.reshape(-1)
        seen.append(view is not None)
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


def chosen(spec: Preprocess, bounds: Bounds) -> Look:
    """Look at images in this process, or, where the workers of this task have died twice, at each in one of its own."""
    if not is_poison_suspected():
        return here(spec, bounds)
    heavy = ("torch",) if spec.resizes else ()
    return isolated(spec, bounds, server(__name__, *heavy))


def here(spec: Preprocess, bounds: Bounds) -> Look:
    """Look at images in this process, which a decoder that dies takes with it."""

    def look(data: bytes) -> tuple[Facts, Pixels | None]:
        with bounded_time():
            return next(looked_at(data, spec, bounds))

    return look


def isolated(spec: Preprocess, bounds: Bounds, children: Server) -> Look:
    """Look at each image in a process of its own; what ends that process is the image's fault."""

    def look(data: bytes) -> tuple[Facts, Pixels | None]:
        outcome = children.call(looked_at, data, spec, bounds)
        if outcome.died:
            return {"status": Status.CRASHED, "detail": f"decoding failed: {outcome.words}"}, None
        facts, view = outcome.results[0]
        return facts, view

    return look


def looked_at(data: bytes, spec: Preprocess, bounds: Bounds) -> Iterator[tuple[Facts, Pixels | None]]:
    """Find out all that a row says of an image's bytes, and cut its views where it is sound; one result.

    Whatever is raised here is raised by these bytes alone, so it is their row's fault and no other's.

    Args:
        data: the whole file, at least one byte.
        spec: which views.
        bounds: what is refused before it is decoded.
    """
    facts: Facts = {}
    view = None
    try:
        picture = decode(data, bounds, spec.window)
        facts |= {"format": picture.format, "width": picture.width, "height": picture.height}
        facts["provenance"] = declared(data, picture.format)
        if isinstance(picture, Fault):
            facts |= {"status": picture.status, "detail": picture.detail}
        else:
            view = views(picture.pixels_3HW, spec)
            facts["status"] = Status.OK
    except Exception as reason:  # noqa: BLE001 - one image's bytes are all that is looked at here, so they are the cause
        status = Status.TOO_LARGE if isinstance(reason, MemoryError) else Status.UNSUPPORTED
        facts |= {"status": status, "detail": f"{type(reason).__name__}: {reason}"}
    yield facts, view


def _settled(data: bytes | None, status: str | None, known: Known | None) -> Facts:
    """Find what a row says before its image is decoded; a row with a status needs no more."""
    if status is not None:
        return {"status": status}
    if not data:
        return {"status": Status.EMPTY, "detail": "no bytes"}
    content_hash = hashlib.sha256(data).digest()[:HASH_BYTES]
    found = None if known is None else known.find(content_hash)
    return {"content_hash": content_hash} | ({} if found is None else found | {"status": Status.OK})


def _set_copies_apart(rows: list[Facts], fetched: pa.Table, claim: Claim) -> None:
    """Mark each image whose content another one is to be scored for."""
    left = [number for number, row in enumerate(rows) if "status" not in row]
    units, indices = fetched["unit"].to_pylist(), fetched["index"].to_pylist()
    places = [f"{units[number]}#{indices[number]}" for number in left]
    for number, own in zip(left, claim([rows[number]["content_hash"] for number in left], places), strict=True):
        if not own:
            rows[number] |= {"status": Status.OK, SAME_AS.name: COPY}


def _columns(rows: list[Facts], names: Sequence[str]) -> dict[str, pa.Array]:
    return {name: pa.array([row.get(name) for row in rows], COLUMNS[name]) for name in names}


def _fitting(row: Facts) -> Facts:
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


def _column(views_BN: Pixels, seen: list[bool]) -> pa.LargeBinaryArray:
    """See views that lie one behind the other as a column, without a copy; null where none was seen."""
    ends = np.cumsum([0, *seen], dtype=np.int64) * views_BN.shape[1]
    buffers = [pa.array(seen, pa.bool_()).buffers()[1], pa.py_buffer(ends), pa.py_buffer(views_BN[: sum(seen)])]
    return pa.Array.from_buffers(pa.large_binary(), len(seen), buffers)


def _first(known: pa.ChunkedArray, made: pa.Array) -> pa.ChunkedArray:
    """Keep what fetch knew; fill the rest."""
    return pc.coalesce(known, made)

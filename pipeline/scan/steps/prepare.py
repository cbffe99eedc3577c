"""Prepare: decode images and cut the model's views, `uint8 (C, 3, S, S)`; a fault becomes the row's status."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mole.views.preprocess import Preprocess
from mole.views.view import Pixels, views
from pipeline.images import cropped
from pipeline.images.decode import Bounds, Fault, decode
from pipeline.images.provenance import declared_provenance
from pipeline.records import PLACE, PREPARED, SAME_AS, SCORE, UNRESOLVED_DUPLICATE, Status, with_optional_columns
from pipeline.runtime.isolation import ForkServer, fork_server, limit_cpu_time
from pipeline.runtime.task_attempts import is_poison_suspected
from pipeline.scan.table.content_index import ContentIndex

HASH_BYTES = 16
INDEXED = [pa.field(*named) for named in SCORE]
COLUMNS = {field.name: field.type for field in pa.schema([*PREPARED, *INDEXED, SAME_AS])}
ARROW_ERRORS = (pa.ArrowException, OverflowError, UnicodeError, ValueError, TypeError)
"""What Arrow raises for a value that its column cannot hold."""
MAX_DETAIL_CHARACTERS = 500
ADDED_COLUMNS = tuple(name for name in PREPARED.names if name not in (*dict(PLACE), "pixels"))

Facts = dict[str, Any]
"""The columns that a row adds to its place."""
Decoded = tuple[Facts, Pixels | None]
"""An image's columns and its views, uint8 (C, 3, S, S); None where it has a fault."""
Decode = Callable[[Sequence[bytes]], Iterable[Decoded]]
"""Decodes images and cuts their views, one result for each, in their order."""
Claim = Callable[[Sequence[bytes], Sequence[str]], Sequence[bool]]
"""Takes content hashes and places of images; tells for each whether it is the one of its content to score."""


def prepare(
    fetched: pa.Table,
    spec: Preprocess,
    decode: Decode,
    *,
    index: ContentIndex | None = None,
    claim: Claim | None = None,
) -> pa.Table:
    """Decode a block of images and cut their views.

    Args:
        fetched: a table of `FETCHED`.
        spec: the model's preprocessing.
        decode: decodes images and cuts their views.
        index: verdicts of the model by content hash; an image whose bytes have one is not decoded.
        claim: with `index`; a duplicate of another image is not decoded, and its row waits for that image's verdict.

    Returns:
        A table of `PREPARED`, row for row; with `index` also logit, gates and `same_as`, where the index has them.
    """
    views_BN = np.empty((len(fetched), spec.bytes), np.uint8)
    contents = [data.as_buffer().to_pybytes() if data.is_valid else None for data in fetched["data"]]
    rows = [_before_decoding(*one, index) for one in zip(contents, fetched["status"].to_pylist(), strict=True)]
    if claim is not None:
        _mark_duplicates(rows, fetched, claim)
    has_view = [False] * len(rows)
    wanted = [(number, data) for number, data in enumerate(contents) if data and "status" not in rows[number]]
    for (number, _), (facts, view) in zip(wanted, decode([data for _, data in wanted]), strict=True):
        rows[number].update(facts)
        if view is not None:
            views_BN[sum(has_view)] = view.reshape(-1)
            has_view[number] = True
    more = [] if index is None else [*INDEXED, SAME_AS]
    schema = with_optional_columns(pa.schema([*PREPARED, *more]), fetched)
    columns: dict[str, Any] = {name: fetched[name] for name in schema.names if name in fetched.column_names}
    names = (*ADDED_COLUMNS, *(field.name for field in more))
    try:
        added = _columns(rows, names)
    except ARROW_ERRORS:
        added = _columns([_without_unfit(row) for row in rows], names)
    for name, column in added.items():
        columns[name] = pa.chunked_array([column]) if name not in columns else _coalesce(columns[name], column)
    columns["pixels"] = _column(views_BN, has_view)
    return pa.Table.from_pydict({name: columns[name] for name in schema.names}, schema)


def choose_decoder(spec: Preprocess, bounds: Bounds, *, isolated: bool = False) -> Decode:
    """Decode in this process, or in a child: if asked, or where the workers of this task have died twice."""
    if not isolated and not is_poison_suspected():
        return decode_in_process(spec, bounds)
    heavy = ("torch",) if spec.resizes and not cropped.IS_BUILT else ()
    return decode_isolated(spec, bounds, fork_server(__name__, *heavy))


def decode_in_process(spec: Preprocess, bounds: Bounds) -> Decode:
    """Decode images in this process, which dies with a decoder that crashes."""

    def decode_here(contents: Sequence[bytes]) -> Iterator[Decoded]:
        """Yield a result for each image."""
        for data in contents:
            with limit_cpu_time():
                yield decode_image(data, spec, bounds)

    return decode_here


def decode_isolated(spec: Preprocess, bounds: Bounds, children: ForkServer) -> Decode:
    """Decode images in a child process; a crash of that process is the fault of one image, and another goes on."""

    def decode_there(contents: Sequence[bytes]) -> Iterator[Decoded]:
        """Yield a result for each image."""
        left = list(contents)
        while left:
            outcome = children.call(decode_images, left, spec, bounds)
            yield from outcome.results
            if outcome.died:
                yield {"status": Status.CRASHED, "detail": f"decoding failed: {outcome.cause}"}, None
            left = left[len(outcome.results) + outcome.died :]

    return decode_there


def decode_images(contents: Sequence[bytes], spec: Preprocess, bounds: Bounds) -> Iterator[Decoded]:
    """Decode images one after the other; see `decode_image`."""
    return (decode_image(data, spec, bounds) for data in contents)


def decode_image(data: bytes, spec: Preprocess, bounds: Bounds) -> Decoded:
    """Decode an image, and cut its views where it is sound.

    Only these bytes are processed here, so any exception is a fault of their row alone.

    Args:
        data: the whole file, at least one byte.
        spec: which views.
        bounds: what is refused before decoding.
    """
    facts: Facts = {}
    view = None
    try:
        picture = decode(data, bounds, spec.region)
        facts |= {"format": picture.format, "width": picture.width, "height": picture.height}
        facts["provenance"] = declared_provenance(data, picture.format)
        if isinstance(picture, Fault):
            facts |= {"status": picture.status, "detail": picture.detail}
        else:
            view = views(picture.pixels_3HW, spec)
            facts["status"] = Status.OK
    except Exception as reason:  # noqa: BLE001 - only one image's bytes are processed here, so they are the cause
        status = Status.TOO_LARGE if isinstance(reason, MemoryError) else Status.UNSUPPORTED
        facts |= {"status": status, "detail": f"{type(reason).__name__}: {reason}"}
    return facts, view


def _before_decoding(data: bytes | None, status: str | None, index: ContentIndex | None) -> Facts:
    """Fill a row as far as possible without decoding; a row with a status is complete."""
    if status is not None:
        return {"status": status}
    if not data:
        return {"status": Status.EMPTY, "detail": "no bytes"}
    content_hash = hashlib.sha256(data).digest()[:HASH_BYTES]
    found = None if index is None else index.find(content_hash)
    return {"content_hash": content_hash} | ({} if found is None else found | {"status": Status.OK})


def _mark_duplicates(rows: list[Facts], fetched: pa.Table, claim: Claim) -> None:
    """Mark each image that is a duplicate of an image that is scored."""
    pending = [number for number, row in enumerate(rows) if "status" not in row]
    units, indices = fetched["unit"].to_pylist(), fetched["index"].to_pylist()
    places = [f"{units[number]}#{indices[number]}" for number in pending]
    hashes = [rows[number]["content_hash"] for number in pending]
    for number, is_first in zip(pending, claim(hashes, places), strict=True):
        if not is_first:
            rows[number] |= {"status": Status.OK, SAME_AS.name: UNRESOLVED_DUPLICATE}


def _columns(rows: list[Facts], names: Sequence[str]) -> dict[str, pa.Array]:
    """Make columns of shape (rows,), in the types of `COLUMNS`; null where a row lacks the name."""
    return {name: pa.array([row.get(name) for row in rows], COLUMNS[name]) for name in names}


def _without_unfit(row: Facts) -> Facts:
    """Drop values that their column cannot hold (a number too large, text that is not UTF-8), and name them."""
    unfit = [name for name, value in row.items() if not _fits(name, value)]
    if not unfit:
        return row
    detail = "; ".join(
        [str(row.get("detail") or ""), *(f"no column holds its {name}: {row[name]!r}" for name in unfit)]
    )
    sound = {name: None if name in unfit else value for name, value in row.items()}
    return sound | {"detail": detail.strip("; ")[:MAX_DETAIL_CHARACTERS].encode("utf-8", "backslashreplace").decode()}


def _fits(name: str, value: Any) -> bool:
    try:
        pa.scalar(value, COLUMNS[name])
    except ARROW_ERRORS:
        return False
    return True


def _column(views_BN: Pixels, has_view: list[bool]) -> pa.LargeBinaryArray:
    """Wrap contiguous views, uint8 (B, N), as a column of shape (rows,) without a copy; null where a row has none."""
    ends = np.cumsum([0, *has_view], dtype=np.int64) * views_BN.shape[1]
    buffers = [pa.array(has_view, pa.bool_()).buffers()[1], pa.py_buffer(ends), pa.py_buffer(views_BN[: sum(has_view)])]
    return pa.Array.from_buffers(pa.large_binary(), len(has_view), buffers)


def _coalesce(fetched: pa.ChunkedArray, added: pa.Array) -> pa.ChunkedArray:
    """Keep the values of fetch, and fill the rest; both have the shape (rows,)."""
    return pc.coalesce(fetched, added)

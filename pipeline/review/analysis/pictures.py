"""Pictures: thumbnails of images of a verdict table, within bounds on time and bytes.

Bytes are read by daemon threads, which are abandoned after their timeout.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from queue import Empty, Queue
from threading import Thread
from typing import Any

from mole.errors import MoleError
from pipeline.images.thumbnail import MAX_BYTES, MAX_PIXELS, Thumbnail, thumbnail
from pipeline.records import Status
from pipeline.review.analysis.original_bytes import Unavailable, originals
from pipeline.storage.fault import STORE_FAULTS

PARALLEL_READS = 4
UNIT_SECONDS, TOTAL_SECONDS = 10.0, 40.0
"""Timeouts in seconds: for the images of one unit, and for all."""
MAX_TOTAL_BYTES = 512 << 20
"""Maximum bytes to read for all images."""
FILE_GONE = "not there any more"
"""The reason for an image whose file no longer exists."""

Place = tuple[str, int]
Row = Mapping[str, Any]
Answer = tuple[Row, bytes | Unavailable]


@dataclass
class _Reading:
    """A thread that reads the images of a unit.

    Attributes:
        rows: of one unit.
        ends: time at which it is abandoned.
        answers: queue of its results, with None at the end.
    """

    rows: list[Row]
    ends: float
    answers: "Queue[Answer | None]" = field(default_factory=lambda: Queue(maxsize=1))

    def begin(self) -> None:
        """Start the daemon thread."""
        Thread(target=self._read, daemon=True).start()

    def results(self) -> Iterator[Answer]:
        """Yield the results until the end or the timeout."""
        while True:
            try:
                answer = self.answers.get(timeout=max(0.001, self.ends - time.monotonic()))
            except Empty:
                return
            if answer is None:
                return
            yield answer

    def _read(self) -> None:
        try:
            for answer in originals(self.rows):
                self.answers.put(answer)
        except (*STORE_FAULTS, MoleError) as reason:
            for row in self.rows:
                self.answers.put((row, Unavailable(Status.UNREACHABLE, str(reason))))
        self.answers.put(None)


def pictures(rows: Sequence[Row]) -> dict[Place, Thumbnail]:
    """Make thumbnails for rows of a verdict table.

    Args:
        rows: rows with the columns of `original`, `bytes`, `width` and `height`; duplicates are allowed.

    Returns:
        Thumbnails by unit and index.
    """
    wanted: dict[Place, Row] = {_place(row): row for row in rows}
    made = {place: Thumbnail(why=why) for place, row in wanted.items() if (why := _refused(row))}
    left = sorted((row for place, row in wanted.items() if place not in made), key=_place)
    waiting = deque([*some] for _, some in groupby(left, key=lambda row: row["unit"]))
    over, budget = time.monotonic() + TOTAL_SECONDS, MAX_TOTAL_BYTES
    while waiting and budget > 0 and time.monotonic() < over:
        ends = min(over, time.monotonic() + UNIT_SECONDS)
        begun = [_Reading(waiting.popleft(), ends) for _ in range(min(PARALLEL_READS, len(waiting)))]
        for reading in begun:
            reading.begin()
        for row, found in (answer for reading in begun for answer in reading.results()):
            made[_place(row)] = _shown(found)
            budget -= len(found) if isinstance(found, bytes) else 0
            if budget <= 0 or time.monotonic() > over:
                break
    for place in wanted:
        made.setdefault(place, Thumbnail(why="not shown: reading it for this page took too long"))
    return made


def _place(row: Row) -> Place:
    return row["unit"], row["index"]


def _refused(row: Row) -> str:
    """Return why an image is not read at all; else empty."""
    size, pixels = row["length"] or row["bytes"] or 0, (row["width"] or 0) * (row["height"] or 0)
    if size > MAX_BYTES:
        return f"not shown: {size:,} bytes, over the bound of {MAX_BYTES:,} for a thumbnail"
    if pixels > MAX_PIXELS:
        return f"not shown: {pixels:,} pixels, over the bound of {MAX_PIXELS:,} for a thumbnail"
    return ""


def _shown(found: bytes | Unavailable) -> Thumbnail:
    return Thumbnail(why=_reason(found)) if isinstance(found, Unavailable) else thumbnail(found)


def _reason(gone: Unavailable) -> str:
    if gone.status is Status.MISSING and gone.detail.startswith("no such"):
        return FILE_GONE
    return f"not shown: {gone.status.replace('_', ' ')}, {gone.detail}"

"""Pictures: reads images again and renders thumbnails, previews and views in child processes, with a cache."""

import queue
import threading
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from mole.views.preprocess import Preprocess
from mole.views.view import Pixels
from pipeline.images.decode import Fault
from pipeline.review.analysis.original_bytes import Unavailable, original
from pipeline.review.browsing import rendering
from pipeline.review.browsing.snapshot import Row
from pipeline.runtime.isolation import Call, ForkServer, Outcome

PROCESSES = 2
"""Decoding processes."""
READERS = 6
"""Images read in parallel; each is held in memory, at most 64 MiB."""
SHUTDOWN_SECONDS = 1.0
"""Timeout of running calls on shutdown in seconds."""
CACHE_BYTES = 128 << 20
"""Size of the cache in bytes."""
REASONS = {
    "missing": "It does not exist any more",
    "forbidden": "The store does not allow reading it",
    "unreachable": "The store does not answer",
    "too_large": "It is too large to be shown",
    "empty": "The file is empty",
    "crashed": "Decoding it ended the process that did so",
}


@dataclass(frozen=True)
class Absent:
    """The reason why there is no picture, in words."""

    words: str


class Pool:
    """A pool of fork servers; a call waits for a free one."""

    def __init__(self, size: int, *modules: str) -> None:
        self._modules = modules
        self._free: queue.Queue[ForkServer | None] = queue.Queue()
        for _ in range(size):
            self._free.put(None)  # a process is started on first use
        self._size = size

    def call(self, function: Call, *arguments: object) -> Outcome:
        """Call a function in a child process."""
        server = self._free.get()
        kept = None
        try:
            kept = server or ForkServer(*self._modules)
            return kept.call(function, *arguments)
        except OSError:
            kept = None  # the server has died; the next call starts another
            raise
        finally:
            self._free.put(kept)

    def close(self) -> None:
        """End the processes; one with a long call ends with this process."""
        with suppress(queue.Empty):
            for _ in range(self._size):
                server = self._free.get(timeout=SHUTDOWN_SECONDS)
                if server is not None:
                    server.close()


class Pictures:
    """Renders images of the table.

    Args:
        processes: number of decoding processes.
    """

    def __init__(self, processes: int = PROCESSES) -> None:
        self._decoding = Pool(processes, rendering.__name__)
        self._viewing = Pool(1, rendering.__name__, "torch")  # resizes views with torch
        self._reading = threading.BoundedSemaphore(READERS)
        self._kept: OrderedDict[tuple[object, ...], bytes | Absent] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def thumbnail(self, row: Row) -> bytes | Absent:
        """Return a thumbnail as JPEG."""
        return self._made(row, self._decoding, rendering.shrunk, rendering.THUMBNAIL)

    def large(self, row: Row) -> bytes | Absent:
        """Return a large preview as JPEG."""
        return self._made(row, self._decoding, rendering.shrunk, rendering.LARGE)

    def seen(self, row: Row, spec: Preprocess) -> bytes | Absent:
        """Return the views of an image as PNG."""
        return self._made(row, self._pool(spec), rendering.seen, spec)

    def views(self, row: Row, spec: Preprocess) -> Pixels | Absent:
        """Return the views of an image; uint8 (C, 3, S, S)."""
        made: Pixels | Absent = self._result(row, self._pool(spec), rendering.viewed, (spec,))
        return made

    def close(self) -> None:
        """End the processes."""
        self._decoding.close()
        self._viewing.close()

    def _pool(self, spec: Preprocess) -> Pool:
        return self._viewing if spec.resizes else self._decoding

    def _made(self, row: Row, pool: Pool, function: Call, wish: int | Preprocess) -> bytes | Absent:
        key = (row["id"], function.__name__, wish if isinstance(wish, int) else wish.fingerprint)
        with self._lock:
            if (kept := self._kept.get(key)) is not None:
                self._kept.move_to_end(key)
                return kept
        made = self._result(row, pool, function, (wish,))
        assert isinstance(made, bytes | Absent)
        self._keep(key, made)
        return made

    def _result(self, row: Row, pool: Pool, function: Call, wishes: Sequence[object]) -> Any:
        with self._reading:
            data = original(row)
            if isinstance(data, Unavailable):
                return Absent(f"{REASONS.get(data.status, 'It cannot be read')}: {data.detail}")
            try:
                outcome = pool.call(function, data, *wishes)
            except OSError as reason:
                return Absent(f"It could not be decoded: {reason}")
        if outcome.died or not outcome.results:
            return Absent(f"{REASONS['crashed']}: {outcome.cause}")
        [result] = outcome.results
        return Absent(f"This picture cannot be shown: {result.detail}") if isinstance(result, Fault) else result

    def _keep(self, key: tuple[object, ...], made: bytes | Absent) -> None:
        if isinstance(made, Absent):
            return  # it may be available at the next request
        with self._lock:
            if key not in self._kept:
                self._bytes += len(made)
            self._kept[key] = made
            while self._bytes > CACHE_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest) if isinstance(oldest, bytes) else 0

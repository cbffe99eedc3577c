"""Pictures: what a browser is shown of images, read again, made in child processes, and kept for a while."""

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
from pipeline.review.browsing import rendering
from pipeline.review.browsing.snapshot import Row
from pipeline.review.evidence.original import Unavailable, original
from pipeline.runtime.isolation import Call, Outcome, Server

PROCESSES = 2
"""That decode at a time."""
READERS = 6
"""Images that are read at a time; each is held whole, 64 MiB at most."""
PATIENCE = 1.0
"""Seconds that a call has at the end."""
KEPT_BYTES = 128 << 20
"""Of pictures that were made."""
WORDS = {
    "missing": "It is not there any more",
    "forbidden": "The store does not allow reading it",
    "unreachable": "The store does not answer",
    "too_large": "It is too large to be shown",
    "empty": "The file is empty",
    "crashed": "Decoding it ended the process that did so",
}


@dataclass(frozen=True)
class Absent:
    """Why there is no picture, in words."""

    words: str


class Pool:
    """Processes that decode, each of which forks a child for each image; a call waits for one that is free."""

    def __init__(self, size: int, *modules: str) -> None:
        self._modules = modules
        self._free: queue.Queue[Server | None] = queue.Queue()
        for _ in range(size):
            self._free.put(None)  # a process is started when it is first wanted
        self._size = size

    def call(self, function: Call, *arguments: object) -> Outcome:
        """Call a function in a child of its own."""
        server = self._free.get()
        kept = None
        try:
            kept = server or Server(*self._modules)
            return kept.call(function, *arguments)
        except OSError:
            kept = None  # that process is gone; the next call starts another
            raise
        finally:
            self._free.put(kept)

    def close(self) -> None:
        """End the processes; one whose call is not over soon ends with this process."""
        with suppress(queue.Empty):
            for _ in range(self._size):
                server = self._free.get(timeout=PATIENCE)
                if server is not None:
                    server.close()


class Pictures:
    """Makes pictures of images of the table.

    Args:
        processes: that decode at a time.
    """

    def __init__(self, processes: int = PROCESSES) -> None:
        self._decoding = Pool(processes, rendering.__name__)
        self._viewing = Pool(1, rendering.__name__, "torch")  # what shrinks a view to the model's size
        self._reading = threading.BoundedSemaphore(READERS)
        self._kept: OrderedDict[tuple[object, ...], bytes | Absent] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def thumbnail(self, row: Row) -> bytes | Absent:
        """Make a small JPEG of an image."""
        return self._made(row, self._decoding, rendering.shrunk, rendering.THUMBNAIL)

    def large(self, row: Row) -> bytes | Absent:
        """Make a JPEG of an image for a whole window."""
        return self._made(row, self._decoding, rendering.shrunk, rendering.LARGE)

    def seen(self, row: Row, spec: Preprocess) -> bytes | Absent:
        """Make a PNG of what a model with these views sees of an image."""
        return self._made(row, self._pool(spec), rendering.seen, spec)

    def views(self, row: Row, spec: Preprocess) -> Pixels | Absent:
        """Cut the views of an image; uint8 (C, 3, S, S)."""
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
                return Absent(f"{WORDS.get(data.status, 'It cannot be read')}: {data.detail}")
            try:
                outcome = pool.call(function, data, *wishes)
            except OSError as reason:
                return Absent(f"It could not be decoded: {reason}")
        if outcome.died or not outcome.results:
            return Absent(f"{WORDS['crashed']}: {outcome.words}")
        [result] = outcome.results
        return Absent(f"This picture cannot be shown: {result.detail}") if isinstance(result, Fault) else result

    def _keep(self, key: tuple[object, ...], made: bytes | Absent) -> None:
        if isinstance(made, Absent):
            return  # what is gone now may be there at the next look
        with self._lock:
            if key not in self._kept:
                self._bytes += len(made)
            self._kept[key] = made
            while self._bytes > KEPT_BYTES:
                _, oldest = self._kept.popitem(last=False)
                self._bytes -= len(oldest) if isinstance(oldest, bytes) else 0

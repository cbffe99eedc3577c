"""A stream: a file of a store read from its beginning to its end, with the next pieces on their way already."""

import io
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, cast

from pipeline import patience, storage

PIECE = 8 << 20
"""Bytes of one request: a few hundred images, and a quarter of the requests that a smaller one would take."""
AHEAD = 3
"""Pieces on their way while one is read; with it at most 32 MiB of a shard lie in memory."""


def opened(url: str) -> BinaryIO:
    """Open a file for reading; an object store's comes in ranged requests, each asked again while its fault may pass.

    Raises:
        OSError: as the store said it; `fault_of` names it.
    """
    fs, path = storage.filesystem(url)
    if patience.is_near(url) or patience.is_web(url):
        return cast(BinaryIO, fs.open(path, "rb"))
    facts = patience.patiently(lambda: fs.info(path), url)
    return cast(BinaryIO, io.BufferedReader(Ranged(url, int(facts["size"])), buffer_size=1 << 16))


class Ranged(io.RawIOBase):
    """An object of a known size, read in order by ranged requests that overtake the reader.

    Args:
        url: the object.
        size: its bytes.
    """

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._starts = iter(range(0, size, PIECE))
        self._size = size
        self._readers = ThreadPoolExecutor(AHEAD, thread_name_prefix="stream")
        self._coming: deque[Future[bytes]] = deque()
        self._piece = memoryview(b"")
        for _ in range(AHEAD):
            self._ask()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a buffer with what comes next; 0 at the end.

        Raises:
            OSError: the store failed for longer than the patience with it.
        """
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if not self._piece and self._coming:
            self._piece = memoryview(self._coming.popleft().result())
            self._ask()
        taken = min(len(target), len(self._piece))
        target[:taken] = self._piece[:taken]
        self._piece = self._piece[taken:]
        return taken

    def close(self) -> None:
        """Let what is on its way go."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _ask(self) -> None:
        start = next(self._starts, None)
        if start is not None:
            end = min(start + PIECE, self._size)
            self._coming.append(self._readers.submit(storage.read_range, self._url, start, end))

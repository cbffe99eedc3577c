"""Streaming reads: sequential reads of a remote file with prefetched ranged requests."""

import errno
import io
import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, cast

from fsspec.implementations.local import LocalFileSystem

from pipeline.storage import local, retry, storage
from pipeline.storage.access_policy import AccessPolicy
from pipeline.storage.http_response import Body
from pipeline.storage.web import WebFileSystem

REQUEST_BYTES = 8 << 20
"""Bytes per request: a few hundred images, and a quarter of the requests of fsspec's default."""
REQUESTS_AHEAD = 3
"""Prefetched requests; with the current one at most 32 MiB of a shard are in memory."""


def open_stream(url: str, policy: AccessPolicy | None = None) -> BinaryIO:
    """Open a file for sequential reading.

    An object store, and a web server that supports ranges, is read in ranged requests with retries; another web server
    as one body.

    Args:
        url: its URL.
        policy: the places that are allowed; None allows all.

    Raises:
        OSError: the store's error; `fault_of` classifies it.
    """
    fs, path = storage.filesystem(url, policy)
    if isinstance(fs, LocalFileSystem):
        return local.open_regular(path)
    if retry.is_never_retried(url):
        return cast(BinaryIO, fs.open(path, "rb"))
    if isinstance(fs, WebFileSystem):
        body = retry.with_retries(lambda: fs.size_or_body(path), url)
        raw: io.RawIOBase = RangedStream(url, body, policy) if isinstance(body, int) else BodyStream(fs, path, body)
        return cast(BinaryIO, io.BufferedReader(raw, buffer_size=1 << 16))
    place = storage.info(url, policy=policy)
    if place is None or place.size is None:
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), url)
    return cast(BinaryIO, io.BufferedReader(RangedStream(url, place.size, policy), buffer_size=1 << 16))


class RangedStream(io.RawIOBase):
    """An object of known size, read by prefetched ranged requests.

    Args:
        url: its URL.
        size: in bytes.
        policy: the places that are allowed; None allows all.
    """

    def __init__(self, url: str, size: int, policy: AccessPolicy | None = None) -> None:
        self._url = url
        self._policy = policy
        self._starts = iter(range(0, size, REQUEST_BYTES))
        self._size = size
        self._readers = ThreadPoolExecutor(REQUESTS_AHEAD, thread_name_prefix="stream")
        self._coming: deque[Future[bytes]] = deque()
        self._piece = memoryview(b"")
        for _ in range(REQUESTS_AHEAD):
            self._request_next()

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read the next bytes into a buffer; 0 at the end.

        Raises:
            OSError: the store failed in all retries.
        """
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if not self._piece and self._coming:
            self._piece = memoryview(self._coming.popleft().result())
            self._request_next()
        taken = min(len(target), len(self._piece))
        target[:taken] = self._piece[:taken]
        self._piece = self._piece[taken:]
        return taken

    def close(self) -> None:
        """Cancel prefetched requests."""
        self._readers.shutdown(wait=False, cancel_futures=True)
        super().close()

    def _request_next(self) -> None:
        start = next(self._starts, None)
        if start is not None:
            end = min(start + REQUEST_BYTES, self._size)
            self._coming.append(self._readers.submit(storage.read_range, self._url, start, end, policy=self._policy))


class BodyStream(io.RawIOBase):
    """A whole response body as a stream; after a failure it is requested again and skipped to the position.

    Args:
        web: the client.
        url: the file's URL.
        body: its body, opened.
    """

    def __init__(self, web: WebFileSystem, url: str, body: Body) -> None:
        self._web = web
        self._url = url
        self._body: Body | None = body
        self._identity = body.identity
        self._at = self._skip = 0
        self._piece = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read the next bytes into a buffer; 0 at the end.

        Raises:
            OSError: the server failed in all retries, or the file changed.
        """
        target = memoryview(buffer).cast("B")  # type: ignore[arg-type]
        if not self._piece:
            self._piece = memoryview(retry.with_retries(self._next, self._url))
        taken = min(len(target), len(self._piece))
        target[:taken] = self._piece[:taken]
        self._piece = self._piece[taken:]
        return taken

    def close(self) -> None:
        """Close the connection."""
        self._close_body()
        super().close()

    def _next(self) -> bytes:
        """Read the next chunk, reopening the body after a failure."""
        try:
            if self._body is None:
                self._body, self._skip = self._reopened(), self._at
            while piece := self._body.next():
                piece, self._skip = piece[self._skip :], max(0, self._skip - len(piece))
                if piece:
                    break
        except BaseException:
            self._close_body()
            raise
        self._at += len(piece)
        return piece

    def _reopened(self) -> Body:
        body = self._web.size_or_body(self._url)
        if isinstance(body, int):
            raise OSError(f"{self._url} supports range requests now and did not before")
        if body.identity != self._identity:
            body.close()
            raise OSError(f"{self._url} changed while it was read")
        return body

    def _close_body(self) -> None:
        if self._body is not None:
            self._body.close()
            self._body = None

"""Web file system: HTTP reads with timeouts, range requests, and local copies where a server does not support ranges.

fsspec's own client takes the first network chunk of a body without a length for all of it; this one detects the end of
a body by HTTP's rules. Timeouts are set here; retries are left to the caller (`pipeline.storage.retry`).
"""

import asyncio
import re
import weakref
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any, BinaryIO, cast
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp import ClientResponse
from fsspec.asyn import sync
from fsspec.exceptions import FSTimeoutError
from fsspec.implementations.http import HTTPFileSystem
from fsspec.spec import AbstractBufferedFile
from yarl import URL

from pipeline.storage import http_response, retry
from pipeline.storage.access_policy import AccessPolicy
from pipeline.storage.fault import SlowError
from pipeline.storage.file_info import identity_of
from pipeline.storage.http_response import PARTIAL, Body, check_response, file_facts, pieces, read_body, total_size
from pipeline.storage.local_copies import Copy, LocalCopies

AGENT = "mole-scan"
"""The `User-Agent` header."""
CONNECT_TIMEOUT = 10.0
"""Connect timeout in seconds."""
CLOSE_TIMEOUT = 1.0
"""Timeout in seconds of closing idle connections."""
IMAGE_TIMEOUT = 120.0
"""Total timeout of an image in seconds."""
MAX_REDIRECTS = 10
MAX_HEADER_BYTES = 1 << 16
"""Maximum bytes of a header line; some servers send long policies."""
LEGAL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"
"""Characters of a URL that are not quoted, besides letters, digits, `-`, `.` and `_`."""
LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
"""A percent sign that is not part of an escape."""
DOT_SEGMENTS = re.compile(r"/\.{1,2}(/|$)")


class WebFileSystem(HTTPFileSystem):  # type: ignore[misc]
    """fsspec's HTTP file system with other implementations of info and reads.

    Args:
        policy: the addresses that are allowed, also after redirects; None allows all.
        options: of fsspec.
    """

    def __init__(self, *, policy: AccessPolicy | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.policy = policy
        self.copies = LocalCopies()
        self._connector: aiohttp.TCPConnector | None = None

    def encode_url(self, url: str) -> URL:
        """Encode a URL: unchanged, since signatures cover it, with only illegal characters quoted."""
        parts = urlsplit(url)
        if not parts.netloc.isascii() or DOT_SEGMENTS.search(parts.path):
            return URL(url)  # yarl encodes international names and dot segments
        return URL(quote(LONE_PERCENT.sub("%25", url), safe=LEGAL_CHARACTERS), encoded=True)

    async def set_session(self) -> aiohttp.ClientSession:
        """Return the session of fsspec's own methods, which read index pages, with the same settings."""
        if self._session is None:
            self._session: aiohttp.ClientSession | None = self._new_session()
        return self._session

    def read(self, url: str, *, max_bytes: int | None = None) -> bytes:
        """Read a file's body, whatever length is announced.

        Args:
            url: its URL.
            max_bytes: stop after this many decoded bytes, with a timeout of `IMAGE_TIMEOUT` seconds; None reads all.

        Raises:
            OSError: the server failed, or the body is truncated (or another of `STORE_FAULTS`).
        """
        return cast(bytes, sync(self.loop, self._read, url, max_bytes))

    def size_or_body(self, url: str) -> "int | Body":
        """Request a file's first byte to find out whether the server supports ranges.

        Returns:
            The file's size if it does; else its whole body, opened.

        Raises:
            OSError: the server failed (or another of `STORE_FAULTS`).
        """
        return cast("int | Body", sync(self.loop, self._part_or_whole, url))

    def _new_session(self) -> aiohttp.ClientSession:
        if self._connector is None:
            own = None if self.policy is None else self.policy.socket
            self._connector = aiohttp.TCPConnector(loop=self.loop, socket_factory=own)
            weakref.finalize(self, close_connections, self.loop, self._connector)
        return aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )

    @asynccontextmanager
    async def _answer(self, url: str, span: str | None = None, method: str = "GET") -> AsyncIterator[ClientResponse]:
        """Send a request; a session per request keeps cookies through redirects and isolated from other requests.

        Args:
            url: the requested URL.
            span: the value of the `Range` header.
            method: `GET` or `HEAD`.
        """
        headers = {} if span is None else {"Range": f"bytes={span}"}
        async with AsyncExitStack() as stack:
            session = await stack.enter_async_context(self._new_session())
            try:
                async with asyncio.timeout(http_response.CHUNK_TIMEOUT):
                    answer = await stack.enter_async_context(
                        session.request(
                            method,
                            self.encode_url(url),
                            headers=headers,
                            max_redirects=MAX_REDIRECTS,
                            allow_redirects=True,
                        )
                    )
            except aiohttp.ServerTimeoutError:
                raise
            except TimeoutError as reason:
                raise SlowError(f"no response within {http_response.CHUNK_TIMEOUT:g} s") from reason
            check_response(answer, ranged=span is not None)
            yield answer

    async def _read(self, url: str, max_bytes: int | None) -> bytes:
        try:
            async with asyncio.timeout(None if max_bytes is None else IMAGE_TIMEOUT), self._answer(url) as answer:
                return await read_body(answer, max_bytes)
        except aiohttp.ServerTimeoutError:
            raise
        except TimeoutError as reason:
            raise SlowError(f"not complete within {IMAGE_TIMEOUT:g} s") from reason

    async def _info(self, url: str, **options: Any) -> dict[str, Any]:
        """Return a file's size and identity, by HEAD, or by GET if HEAD is refused or has no size."""
        try:
            async with self._answer(url, method="HEAD") as answer:
                facts = file_facts(answer, url)
        except aiohttp.ClientError:
            facts = {"size": None}
        if facts["size"] is None:
            async with self._part(url, 0, 1) as (answer, _):
                facts = file_facts(answer, url)
        self.copies.evict(url, unless=identity_of(facts))
        return facts

    @asynccontextmanager
    async def _part(self, url: str, start: int, end: int) -> AsyncIterator[tuple[ClientResponse, int | None]]:
        """Request a range of a file.

        Yields:
            The response and the file's size; or the response with the whole file and None, if ranges are not supported.
        """
        async with self._answer(url, f"{start}-{end - 1}") as answer:
            size = total_size(answer, start)
            if size is not None or answer.status != PARTIAL:
                yield answer, size
                return
        async with self._answer(url) as answer:
            yield answer, None

    async def _cat_file(self, url: str, start: int | None = None, end: int | None = None, **options: Any) -> bytes:
        if start is None or end is None or min(start, end) < 0:
            return (await self._read(url, None))[start:end]
        if start >= end:
            return b""
        copy = self.copies.get(url)
        if copy is None:
            async with self._part(url, start, end) as (answer, size):
                if size is not None:
                    return await read_body(answer, end - start) if size else b""
                copy = await self._copied(url, answer)
        return copy.read(start, end - start)

    async def _copied(self, url: str, answer: ClientResponse) -> Copy:
        """Copy a response's body to a local copy, once for all waiting readers."""
        async with self.copies.lock(url):
            copy = self.copies.get(url)
            if copy is None:
                copy = Copy(identity_of(file_facts(answer, url)))
                async for piece in pieces(answer):
                    copy.append(piece)
                self.copies.keep(url, copy)
            return copy

    async def _part_or_whole(self, url: str) -> "int | Body":
        stack = AsyncExitStack()
        answer, size = await stack.enter_async_context(self._part(url, 0, 1))
        if size is None:
            return Body(self.loop, answer, stack)
        await stack.aclose()
        return size

    async def _seekable(self, url: str) -> int | Copy:
        copy = self.copies.get(url)
        if copy is not None:
            return copy
        async with self._part(url, 0, 1) as (answer, size):
            return await self._copied(url, answer) if size is None else size

    def _open(self, path: str, mode: str = "rb", **options: Any) -> BinaryIO:
        """Open a seekable file: by range requests, or as a local copy."""
        if mode != "rb":
            raise NotImplementedError(f"{path!r} is on a web server and can only be read")
        size = retry.with_retries(lambda: sync(self.loop, self._seekable, path), path)
        if isinstance(size, Copy):
            return size.opened()
        return cast(BinaryIO, RangedFile(self, path, mode, size=size))


def close_connections(loop: asyncio.AbstractEventLoop, connector: aiohttp.TCPConnector) -> None:
    """Close idle connections, at the latest when Python ends: aiohttp reports those that stay open."""

    async def close() -> None:
        """Close them within the loop."""
        await connector.close()

    with suppress(FSTimeoutError, RuntimeError):  # of a loop that has ended, or that this is called from
        sync(loop, close, timeout=CLOSE_TIMEOUT)


class RangedFile(AbstractBufferedFile):  # type: ignore[misc]
    """A seekable file on a server that supports ranges."""

    def _fetch_range(self, start: int, end: int) -> bytes:
        return retry.with_retries(lambda: bytes(self.fs.cat_file(self.path, start=start, end=end)), self.path)

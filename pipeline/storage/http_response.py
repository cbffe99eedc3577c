"""HTTP response: file facts from the headers, and the body with a minimum transfer rate."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
from aiohttp import ClientResponse
from aiohttp.http import HttpProcessingError
from fsspec.asyn import sync

from pipeline.storage.content_encoding import ContentDecoder
from pipeline.storage.fault import SlowError
from pipeline.storage.file_info import identity_of

CHUNK_TIMEOUT, MIN_CHUNK_BYTES = 30.0, 1 << 15
"""Seconds for the response headers including redirects, and for each further `MIN_CHUNK_BYTES` of the body: a server
slower than a kilobyte per second is given up."""
REDIRECTED, PARTIAL, UNSATISFIABLE = 300, 206, 416
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
IDENTITY_HEADERS = ("ETag", "Last-Modified")


class Body:
    """A response body that is read in chunks.

    Args:
        loop: the client's event loop.
        response: the response, its body unread.
        stack: closes its resources.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, response: ClientResponse, stack: AsyncExitStack) -> None:
        self._loop = loop
        self._response = response
        self._stack = stack
        self._codings = decoder_for(response)
        self._trailing = TrailingBytes(response)
        self._pieces: Any = iter(())
        self._ended = False
        self.identity = identity_of(file_facts(response, ""))

    def next(self) -> bytes:
        """Return the next chunk, b"" at the end.

        Raises:
            OSError: the server failed, or the body is truncated (or another of `STORE_FAULTS`).
        """
        while True:
            for part in self._pieces:
                if part:
                    return bytes(part)
            if self._ended:
                return b""
            piece = sync(self._loop, read_chunk, self._response)
            self._ended = not piece
            if self._ended:
                self._trailing.require_none()
            self._pieces = self._codings.feed(piece) if piece else self._codings.finish()

    def close(self) -> None:
        """Close the connection."""
        sync(self._loop, self._stack.aclose)


class TrailingBytes:
    """Detects bytes that a server sends after the announced end of the body.

    Args:
        response: the response, its body unread.
    """

    def __init__(self, response: ClientResponse) -> None:
        connection = response.connection  # None if a short body arrived together with the headers
        self._protocol = None if connection is None else connection.protocol

    def require_none(self) -> None:
        """Check, after the body was read, that there were none: otherwise length or body is wrong.

        Raises:
            OSError: there were some.
        """
        if self._protocol is not None and isinstance(self._protocol.exception(), HttpProcessingError):
            raise OSError("the server sent more bytes than the announced length")


def check_response(response: ClientResponse, *, ranged: bool) -> None:
    """Check that a response has the requested body, and not a part of it or an error page.

    Raises:
        aiohttp.ClientResponseError: its status is an error or a redirect, or it is a part that was not requested.
    """
    if ranged and response.status == UNSATISFIABLE and response.headers.get("Content-Range", "").endswith("*/0"):
        return  # an empty file has no range
    response.raise_for_status()
    byte_range = RANGE.match(response.headers.get("Content-Range", ""))
    whole = byte_range is not None and int(byte_range[1]) == 0 and int(byte_range[2]) + 1 == int(byte_range[3])
    if response.status >= REDIRECTED or (response.status == PARTIAL and not ranged and not whole):
        raise aiohttp.ClientResponseError(
            response.request_info,
            response.history,
            status=response.status,
            message="not the whole file",
            headers=response.headers,
        )


def total_size(response: ClientResponse, start: int) -> int | None:
    """Return the total size of the file from a range response, None if it is not the requested range."""
    if response.status == UNSATISFIABLE:
        return 0
    byte_range = RANGE.match(response.headers.get("Content-Range", ""))
    if response.status != PARTIAL or byte_range is None or int(byte_range[1]) != start or decoder_for(response):
        return None
    return int(byte_range[3])


def file_facts(response: ClientResponse, url: str) -> dict[str, Any]:
    """Return the facts about a file in the headers, in the form of fsspec's `info`."""
    length = response.headers.get("Content-Length", "")
    byte_range = RANGE.match(response.headers.get("Content-Range", ""))
    size = (
        int(byte_range[3]) if byte_range else int(length) if length.isdecimal() and not decoder_for(response) else None
    )
    checked = {name: response.headers[name] for name in IDENTITY_HEADERS if response.headers.get(name)}
    return {"name": url, "type": "file", "size": 0 if response.status == UNSATISFIABLE else size, **checked}


def decoder_for(response: ClientResponse) -> ContentDecoder:
    """Create the decoder of a response's `Content-Encoding`."""
    return ContentDecoder(",".join(response.headers.getall("Content-Encoding", ())))


async def read_chunk(response: ClientResponse) -> bytes:
    """Read the next chunk of a body, b"" at its end; raise `SlowError` if the server is too slow."""
    body = bytearray()
    try:
        async with asyncio.timeout(CHUNK_TIMEOUT):
            while len(body) < MIN_CHUNK_BYTES and (part := await response.content.readany()):
                body += part
    except TimeoutError as reason:
        raise SlowError(f"only {len(body):,} bytes within {CHUNK_TIMEOUT:g} s") from reason
    return bytes(body)


async def pieces(response: ClientResponse) -> AsyncIterator[bytes]:
    """Yield a decoded body in chunks."""
    codings, excess = decoder_for(response), TrailingBytes(response)
    while piece := await read_chunk(response):
        for part in codings.feed(piece):
            yield part
    excess.require_none()
    for part in codings.finish():
        yield part


async def read_body(response: ClientResponse, max_bytes: int | None) -> bytes:
    """Read a decoded body, at most `max_bytes` of it."""
    body = bytearray()
    async for piece in pieces(response):
        body += piece
        if max_bytes is not None and len(body) >= max_bytes:
            break
    return bytes(body[:max_bytes])

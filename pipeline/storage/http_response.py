"""A web server's answer: what its head says of a file, and its body, read to its end at a bounded slowness."""

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

CHUNK_TIMEOUT, LEAST = 30.0, 1 << 15
"""Within so many seconds the head of an answer must be there, redirects followed, and then each time so many bytes of
its body: a server that gives less than a kilobyte a second is left."""
REDIRECTED, PARTIAL, UNSATISFIABLE = 300, 206, 416
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
CHECKED = ("ETag", "Last-Modified")


class Body:
    """A body that is being read, piece by piece.

    Args:
        loop: where the client runs.
        answer: what the server said, its body unread.
        stack: closes what was opened for it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, answer: ClientResponse, stack: AsyncExitStack) -> None:
        self._loop = loop
        self._answer = answer
        self._stack = stack
        self._codings = decoder_for(answer)
        self._excess = TrailingBytes(answer)
        self._pieces: Any = iter(())
        self._ended = False
        self.identity = identity_of(file_facts(answer, ""))

    def next(self) -> bytes:
        """Return what comes next, b"" at the end.

        Raises:
            OSError: the server failed, or the body ended before its time (or another of `STORE_FAULTS`).
        """
        while True:
            for part in self._pieces:
                if part:
                    return bytes(part)
            if self._ended:
                return b""
            piece = sync(self._loop, read_chunk, self._answer)
            self._ended = not piece
            if self._ended:
                self._excess.refuse()
            self._pieces = self._codings.feed(piece) if piece else self._codings.finish()

    def close(self) -> None:
        """Let the server go."""
        sync(self._loop, self._stack.aclose)


class TrailingBytes:
    """What a server sends behind the end of a body that it announced, as far as it comes with it.

    Args:
        answer: its body unread.
    """

    def __init__(self, answer: ClientResponse) -> None:
        connection = answer.connection  # gone already where a short body came whole with its head
        self._protocol = None if connection is None else connection.protocol

    def refuse(self) -> None:
        """Check that there was none, once the body was read: one of the two, length or body, is not what it should be.

        Raises:
            OSError: there was.
        """
        if self._protocol is not None and isinstance(self._protocol.exception(), HttpProcessingError):
            raise OSError("more bytes came than the announced length")


def check_response(answer: ClientResponse, *, ranged: bool) -> None:
    """Check that an answer has the body that was asked for, and no part of it or word about it in its place."""
    if ranged and answer.status == UNSATISFIABLE and answer.headers.get("Content-Range", "").endswith("*/0"):
        return  # of an empty file there is no part
    answer.raise_for_status()
    span = RANGE.match(answer.headers.get("Content-Range", ""))
    whole = span is not None and int(span[1]) == 0 and int(span[2]) + 1 == int(span[3])
    if answer.status >= REDIRECTED or (answer.status == PARTIAL and not ranged and not whole):
        raise aiohttp.ClientResponseError(
            answer.request_info, answer.history, status=answer.status, message="no whole file", headers=answer.headers
        )


def total_size(answer: ClientResponse, start: int) -> int | None:
    """Return the size of the file that a part was asked of, None if the answer is not that part."""
    if answer.status == UNSATISFIABLE:
        return 0
    span = RANGE.match(answer.headers.get("Content-Range", ""))
    if answer.status != PARTIAL or span is None or int(span[1]) != start or decoder_for(answer):
        return None
    return int(span[3])


def file_facts(answer: ClientResponse, url: str) -> dict[str, Any]:
    """Write what an answer's head says of a file, in fsspec's words."""
    length = answer.headers.get("Content-Length", "")
    span = RANGE.match(answer.headers.get("Content-Range", ""))
    size = int(span[3]) if span else int(length) if length.isdecimal() and not decoder_for(answer) else None
    checked = {name: answer.headers[name] for name in CHECKED if answer.headers.get(name)}
    return {"name": url, "type": "file", "size": 0 if answer.status == UNSATISFIABLE else size, **checked}


def decoder_for(answer: ClientResponse) -> ContentDecoder:
    """Make what undoes the codings that an answer's head names."""
    return ContentDecoder(",".join(answer.headers.getall("Content-Encoding", ())))


async def read_chunk(answer: ClientResponse) -> bytes:
    """Read what comes next of a body, b"" at its end; a server that is too slow is left."""
    held = bytearray()
    try:
        async with asyncio.timeout(CHUNK_TIMEOUT):
            while len(held) < LEAST and (part := await answer.content.readany()):
                held += part
    except TimeoutError as reason:
        raise SlowError(f"only {len(held):,} bytes came within {CHUNK_TIMEOUT:g} s") from reason
    return bytes(held)


async def pieces(answer: ClientResponse) -> AsyncIterator[bytes]:
    """Read a body to its end, its codings undone."""
    codings, excess = decoder_for(answer), TrailingBytes(answer)
    while piece := await read_chunk(answer):
        for part in codings.feed(piece):
            yield part
    excess.refuse()
    for part in codings.finish():
        yield part


async def read_body(answer: ClientResponse, most: int | None) -> bytes:
    """Read a body to its end, or to so many bytes."""
    held = bytearray()
    async for piece in pieces(answer):
        held += piece
        if most is not None and len(held) >= most:
            break
    return bytes(held[:most])

"""S3 file system: s3fs with the retries of all other calls, for look-ups and for files that Arrow and DuckDB open.

s3fs alone tries five times within two seconds, which no storm and no restart of a server is over in. It also takes any
answer with status 200 for an object's, and a shorter one for a whole. Arrow and DuckDB read through these files.
"""

import errno
from typing import Any

from aiobotocore.client import AioBaseClient
from aiobotocore.httpsession import AIOHTTPSession
from aiohttp import ClientSession
from fsspec.asyn import sync
from s3fs import S3FileSystem
from s3fs.core import S3File

from pipeline.storage import bucket, guard
from pipeline.storage.retry import with_retries

PRECONDITION_FAILED = errno.EINVAL
"""What s3fs makes of status 412: the object has another ETag than the request asks for."""


class GuardedSession(AIOHTTPSession):  # type: ignore[misc]  # aiobotocore has no types
    """HTTP sessions that never repeat a guarded request.

    aiohttp sends a PUT or a DELETE once more when its connection breaks, after the guard was asked.
    """

    async def _get_session(self, proxy_url: str | None) -> ClientSession:
        session: ClientSession = await super()._get_session(proxy_url)
        session._retry_connection = not guard.is_guarded()  # read when the request begins, before anything else runs
        return session


class S3Files(S3FileSystem):  # type: ignore[misc]  # s3fs has no types
    """s3fs for reading tables; nothing is cached between calls but the connections."""

    def _prepare_config_kwargs(self) -> dict[str, Any]:
        return {"http_session_cls": GuardedSession, **super()._prepare_config_kwargs()}

    async def set_session(self, *args: Any, **options: Any) -> AioBaseClient:
        """Connect as s3fs does; the client refuses changes whose guard was checked too long ago."""
        known = self._s3
        client = await super().set_session(*args, **options)
        if client is not known:  # s3fs asks before every request
            guard.watch(client)
        return client

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Look up an object or a prefix.

        Raises:
            OSError: the last failure (or another of `STORE_FAULTS`).
        """
        url = _url_of(path)

        def once() -> dict[str, Any]:
            """Look up in one attempt; raises OSError."""
            try:
                found: dict[str, Any] = sync(self.loop, self._info, path, **options)
            except FileNotFoundError:
                if bucket.info(self, url) is not None:  # a listing that s3fs took for an empty one is asked for again
                    raise OSError(f"{url} was not there, and then it was") from None
                return {"name": path, "size": 0, "type": "directory"}
            if found["type"] == "file":
                bucket.require_object(found, url)
            return found

        return with_retries(once, url)

    def exists(self, path: str, **options: Any) -> bool:
        """Return whether there is an object, or a prefix of some.

        Raises:
            OSError: the last failure (or another of `STORE_FAULTS`).
        """
        try:
            self.info(path, **options)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str) -> int:
        """Return an object's size in bytes.

        Raises:
            OSError: the last failure (or another of `STORE_FAULTS`).
        """
        return int(self.info(path)["size"])

    def glob(self, path: str, **options: Any) -> Any:
        """List the objects whose key matches a pattern.

        Raises:
            OSError: the last failure (or another of `STORE_FAULTS`).
        """
        return with_retries(lambda: sync(self.loop, self._glob, path, **options), _url_of(path))

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **options: Any) -> None:
        """Write an object in one attempt; with the mode `create` only where there is none.

        Raises:
            OSError: the store failed, or the answer is not a store's (or another of `STORE_FAULTS`).
        """
        try:
            answer = sync(self.loop, self._pipe_file, path, value, mode=mode, **options)
        except KeyError as reason:  # of several parts, whose answers s3fs takes for a store's
            raise OSError(f"the answer for {path} lacks {reason} and so is not a store's") from reason
        if answer is not None:
            bucket.require_object(answer, _url_of(path))

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Do nothing: keys need no folders, and s3fs would ask for the bucket."""

    def _open(self, path: str, mode: str = "rb", **options: Any) -> S3File:
        """Open an object; s3fs makes the file, and this class its requests."""
        file = super()._open(path, mode, **options)
        if mode == "wb":
            send = file._call_s3
            file._call_s3 = lambda *args, **more: with_retries(lambda: send(*args, **more), _url_of(path))
        if mode == "rb":
            url = _url_of(path)
            begun = False

            def once(start: int, end: int) -> bytes:
                """Request in one attempt; until a range was read, an ETag that does not hold is looked up again."""
                try:
                    return bucket.read(self, url, (start, end), **file.read_kw)
                except OSError as reason:
                    found = self.info(path) if reason.errno == PRECONDITION_FAILED and not begun else {}
                    if found.get("size") != file.size:
                        raise
                file.read_kw["IfMatch"] = found["ETag"]
                return bucket.read(self, url, (start, end), **file.read_kw)

            def fetch(start: int, end: int) -> bytes:
                """Request a range, checked as every range is."""
                nonlocal begun
                data = with_retries(lambda: once(start, end), url)
                begun = True
                return data

            file.cache.fetcher = fetch
        return file


def _url_of(path: str) -> str:
    return f"s3://{path.partition('://')[2] or path}"

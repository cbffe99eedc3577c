"""A store of S3 on loopback that keeps keys to the letter, as Amazon's does; SeaweedFS folds empty segments."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, unquote, urlsplit

MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"


class Letters(BaseHTTPRequestHandler):
    """Answers ListObjectsV2, HEAD, GET, PUT and DELETE, of one bucket.

    Attributes:
        objects: by key.
        bucket: its name; any other is not there.
        forbidden: a prefix of keys that nobody may list or read.
        page: keys of one page of a listing.
        asked: every request.
    """

    protocol_version = "HTTP/1.1"
    objects: dict[str, bytes]
    bucket: str
    forbidden: str
    page: int
    asked: list[str]

    def do_HEAD(self) -> None:
        """Say what an object is."""
        self._answer()

    def do_GET(self) -> None:
        """Send an object, a part of it, or a page of the list."""
        self._answer()

    def do_PUT(self) -> None:
        """Take an object, unless it may only be a new one and is none."""
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = self._key()
        if self.headers.get("If-None-Match") and key in self.objects:
            self._error(412, "PreconditionFailed")
        else:
            self.objects[key] = data
            self._send(200, b"", {"ETag": tag(data)})

    def do_DELETE(self) -> None:
        """Remove an object, if there is one."""
        self.objects.pop(self._key(), None)
        self._send(204, b"", {})

    def _key(self) -> str:
        return unquote(urlsplit(self.path).path).lstrip("/").partition("/")[2]

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path[1:]).partition("/")
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        self.asked.append(f"{self.command} {key or query.get('prefix', '')}")
        if bucket != self.bucket:
            self._error(404, "NoSuchBucket")
        elif self.forbidden and (key or query.get("prefix", "")).startswith(self.forbidden):
            self._error(403, "AccessDenied")
        elif not key:
            self._send(200, self._list(query).encode(), {"Content-Type": "application/xml"})
        elif key not in self.objects:
            self._error(404, "NoSuchKey")
        else:
            self._object(self.objects[key])

    def _object(self, data: bytes) -> None:
        headers = {"ETag": tag(data), "Last-Modified": MODIFIED}
        if self.headers.get("If-Match") not in (None, tag(data)):
            self._error(412, "PreconditionFailed")
            return
        span = self.headers.get("Range")
        if span is None:
            self._send(200, data, headers)
            return
        first, _, last = span.removeprefix("bytes=").partition("-")
        if int(first) >= len(data):
            self._error(416, "InvalidRange")
            return
        part = data[int(first) : int(last) + 1]
        told = f"bytes {first}-{int(first) + len(part) - 1}/{len(data)}"
        self._send(206, part, headers | {"Content-Range": told})

    def _list(self, query: dict[str, str]) -> str:
        prefix, delimiter, after = (query.get(name, "") for name in ("prefix", "delimiter", "continuation-token"))
        entries: dict[str, str] = {}
        for key, data in sorted(self.objects.items()):
            rest = key.removeprefix(prefix)
            if not key.startswith(prefix):
                continue
            if delimiter and delimiter in rest:
                shared = prefix + rest.partition(delimiter)[0] + delimiter
                entries[shared] = f"<CommonPrefixes><Prefix>{quote(shared)}</Prefix></CommonPrefixes>"
            else:
                entries[key] = (
                    f"<Contents><Key>{quote(key)}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
                    f"<ETag>{tag(data).replace(chr(34), '&quot;')}</ETag><Size>{len(data)}</Size></Contents>"
                )
        names = [name for name in sorted(entries) if name > unquote(after)]
        most = min(self.page, int(query.get("max-keys", self.page)))
        more = f"<NextContinuationToken>{quote(names[most - 1])}</NextContinuationToken>" if len(names) > most else ""
        return (
            f"<ListBucketResult><Name>{self.bucket}</Name><Prefix>{quote(prefix)}</Prefix>"
            f"<EncodingType>url</EncodingType><IsTruncated>{'true' if more else 'false'}</IsTruncated>{more}"
            f"{''.join(entries[name] for name in names[:most])}</ListBucketResult>"
        )

    def _error(self, status: int, code: str) -> None:
        self._send(status, f"<Error><Code>{code}</Code><Message>{code}</Message></Error>".encode(), {})

    def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(len(body))}).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


def tag(data: bytes) -> str:
    """Write an object's ETag."""
    return f'"{hashlib.md5(data).hexdigest()}"'


@contextmanager
def letters(
    objects: dict[str, bytes], *, bucket: str = "lake", forbidden: str = "", page: int = 1000
) -> Iterator[tuple[int, list[str]]]:
    """Run the store.

    Yields:
        Its port, and the list of what it was asked.
    """
    asked: list[str] = []
    facts = {"objects": objects, "bucket": bucket, "forbidden": forbidden, "page": page, "asked": asked}
    with ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Letters,), facts)) as server:
        server.daemon_threads = True
        serving = threading.Thread(target=server.serve_forever, daemon=True)
        serving.start()
        try:
            yield server.server_port, asked
        finally:
            server.shutdown()
            serving.join()

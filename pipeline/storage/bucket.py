"""S3 bucket: lists and reads objects by their literal keys.

s3fs treats a key as a path: its listings omit keys with an empty segment, and a path loses trailing slashes and what
looks like a version. To S3 a key is a string, so here objects are listed by raw prefix and read by raw key.
"""

import re
from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from pipeline.storage.file_info import FileInfo, identity_of
from pipeline.storage.retry import with_retries

UNSATISFIABLE = "InvalidRange"
RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
"""A Content-Range: first byte, last byte, size of the object."""


def split(url: str) -> tuple[str, str]:
    """Split an `s3://` URL into bucket and key; the key is everything after the bucket's slash."""
    rest = url.partition("://")[2]
    if rest.startswith("arn:"):
        bucket, key = S3FileSystem._find_bucket_key(None, rest)
        return str(bucket), str(key)
    bucket, _, key = rest.partition("/")
    return bucket, key


def info(fs: S3FileSystem, url: str) -> FileInfo | None:
    """Return an object's file info; None for a prefix of other objects.

    Raises:
        OSError: there is neither, or the store denies access (or another of `STORE_FAULTS`).
    """
    bucket, key = split(url)
    if key:
        try:
            head = fs.call_s3("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            pass
        else:
            require_object(head, url)
            size = int(head["ContentLength"])
            if size or not key.endswith("/"):  # else it is a folder marker
                facts = {"ETag": head.get("ETag"), "LastModified": head.get("LastModified"), "size": size}
                return FileInfo(url, size, identity_of(facts))
    page = _listed(fs, {"Bucket": bucket, "Prefix": prefix_of(url), "MaxKeys": 1})
    if not page.get("Contents"):
        raise FileNotFoundError(f"{url}: the bucket has neither such a key nor one with this prefix")
    return None


def prefix_of(url: str) -> str:
    """Return the prefix of all keys below a URL; trailing slashes are part of it."""
    key = split(url)[1]
    return key if not key or key.endswith("/") else f"{key}/"


def folder(url: str) -> str:
    """Return the URL of a prefix with its trailing slash."""
    return f"s3://{split(url)[0]}/{prefix_of(url)}"


def below(fs: S3FileSystem, url: str) -> Iterator[FileInfo | str]:
    """List the direct children of a prefix, page by page; nothing is cached.

    Args:
        fs: the file system.
        url: the prefix; a trailing slash is added if missing.

    Yields:
        Each object, and each common prefix as a URL with a trailing slash. Folder markers are omitted.

    Raises:
        OSError: the store denies access (or another of `STORE_FAULTS`).
    """
    bucket, prefix = split(url)[0], prefix_of(url)
    place: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
    while True:
        page = with_retries(lambda: _listed(fs, place), url)
        for entry in page.get("CommonPrefixes") or ():
            yield f"s3://{bucket}/{entry['Prefix']}"
        for entry in page.get("Contents") or ():
            key, size = str(entry["Key"]), int(entry["Size"])
            if size or not key.endswith("/"):
                facts = {"ETag": entry.get("ETag"), "LastModified": entry.get("LastModified"), "size": size}
                yield FileInfo(f"s3://{bucket}/{key}", size, identity_of(facts))
        if not page.get("IsTruncated"):
            return
        place["ContinuationToken"] = page["NextContinuationToken"]


def names(fs: S3FileSystem, url: str) -> list[str]:
    """List the URLs of the direct children of a prefix.

    Raises:
        OSError: the store denies access (or another of `STORE_FAULTS`).
    """
    return [child if isinstance(child, str) else child.url for child in below(fs, url)]


def read(fs: S3FileSystem, url: str, byte_range: tuple[int, int] | None = None, **conditions: str | None) -> bytes:
    """Read an object, or the byte range [start, end) of it, in one request.

    Args:
        fs: the file system.
        url: the object's URL.
        byte_range: the range.
        conditions: further parameters of the request, such as `IfMatch`.

    Raises:
        OSError: the store failed, or sent fewer bytes than announced (or another of `STORE_FAULTS`).
    """
    bucket, key = split(url)
    part = {} if byte_range is None else {"Range": f"bytes={byte_range[0]}-{byte_range[1] - 1}"}
    try:
        answer = fs.call_s3("get_object", Bucket=bucket, Key=key, **part, **conditions)
        require_object(answer, url)
        data = bytes(sync(fs.loop, _whole, answer["Body"]))
    except (OSError, ClientError) as reason:
        if byte_range is not None and byte_range[0] == 0 and UNSATISFIABLE in repr(reason.__cause__ or reason):
            return b""  # an empty object has no range
        raise
    if len(data) != int(answer["ContentLength"]):
        raise OSError(f"received {len(data):,} of {int(answer['ContentLength']):,} bytes")
    return data if byte_range is None else within(byte_range, data, str(answer.get("ContentRange") or ""))


def within(span: tuple[int, int], data: bytes, content_range: str) -> bytes:
    """Insist that data is the requested range, up to the object's end, as its Content-Range tells.

    Args:
        span: the requested range [start, end).
        data: the answer's body.
        content_range: its Content-Range; empty if it has none.

    Returns:
        The bytes of the range.

    Raises:
        OSError: it is another range, or shorter than it says.
    """
    if not content_range:  # a server may ignore ranges and send the whole object
        return data[slice(*span)]
    found = RANGE.fullmatch(content_range)
    if found is None:
        raise OSError(f"the answer's range {content_range!r} is none")
    first, last, size = (None if number == "*" else int(number) for number in found.groups())
    behind = min(span[1], size) if size is not None else (last or 0) + 1
    if (first, (last or 0) + 1) != (span[0], behind) or len(data) != behind - span[0]:
        raise OSError(f"received {len(data):,} bytes as {content_range!r}, not bytes {span[0]:,} to {span[1]:,}")
    return data


def require_object(answer: dict[str, Any], url: str) -> None:
    """Insist that an answer is an object's: proxies send their error pages with status 200 too.

    Raises:
        OSError: it has no ETag, which every store sends.
    """
    if not answer.get("ETag"):
        raise OSError(f"the answer for {url} has no ETag and so is no object of a store")


def _listed(fs: S3FileSystem, place: dict[str, Any]) -> Any:
    """Request a page of a listing.

    Raises:
        OSError: the answer is no listing, or the store failed (or another of `STORE_FAULTS`).
    """
    page = fs.call_s3("list_objects_v2", **place)
    if "IsTruncated" not in page:  # an error page that is XML reads as an empty listing
        raise OSError(f"the answer for s3://{place['Bucket']}/{place['Prefix']} is no listing of a store")
    return page


async def _whole(body: Any) -> Any:
    """Read a body and release its connection, also on errors: the pool is small and waits for ever."""
    try:
        return await body.read()
    finally:
        body.close()

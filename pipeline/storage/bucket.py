"""A bucket of S3: its keys as they are, to the letter.

s3fs reads a key as a path: its listings leave out keys with an empty segment, and a path loses its last slashes and
what looks like a version. To S3 a key is text, so here objects are listed by raw prefix and asked for by their raw key.
"""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError
from fsspec.asyn import sync
from s3fs import S3FileSystem

from pipeline.storage.file_info import FileInfo, identity_of
from pipeline.storage.retry import with_retries

UNSATISFIABLE = "InvalidRange"


def split(url: str) -> tuple[str, str]:
    """Split an `s3://` URL into bucket and key; the key is all that stands behind the bucket's slash."""
    rest = url.partition("://")[2]
    if rest.startswith("arn:"):
        bucket, key = S3FileSystem._find_bucket_key(None, rest)
        return str(bucket), str(key)
    bucket, _, key = rest.partition("/")
    return bucket, key


def info(fs: S3FileSystem, url: str) -> FileInfo | None:
    """Look at an object; a prefix of others is None.

    Raises:
        OSError: neither is there, or the store refuses (or another of `STORE_FAULTS`).
    """
    bucket, key = split(url)
    if key:
        try:
            told = fs.call_s3("head_object", Bucket=bucket, Key=key)
        except FileNotFoundError:
            pass
        else:
            size = int(told["ContentLength"])
            if size or not key.endswith("/"):  # else it stands for a folder
                facts = {"ETag": told.get("ETag"), "LastModified": told.get("LastModified"), "size": size}
                return FileInfo(url, size, identity_of(facts))
    page = fs.call_s3("list_objects_v2", Bucket=bucket, Prefix=prefix_of(url), MaxKeys=1)
    if not page.get("Contents"):
        raise FileNotFoundError(f"{url}: the bucket holds no such key, and none that begins so")
    return None


def prefix_of(url: str) -> str:
    """Return the prefix of all keys below a URL; slashes at its end are part of it."""
    key = split(url)[1]
    return key if not key or key.endswith("/") else f"{key}/"


def folder(url: str) -> str:
    """Write a prefix with the slash that ends it."""
    return f"s3://{split(url)[0]}/{prefix_of(url)}"


def below(fs: S3FileSystem, url: str) -> Iterator[FileInfo | str]:
    """List what lies right below a prefix, page by page; nothing is kept.

    Args:
        fs: the store.
        url: the prefix; a slash is added if it has none at its end.

    Yields:
        Each object; and each prefix of more, as a URL with its slash. An empty object named as the prefix itself stands
        for a folder and is left out.

    Raises:
        OSError: the store refuses (or another of `STORE_FAULTS`).
    """
    bucket, prefix = split(url)[0], prefix_of(url)
    place: dict[str, Any] = {"Bucket": bucket, "Prefix": prefix, "Delimiter": "/"}
    while True:
        page = with_retries(lambda: fs.call_s3("list_objects_v2", **place), url)
        for told in page.get("CommonPrefixes") or ():
            yield f"s3://{bucket}/{told['Prefix']}"
        for told in page.get("Contents") or ():
            key, size = str(told["Key"]), int(told["Size"])
            if size or not key.endswith("/"):
                facts = {"ETag": told.get("ETag"), "LastModified": told.get("LastModified"), "size": size}
                yield FileInfo(f"s3://{bucket}/{key}", size, identity_of(facts))
        if not page.get("IsTruncated"):
            return
        place["ContinuationToken"] = page["NextContinuationToken"]


def read(fs: S3FileSystem, url: str, span: tuple[int, int] | None = None) -> bytes:
    """Read an object, or a span of its bytes (first, after the last), in one request.

    Raises:
        OSError: the store failed, or gave fewer bytes than it said (or another of `STORE_FAULTS`).
    """
    bucket, key = split(url)
    part = {} if span is None else {"Range": f"bytes={span[0]}-{span[1] - 1}"}
    try:
        answer = fs.call_s3("get_object", Bucket=bucket, Key=key, **part)
        data = bytes(sync(fs.loop, _whole, answer["Body"]))
    except (OSError, ClientError) as reason:
        if span is not None and span[0] == 0 and UNSATISFIABLE in repr(reason.__cause__ or reason):
            return b""  # an empty object has no part
        raise
    if len(data) != int(answer["ContentLength"]):
        raise OSError(f"{len(data):,} bytes came of {int(answer['ContentLength']):,}")
    return data


async def _whole(body: Any) -> Any:
    """Read a body and let its connection go, also where it breaks: the pool has few, and waits for them for ever."""
    try:
        return await body.read()
    finally:
        body.close()

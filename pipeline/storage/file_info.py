"""File info: URL, size and identity of a file in a listing."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.records import Status


@dataclass(frozen=True)
class FileInfo:
    """A file in a listing.

    Attributes:
        url: its URL; for a local file the absolute path, or a `file://` URL if its name is not UTF-8.
        size: in bytes, None if unknown.
        identity: changes when the bytes change: the ETag, or size and modification time.
        key: its path below the listed folder; empty if none was listed.
        fault: status and reason, if it is known that it cannot be read.
    """

    url: str
    size: int | None
    identity: str
    key: str = ""
    fault: tuple[Status, str] | None = None


def identity_of(facts: dict[str, Any]) -> str:
    """Return an identity of an object's bytes: the ETag, else size and modification time."""
    etag = facts.get("ETag") or facts.get("etag") or facts.get("md5Hash")
    if etag:
        return str(etag).strip('"').removeprefix('W/"')
    changed = next((facts[name] for name in CHANGED if facts.get(name)), "unknown")
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return f"{facts.get('size')}-{changed}"


CHANGED = ("mtime", "LastModified", "Last-Modified", "created")
"""Names of the modification time in various stores."""

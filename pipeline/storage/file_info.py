"""What a listing of a store shows of one file: where it is, how large it is, and what changes when its bytes do."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pipeline.records import Status


@dataclass(frozen=True)
class FileInfo:
    """A file that a listing of its store showed.

    Attributes:
        url: where it is; a local file as its absolute path, one whose name is no UTF-8 as a `file://` URL.
        size: bytes, None if the store does not tell.
        identity: changes when the bytes do: the ETag, or size and time of change.
        key: its path below the folder that was listed; empty if none was.
        fault: status and reason, where it is known already that it cannot be read.
    """

    url: str
    size: int | None
    identity: str
    key: str = ""
    fault: tuple[Status, str] | None = None


def identity_of(facts: dict[str, Any]) -> str:
    """Name the bytes of an object by what its store tells of it: the ETag, else the size and the time of change."""
    etag = facts.get("ETag") or facts.get("etag") or facts.get("md5Hash")
    if etag:
        return str(etag).strip('"').removeprefix('W/"')
    changed = next((facts[name] for name in CHANGED if facts.get(name)), "unknown")
    if isinstance(changed, datetime):
        changed = changed.timestamp()
    return f"{facts.get('size')}-{changed}"


CHANGED = ("mtime", "LastModified", "Last-Modified", "created")
"""What stores call the time of the last change."""

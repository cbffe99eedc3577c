"""Deduplicator: an actor that decides which of several images with the same bytes is scored in a wave.

The first image to claim its content is scored. A retried task that claims it again gets the same answer.
"""

import hashlib
import sqlite3
from collections.abc import Sequence
from typing import Protocol

PLACE_BYTES = 8
"""Bytes of an image's place that are kept, hashed: two images of one content share them with probability 1 in 10^19."""
PAGES = -(64 << 10)
"""SQLite's page cache, as a negative number of KiB; the rest is in a temporary file."""


class Claims(Protocol):
    """A deduplicator, as the tasks of a wave see it."""

    def claim(self, contents: Sequence[bytes], places: Sequence[str]) -> list[bool]:
        """Claim the content of some images; see `Deduplicator.claim`."""


class Deduplicator:
    """Content hashes, each with the place of the image that claimed it first."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a temporary file, deleted when it is closed
        self._database.execute(f"PRAGMA cache_size = {PAGES}")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE claims (content BLOB PRIMARY KEY, place BLOB) WITHOUT ROWID")

    def claim(self, contents: Sequence[bytes], places: Sequence[str]) -> list[bool]:
        """Claim the content of some images.

        Args:
            contents: a hash of each image's bytes.
            places: each image's unit and index, which identify it.

        Returns:
            For each image, whether it is the one to score.
        """
        marks = [_mark(place) for place in places]
        self._database.executemany("INSERT OR IGNORE INTO claims VALUES (?, ?)", zip(contents, marks, strict=True))
        holders = [
            self._database.execute("SELECT place FROM claims WHERE content = ?", (content,)).fetchone()[0]
            for content in contents
        ]
        return [holder == mark for holder, mark in zip(holders, marks, strict=True)]


def _mark(place: str) -> bytes:
    return hashlib.blake2b(place.encode("utf-8", "surrogatepass"), digest_size=PLACE_BYTES).digest()

"""Claims: which one of several images with the same bytes is scored, agreed on by all tasks of a wave.

The first image that asks for its content has it; one that asks again, since its task was begun again, has it still.
"""

import hashlib
import sqlite3
from collections.abc import Sequence

PLACE_BYTES = 8
"""Of a hash that stands for a place: two of one content would have to agree in it by chance, 1 in 10^19."""
PAGES = -(64 << 10)
"""KiB of the database that are kept in memory, as SQLite writes it; the rest lies in a file that goes with it."""


class Claims:
    """Contents, and the place of the image that has claimed each."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a file of its own, which is gone when it is closed
        self._database.execute(f"PRAGMA cache_size = {PAGES}")
        self._database.execute("PRAGMA synchronous = OFF")
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE claims (content BLOB PRIMARY KEY, place BLOB) WITHOUT ROWID")

    def claim(self, contents: Sequence[bytes], places: Sequence[str]) -> list[bool]:
        """Claim the content of some images.

        Args:
            contents: a hash of each one's bytes.
            places: what tells it from every other image.

        Returns:
            Of each, whether it is the one to be scored.
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

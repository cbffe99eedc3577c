"""Skipped files: what a scan of folders skipped because of its name, and how to include it."""

import shlex
from dataclasses import dataclass


@dataclass
class SkippedFiles:
    """Counts of skipped files.

    Attributes:
        skipped: files of folders without an image's extension.
        shards: how many of those are shards, which are not read as part of a folder.
        hidden: files and folders whose name begins with a dot; such a folder counts as one.
        shard: the URL of one of the shards.
    """

    skipped: int = 0
    shards: int = 0
    hidden: int = 0
    shard: str = ""

    def describe(self) -> str:
        """Describe what was skipped, and how to include it."""
        parts = []
        if self.skipped:
            parts.append(f"files there without an image's name: {self.skipped:,}")
        if self.shards:
            parts.append(f"shards among them: {self.shards:,}, which are sources: --source {shlex.quote(self.shard)}")
        if self.hidden:
            parts.append(f"names there that begin with a dot: {self.hidden:,}")
        return "; ".join([*parts, "--all-files tries each file as an image"]) if parts else "there are no files"

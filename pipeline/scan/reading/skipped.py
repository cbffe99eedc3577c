"""What a scan of folders passed over because of its name, and what to do where it is wanted."""

import shlex
from dataclasses import dataclass


@dataclass
class Passed:
    """Files that were passed over.

    Attributes:
        skipped: files of folders that no image's name ends like.
        shards: how many of those are shards, which a folder does not open.
        hidden: files and folders of folders whose name begins with a dot; such a folder counts as one.
        shard: one of the shards.
    """

    skipped: int = 0
    shards: int = 0
    hidden: int = 0
    shard: str = ""

    def told(self) -> str:
        """Say what was passed over, and how it is named to be scanned; empty where nothing was."""
        parts = []
        if self.skipped:
            parts.append(f"files there without an image's name: {self.skipped:,}")
        if self.shards:
            parts.append(f"shards among them: {self.shards:,}, which are sources: --source {shlex.quote(self.shard)}")
        if self.hidden:
            parts.append(f"names there that begin with a dot: {self.hidden:,}")
        return "; ".join([*parts, "--all-files tries each file as an image"]) if parts else "nothing lies there"

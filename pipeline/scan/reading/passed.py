"""What a scan of folders passed over because of its name, and what to do where it is wanted."""

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
            parts.append(f"{self.skipped:,} files there have no image's name")
        if self.shards:
            parts.append(f"{self.shards:,} of them are shards, which are named as sources: --source {self.shard!r}")
        if self.hidden:
            parts.append(f"{self.hidden:,} names there begin with a dot")
        return "; ".join([*parts, "--all-files tries each file as an image"]) if parts else "nothing lies there"

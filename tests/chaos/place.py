"""Place: where a scenario's sources and output lie, on this machine or in a real S3 server, and what is written there."""

import os
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import fsspec

from pipeline.scan.table.lease import LEASE_FILE
from tests.chaos.lying_store import Door
from tests.stores import REGION, WRITER, S3Server

BUCKET = "chaos"
PATIENCE = "30"
"""Seconds for which a run repeats requests."""


class Place(Protocol):
    """Where sources and output lie.

    Attributes:
        root: the URL of the sources' folder.
        output: the URL of the table.
    """

    root: str
    output: str

    @property
    def environment(self) -> Mapping[str, str]:
        """What a run needs to find them."""

    def sources(self) -> list[str]:
        """Name the sources."""

    def parts(self) -> int:
        """Count the files that were written so far."""

    def is_held(self) -> bool:
        """Tell whether a run holds the table."""

    def files(self) -> dict[str, bytes]:
        """Read the table's files, by model and name."""

    def take_reads(self) -> Counter[str]:
        """Return how often each photo was read since the last call, by its URL below the root."""


@dataclass
class Folder:
    """Folders of this machine.

    Attributes:
        root: of the sources.
        output: of the table.
    """

    root: str
    output: str

    @property
    def environment(self) -> Mapping[str, str]:
        """Nothing: a path is found without."""
        return {}

    def sources(self) -> list[str]:
        """Name the sources."""
        return [f"{self.root}/shards/{{0..3}}.tar", f"{self.root}/photos/"]

    def parts(self) -> int:
        """Count the files that were written so far."""
        return len(list(Path(self.output).rglob("*.parquet")))

    def is_held(self) -> bool:
        """Tell whether a run holds the table."""
        return any(Path(self.output).rglob(LEASE_FILE))

    def files(self) -> dict[str, bytes]:
        """Read the table's files, by model and name."""
        found = Path(self.output).glob("model=*/*.parquet")
        return {f"{file.parent.name}/{file.name}": file.read_bytes() for file in found if file.name[0] not in "._"}

    def take_reads(self) -> Counter[str]:
        """Return nothing: reads of local files are not counted."""
        return Counter()


@dataclass
class Bucket:
    """A bucket of a real S3 server, with a proxy before it.

    Attributes:
        root: of the sources.
        output: of the table.
        port: of the server.
        server: the server, where it may be killed.
        door: the proxy.
    """

    root: str
    output: str
    port: int
    server: S3Server | None
    door: Door

    @property
    def environment(self) -> Mapping[str, str]:
        """What a run needs to find the proxy."""
        patience = {"MOLE_PATIENCE": PATIENCE, "AWS_MAX_ATTEMPTS": "1"}
        return {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.door.port}", **WRITER, **REGION, **patience}

    def sources(self) -> list[str]:
        """Name the sources."""
        return [f"{self.root}/shards/{{0..3}}.tar", f"{self.root}/photos/"]

    def parts(self) -> int:
        """Count the files that were written so far."""
        return len([name for name in self._names() if name.endswith(".parquet")])

    def is_held(self) -> bool:
        """Tell whether a run holds the table."""
        return any(name.endswith(f"/{LEASE_FILE}") for name in self._names())

    def files(self) -> dict[str, bytes]:
        """Read the table's files, by model and name."""
        store, prefix = direct(self.port), self.output.removeprefix("s3://")
        names = [name for name in self._names() if "/model=" in name and name.endswith(".parquet")]
        return {name.removeprefix(f"{prefix}/"): store.cat_file(name) for name in names}

    def take_reads(self) -> Counter[str]:
        """Return how often each photo was read since the last call, by its URL below the root."""
        base = f"/{self.root.removeprefix('s3://')}"
        reads = self.door.take_reads()
        return Counter({path.removeprefix(base): n for path, n in reads.items() if path.startswith(f"{base}/photos/")})

    def _names(self) -> list[str]:
        return list(direct(self.port).find(self.output.removeprefix("s3://")))


def direct(port: int) -> fsspec.AbstractFileSystem:
    """Open the store itself, without the proxy."""
    return fsspec.filesystem(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port}",
        key=WRITER["AWS_ACCESS_KEY_ID"],
        secret=WRITER["AWS_SECRET_ACCESS_KEY"],
        client_kwargs={"region_name": "us-east-1"},
        use_listings_cache=False,
    )


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a disk of its own over a folder.

    Raises:
        CalledProcessError: this user may not mount.
    """
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True, capture_output=True)


def remount(folder: Path, options: str) -> bool:
    """Change a mounted disk's options; False while files are open there for writing."""
    return (
        subprocess.run(["mount", "-o", f"remount,{options}", folder], check=False, capture_output=True).returncode == 0
    )


def may_mount() -> bool:
    """Tell whether this user may mount a disk."""
    return (
        os.geteuid() == 0
        and subprocess.run(
            ["unshare", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], check=False, capture_output=True
        ).returncode
        == 0
    )

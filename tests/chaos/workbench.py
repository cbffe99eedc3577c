"""Workbench: what all scenarios share: pictures, detectors, a real S3 server with its proxy, the undisturbed table."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mole.config import describe
from tests.chaos.attempt import Attempt
from tests.chaos.comparison import rows_of
from tests.chaos.lying_store import Door, door_of
from tests.chaos.place import BUCKET, Bucket, Folder, Place, direct
from tests.chaos.scenario import Command, Storage
from tests.pictures import faulty, picture, samples, write_shard
from tests.stores import S3Server
from tests.tiny import tiny_checkpoint

SHARDS, SIDE = 3, 200


@dataclass(frozen=True)
class Size:
    """How much scenarios scan.

    Attributes:
        each: pictures of a shard, half of them different.
        photos: pictures of a folder.
        rows_per_file: of the table.
    """

    each: int
    photos: int
    rows_per_file: int

    @property
    def images(self) -> int:
        """All of them, with one of each fault."""
        return SHARDS * self.each + self.photos + len(faulty())


FULL, SMALL = Size(48, 48, 8), Size(8, 8, 2)


@dataclass
class Workbench:
    """What all scenarios share.

    Attributes:
        folder: of everything that they write.
        model: a tiny detector.
        other: another one on the same tower.
        size: of what they scan.
        port: of the S3 server; None without one.
        server: the S3 server, where it may be killed.
        door: the proxy before it.
        undisturbed: the rows of both detectors that nothing disturbed, once they are needed.
    """

    folder: Path
    model: Path
    other: Path
    size: Size = FULL
    port: int | None = None
    server: S3Server | None = None
    door: Door | None = None
    undisturbed: list[dict[str, Any]] = field(default_factory=list)

    def place(self, storage: Storage, name: str) -> Place:
        """Make a place for a scenario, with the sources and no table."""
        if storage is not Storage.S3:
            return Folder(str(self.folder / "in"), str(self.folder / name / "out"))
        assert self.port is not None and self.door is not None, "no S3 server was started"
        store = direct(self.port)
        if not store.exists(f"{BUCKET}/in/shards/0.tar"):
            store.makedirs(BUCKET, exist_ok=True)
            for file in sorted((self.folder / "in").rglob("*.*")):
                store.pipe_file(f"{BUCKET}/{file.relative_to(self.folder)}", file.read_bytes())
        self.door.tell_lies(None, 0.0, 0)
        self.door.take_reads()
        return Bucket(f"s3://{BUCKET}/in", f"s3://{BUCKET}/{name}", self.port, self.server, self.door)

    def arguments(self, command: Command, place: Place) -> list[str]:
        """Write a command's arguments for a place."""
        rows = ["--rows-per-file", str(self.size.rows_per_file)]
        table = ["--output", place.output, "--model", str(self.model), *rows]
        scan = ["scan", *(word for source in place.sources() for word in ("--source", source)), *table]
        match command:
            case Command.DEDUPE:
                return [*scan, "--dedupe", "content"]
            case Command.SHADOW:
                return [*scan, "--shadow", str(self.other)]
            case Command.ICEBERG:
                return [*scan[: scan.index("--output") + 1], "lake.trust.verdicts", *table[2:], "--sink", "iceberg"]
            case Command.RESCAN:
                return ["rescan", "--table", place.output, "--model", str(self.other), *rows]
            case Command.COMPACT:
                return ["compact", place.output, "--grace", "2"]
            case _:
                return scan

    def wanted(self, command: Command) -> list[dict[str, Any]]:
        """Return the rows that a command's table must have, from a run that nothing disturbed."""
        if not self.undisturbed:
            self.undisturbed = self._run_undisturbed()
        models = {row["model"] for row in self.undisturbed}
        if command in {Command.SHADOW, Command.RESCAN}:
            return self.undisturbed
        [first] = models & {digest_of(self.model)}
        return [row for row in self.undisturbed if row["model"] == first]

    def _run_undisturbed(self) -> list[dict[str, Any]]:
        place = self.place(Storage.LOCAL, "undisturbed")
        (self.folder / "undisturbed").mkdir()
        attempt = Attempt(self.arguments(Command.SHADOW, place), self.folder / "undisturbed", {})
        ended = attempt.ended(struck=False)
        assert ended.code == 0, f"the undisturbed run ended with {ended.code}: {ended.told}"
        rows = list(rows_of(place.files(), place.root))
        assert len(rows) == 2 * self.size.images, f"the undisturbed table has {len(rows)} rows"
        return rows


def digest_of(model: Path) -> str:
    """Return a detector's digest."""
    return describe(model).digest


@contextmanager
def workbench(
    folder: Path, port: int | None = None, server: S3Server | None = None, *, size: Size = FULL
) -> Iterator[Workbench]:
    """Set up what scenarios share, below a folder; what scenarios left there stays for who looks for a cause.

    Args:
        folder: its name must be short: Ray keeps sockets below it.
        port: of an S3 server, where scenarios need one.
        server: it, where it may be killed.
        size: of what they scan.
    """
    folder.mkdir(parents=True)
    try:
        for number in range(SHARDS):
            different = samples(size.each, start=size.each * number, side=SIDE, different=size.each // 2)
            write_shard(folder / f"in/shards/{number}.tar", different)
        write_shard(folder / f"in/shards/{SHARDS}.tar", faulty())
        (folder / "in/photos").mkdir()
        for number in range(size.photos):
            (folder / f"in/photos/{number:03}.jpg").write_bytes(picture(1000 + number, side=SIDE))
        model, other = tiny_checkpoint(folder / "model"), tiny_checkpoint(folder / "other", adapters=1)
        bench = Workbench(folder, model, other, size, port, server)
        with nullcontext() if port is None else door_of(port) as bench.door:
            yield bench
    finally:
        for name in ("in", "model", "other", "undisturbed"):
            shutil.rmtree(folder / name, ignore_errors=True)
        if not any(folder.iterdir()):
            folder.rmdir()

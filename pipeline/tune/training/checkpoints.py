"""Progress: how far a run has come: its last checkpoint, and the steps behind it, in one file that is replaced whole.

Ray Train keeps checkpoints too, but learns of one after it was written: a worker killed in between would go on from the
one before, while the views had been laid out from the new one on. So a run has one truth, and it is this file.
"""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.storage import storage

PROGRESS, CHECKPOINTS = "progress.json", "checkpoints"


@dataclass(frozen=True)
class CheckpointRecord:
    """How far a run has come.

    Attributes:
        steps: taken when its last checkpoint was made.
        number: of that checkpoint, from 1; 0 for none.
        files: the names of its files.
    """

    steps: int = 0
    number: int = 0
    files: tuple[str, ...] = ()

    def url(self, run: str, file: str) -> str:
        """Name a file of the checkpoint by its URL."""
        return storage.join(run, CHECKPOINTS, f"{self.number:05}", file)


def latest_record(run: str) -> CheckpointRecord:
    """Read how far a run has come."""
    file = storage.join(run, PROGRESS)
    if not storage.exists(file):
        return CheckpointRecord()
    told = json.loads(storage.read(file))
    return CheckpointRecord(told["steps"], told["number"], tuple(told["files"]))


def save_checkpoint(run: str, steps: int, folder: Path) -> None:
    """Make a folder's files the run's last checkpoint, and remove the one before.

    Args:
        run: the folder URL of the run.
        steps: taken so far.
        folder: what a later process needs to go on.

    Raises:
        StorageError: the store refuses; the last checkpoint is then the one before or the new one, and whole.
    """
    before = latest_record(run)
    now = CheckpointRecord(steps, before.number + 1, tuple(sorted(file.name for file in folder.iterdir())))
    for file in now.files:
        storage.write(now.url(run, file), (folder / file).read_bytes())
    storage.write(storage.join(run, PROGRESS), json.dumps(asdict(now)).encode())
    for file in before.files:
        storage.remove(before.url(run, file))


@contextmanager
def last_checkpoint(run: str) -> Iterator[Path | None]:
    """Fetch the files of a run's last checkpoint into a folder that goes afterwards; None where there is none."""
    now = latest_record(run)
    with tempfile.TemporaryDirectory() as folder:
        for file in now.files:
            (Path(folder) / file).write_bytes(storage.read(now.url(run, file)))
        yield Path(folder) if now.files else None

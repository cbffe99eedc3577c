"""Checkpoints: the last checkpoint of a run and the steps it covers, in one file that is replaced atomically.

Ray Train keeps checkpoints too, but registers one only after it was written: a worker killed in between would resume
from the one before, while the dataset was already built from the new one on. So this file alone decides where a run
resumes.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.runtime.scratch import scratch_folder
from pipeline.storage import storage

PROGRESS, CHECKPOINTS = "progress.json", "checkpoints"


@dataclass(frozen=True)
class CheckpointRecord:
    """The last checkpoint of a run; its fields are the keys of `progress.json`.

    Attributes:
        steps: taken when it was written.
        number: of the checkpoint, from 1; 0 if there is none.
        files: names of its files.
    """

    steps: int = 0
    number: int = 0
    files: tuple[str, ...] = ()

    def url(self, run: str, file: str) -> str:
        """Return the URL of a file of the checkpoint."""
        return storage.join(run, CHECKPOINTS, f"{self.number:05}", file)


def latest_record(run: str) -> CheckpointRecord:
    """Read the record of a run's last checkpoint."""
    file = storage.join(run, PROGRESS)
    if not storage.exists(file):
        return CheckpointRecord()
    record = json.loads(storage.read(file))
    return CheckpointRecord(record["steps"], record["number"], tuple(record["files"]))


def save_checkpoint(run: str, steps: int, folder: Path) -> None:
    """Make a folder's files the run's last checkpoint, and remove the one before.

    Args:
        run: the folder URL of the run.
        steps: taken so far.
        folder: files from which a later process can resume.

    Raises:
        StorageError: the store refuses; the last checkpoint is then the previous or the new one, and complete.
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
    """Download a run's last checkpoint into a temporary folder; None if there is no checkpoint."""
    now = latest_record(run)
    with scratch_folder("mole-training-") as folder:
        for file in now.files:
            (folder / file).write_bytes(storage.read(now.url(run, file)))
        yield folder if now.files else None

"""Corpus: the inputs that a fuzzer found, kept small in one archive for each target."""

import io
import tarfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / "corpora"
MAX_INPUT_BYTES = 1 << 14
"""Bytes of an input that is kept; longer ones are left out."""
MAX_CORPUS_BYTES = 7_000
"""Bytes of a target's inputs together; the shortest are kept."""
START = "start-"
"""How the names of inputs begin that a fuzzer is given beside the kept ones; they are not kept again."""


def kept(target: str) -> Iterator[tuple[str, bytes]]:
    """Yield the inputs of a target, each with its name."""
    path = archive_of(target)
    if path.exists():
        with tarfile.open(path) as archive:
            for member in archive:
                stream = archive.extractfile(member)
                assert stream is not None
                yield member.name, stream.read()


def unpack(target: str, folder: Path) -> None:
    """Write a target's inputs as files, as fuzzers read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in kept(target):
        (folder / name).write_bytes(data)


def keep(target: str, folder: Path) -> int:
    """Keep a folder's inputs, the shortest first, in place of those that are kept; returns the archive's bytes."""
    FOLDER.mkdir(exist_ok=True)
    found = (path for path in folder.iterdir() if not path.name.startswith(START))
    inputs = sorted((path for path in found if path.stat().st_size <= MAX_INPUT_BYTES), key=_rank)
    path, total = archive_of(target), 0
    with tarfile.open(path, "w:xz", preset=9) as archive:
        for number, one in enumerate(inputs):
            data = one.read_bytes()
            total += len(data)
            if total > MAX_CORPUS_BYTES:
                break
            member = tarfile.TarInfo(f"{number:03}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path.stat().st_size


def archive_of(target: str) -> Path:
    """Name the archive of a target's inputs."""
    return FOLDER / f"{target}.tar.xz"


def _rank(path: Path) -> tuple[int, str]:
    return path.stat().st_size, path.name

"""Corpus: the inputs that a fuzzer found, kept small in one archive for each target."""

import zipfile
from collections.abc import Iterator
from pathlib import Path

FOLDER = Path(__file__).parent / "corpora"
MAX_INPUT_BYTES = 1 << 14
"""Bytes of an input that is kept; longer ones are left out."""
MAX_ARCHIVE_BYTES = 9_000
"""Bytes of a target's archive before its directory; the shortest inputs are kept."""
START = "start-"
"""How the names of inputs begin that a fuzzer is given beside the kept ones; they are not kept again."""
LONG_AGO = (1980, 1, 1, 0, 0, 0)


def kept(target: str) -> Iterator[tuple[str, bytes]]:
    """Yield the inputs of a target, each with its name."""
    path = FOLDER / f"{target}.zip"
    if path.exists():
        with zipfile.ZipFile(path) as archive:
            yield from ((name, archive.read(name)) for name in archive.namelist())


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
    path = FOLDER / f"{target}.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number, one in enumerate(inputs):
            if archive.fp is not None and archive.fp.tell() > MAX_ARCHIVE_BYTES:
                break
            archive.writestr(zipfile.ZipInfo(f"{number:03}", LONG_AGO), one.read_bytes(), zipfile.ZIP_DEFLATED)
    return path.stat().st_size


def _rank(path: Path) -> tuple[int, str]:
    return path.stat().st_size, path.name

"""Memory store: copies `memory://` files, which only one process sees, to workers and back."""

from fsspec.implementations.memory import MemoryFileSystem

from pipeline.storage import storage

Snapshot = dict[str, bytes]
"""The files of `memory://` by path."""


def snapshot(urls: list[str]) -> Snapshot:
    """Copy the files of `memory://` if one of the URLs is there; workers cannot see them otherwise."""
    fs = next((fs for fs, _ in map(storage.filesystem, urls) if isinstance(fs, MemoryFileSystem)), None)
    return {} if fs is None else {path: fs.cat_file(path) for path in fs.find("/")}


def mount(contents: Snapshot) -> None:
    """Write a snapshot to this process's `memory://`."""
    fs = MemoryFileSystem()
    for path, data in contents.items():
        fs.pipe_file(path, data)


def lives_in_this_process(url: str) -> bool:
    """Return whether a URL is visible only to this process, as `memory://` is."""
    return isinstance(storage.filesystem(url)[0], MemoryFileSystem)

"""`memory://`: a store that one process alone can see, carried to the workers and back."""

from fsspec.implementations.memory import MemoryFileSystem

from pipeline.storage import storage

Snapshot = dict[str, bytes]
"""What `memory://` holds in one process, by path, as it travels to another."""


def snapshot(urls: list[str]) -> Snapshot:
    """Copy what `memory://` holds, where one of the URLs lies there; workers cannot see it otherwise."""
    fs = next((fs for fs, _ in map(storage.filesystem, urls) if isinstance(fs, MemoryFileSystem)), None)
    return {} if fs is None else {path: fs.cat_file(path) for path in fs.find("/")}


def mount(contents: Snapshot) -> None:
    """Put a snapshot into this process's `memory://`."""
    fs = MemoryFileSystem()
    for path, data in contents.items():
        fs.pipe_file(path, data)


def lives_in_this_process(url: str) -> bool:
    """Return whether a URL can be seen by this process alone, as `memory://` is."""
    return isinstance(storage.filesystem(url)[0], MemoryFileSystem)

"""Output: the folder of a scan's verdict table where none was named, after what is scanned."""

import glob
import json
import os
from collections.abc import Sequence

from mole.errors import SettingsError
from pipeline.command.run import FOLDER as RUNS
from pipeline.runtime.submission import is_submitted
from pipeline.storage import storage
from pipeline.storage.local import path_of
from pipeline.storage.storage import is_local
from pipeline.telemetry.redaction import redacted

ENDING = "verdicts"
ARCHIVE = ".tar"
"""Is not the last ending of a compressed shard."""


def default_output(sources: Sequence[str]) -> str:
    """Name a folder in the current one: `photos/` gives `photos-verdicts`, `shards/{0..9}.tar` `shards-verdicts`.

    Args:
        sources: local paths, globs and braces, as they are scanned; at least one.

    Returns:
        A relative path. Of several sources the innermost folder that holds them all gives the name.
    """
    places = [place(text) for text in sources]
    name = os.path.basename(places[0] if len(places) == 1 else os.path.commonpath(places))
    if len(places) == 1 and not os.path.isdir(places[0]):
        name = os.path.splitext(name)[0].removesuffix(ARCHIVE)
    return f"{name}-{ENDING}" if name else ENDING


def place(text: str) -> str:
    """Find the folder or file that a source names; of a glob or braces the folder in which its first sign stands."""
    path = os.path.normpath(path_of(text))
    if os.path.exists(path) or not (glob.has_magic(path) or "{" in path):
        return path
    first = min(path.find(sign) % (len(path) + 1) for sign in "*?[{")
    return os.path.dirname(path[:first]) or os.sep


def demand_own(output: str, sources: Sequence[str]) -> None:
    """Check that a folder which a scan chose by itself holds no other scan's verdicts.

    Args:
        output: the folder.
        sources: local paths, globs and braces, as they are scanned.

    Raises:
        SettingsError: scans wrote there, and none was of these sources.
    """
    folder = storage.join(storage.absolute(output), RUNS)
    records = [json.loads(storage.read(url)) for url in storage.names(folder, ".json")]
    others = [record["settings"]["source"] for record in records if record.get("job") == "scan"]
    own = _whole(sources)
    if others and all(_whole(other) != own for other in others):
        named = ", ".join(others[-1])
        raise SettingsError(
            f"{output!r} already holds the verdicts of {named}; name another folder with --output, or this one to have "
            "both in one table"
        )


def _whole(sources: Sequence[str]) -> set[str]:
    return {storage.absolute(text).rstrip("/") if is_local(text) else text for text in sources}


def unnamed(sources: Sequence[str], sink: str) -> str:
    """Say why no folder can be named after what is scanned; empty if it can be.

    Args:
        sources: as they are scanned.
        sink: where the verdicts go, as `--sink` has it.
    """
    if sink != "files":
        return "a catalog's table has no name to follow from the source"
    if is_submitted():
        return "a submitted job stands in a folder that does not last"
    remote = next((text for text in sources if not is_local(text)), None)
    if remote is not None:
        return f"the source {redacted(remote)!r} does not lie on this machine"
    return "" if sources else "no source is given that it could be named after"

"""Default output: derives the folder of a scan's verdict table from its sources."""

import glob
import json
import os
from collections.abc import Sequence

from mole.errors import SettingsError
from pipeline.command.run_record import RUNS_FOLDER as RUNS
from pipeline.runtime.submission import is_submitted
from pipeline.storage import storage
from pipeline.storage.local import path_of
from pipeline.storage.storage import is_local
from pipeline.telemetry.redaction import redacted

SUFFIX = "verdicts"
ARCHIVE = ".tar"
"""Also removed if a compression suffix follows it."""


def default_output(sources: Sequence[str]) -> str:
    """Return a folder in the current one: `photos/` gives `photos-verdicts`, `shards/{0..9}.tar` `shards-verdicts`.

    Args:
        sources: local paths, globs and braces; at least one.

    Returns:
        A relative path, named after the innermost folder that contains all sources.
    """
    places = [source_path(text) for text in sources]
    name = os.path.basename(places[0] if len(places) == 1 else os.path.commonpath(places))
    if len(places) == 1 and not os.path.isdir(places[0]):
        name = os.path.splitext(name)[0].removesuffix(ARCHIVE)
    return f"{name}-{SUFFIX}" if name else SUFFIX


def source_path(text: str) -> str:
    """Return the folder or file of a source; for a glob or braces the folder before the first special character."""
    path = os.path.normpath(path_of(text))
    if os.path.exists(path) or not (glob.has_magic(path) or "{" in path):
        return path
    first = min(path.find(sign) % (len(path) + 1) for sign in "*?[{")
    return os.path.dirname(path[:first]) or os.sep


def require_own_output(output: str, sources: Sequence[str]) -> None:
    """Check that the default output does not hold verdicts of other sources.

    Args:
        output: the folder.
        sources: local paths, globs and braces.

    Raises:
        SettingsError: only scans of other sources wrote there.
    """
    folder = storage.join(storage.absolute(output), RUNS)
    records = [json.loads(storage.read(url)) for url in storage.list_files(folder, ".json")]
    others = [record["settings"]["source"] for record in records if record.get("job") == "scan"]
    own = _absolute(sources)
    if others and all(_absolute(other) != own for other in others):
        named = ", ".join(others[-1])
        raise SettingsError(
            f"{output!r} already holds the verdicts of {named}; name another folder with --output, or this one to put "
            "both in one table"
        )


def _absolute(sources: Sequence[str]) -> set[str]:
    return {storage.absolute(text).rstrip("/") if is_local(text) else text for text in sources}


def reason_for_none(sources: Sequence[str], sink: str) -> str:
    """Explain why there is no default output; empty if there is.

    Args:
        sources: the scan's sources.
        sink: the value of `--sink`.
    """
    if sink != "files":
        return "a catalog's table has no default name"
    if is_submitted():
        return "a submitted job runs in a temporary folder"
    remote = next((text for text in sources if not is_local(text)), None)
    if remote is not None:
        return f"the source {redacted(remote)!r} is not on this machine"
    return "" if sources else "no source is given"

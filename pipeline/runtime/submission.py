"""The submission: with `ray job submit` a run stands in a copy of its folder, on another machine, which Ray removes."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mole.errors import SettingsError

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray for the command of a submitted job, and for no other; its runtime environment has the folder's copy."""


def demand_durable(places: Mapping[str, Sequence[str]]) -> None:
    """Insist, inside a submitted job, that places do not depend on the folder which the job happens to stand in.

    Args:
        places: paths and URLs, by what the user wrote before them.

    Raises:
        SettingsError: one is a relative path.
    """
    config = _config()
    if config is None:
        return
    copied = "working_dir" in (config.get("runtime_env") or {})
    here = f"{os.getcwd()!r}, " + ("a copy that Ray removes" if copied else "where Ray happens to start this job")
    for written, paths in places.items():
        for path in paths:
            if "://" not in path and not Path(path).expanduser().is_absolute():
                raise SettingsError(
                    f"{written} {path!r} is relative, to {here}; write a whole path that every machine has, or a URL "
                    "(s3://...); --allow-relative takes it as it is"
                )


def is_submitted() -> bool:
    """Return whether `ray job submit` started this command."""
    return _config() is not None


def submission_id() -> str | None:
    """Name the submission of `ray job submit` whose command this is; None outside one."""
    name = ((_config() or {}).get("metadata") or {}).get("job_submission_id")
    return None if name is None else str(name)


def _config() -> dict[str, Any] | None:
    config = os.environ.get(JOB_CONFIG)
    return None if config is None else dict(json.loads(config))

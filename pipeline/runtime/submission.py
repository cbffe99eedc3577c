"""Submission: detects `ray job submit`, which runs a command in a temporary copy of its folder on another machine."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mole.errors import SettingsError

JOB_CONFIG = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray only for the command of a submitted job; its runtime environment names the copy of the folder."""


def require_durable(places: Mapping[str, Sequence[str]]) -> None:
    """Check, inside a submitted job, that paths do not depend on the job's working directory.

    Args:
        places: paths and URLs by the name of their setting.

    Raises:
        SettingsError: one is a relative path.
    """
    config = _config()
    if config is None:
        return
    copied = "working_dir" in (config.get("runtime_env") or {})
    here = f"{os.getcwd()!r}, " + ("a copy that Ray removes" if copied else "the folder in which Ray started this job")
    for written, paths in places.items():
        for path in paths:
            if "://" not in path and not Path(path).expanduser().is_absolute():
                raise SettingsError(
                    f"{written} {path!r} is relative, to {here}; give an absolute path that exists on every machine, "
                    "or a URL (s3://...); --allow-relative accepts it"
                )


def is_submitted() -> bool:
    """Return whether `ray job submit` started this command."""
    return _config() is not None


def submission_id() -> str | None:
    """Return the submission id of `ray job submit`; None outside a submitted job."""
    name = ((_config() or {}).get("metadata") or {}).get("job_submission_id")
    return None if name is None else str(name)


def _config() -> dict[str, Any] | None:
    config = os.environ.get(JOB_CONFIG)
    return None if config is None else dict(json.loads(config))

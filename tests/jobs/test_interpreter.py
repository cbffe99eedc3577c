"""A job that is started by a Python without its packages ends with advice, and not with a traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.interpreter import RAY_JOB_VARIABLE, refusal

DOORS = sorted(
    path.name for path in (Path(__file__).parents[2] / "jobs").glob("*.py") if "__main__" in path.read_text()
)
BARE = {name: value for name, value in os.environ.items() if name not in {RAY_JOB_VARIABLE, "PYTHONPATH"}}


def test_this_interpreter_lacks_nothing() -> None:
    assert refusal(["jobs/scan.py"]) == ""


@pytest.mark.parametrize("door", DOORS)
def test_every_door_asks_before_it_imports_a_package(door: str, root: Path) -> None:
    run = [sys.executable, "-S", f"jobs/{door}", "--help"]  # -S: without the environment's packages
    told = subprocess.run(run, cwd=root, env=BARE, capture_output=True, text=True, check=False)
    assert told.returncode == 2 and "Traceback" not in told.stderr
    assert told.stderr.startswith(f"jobs/{door} was started by ") and "lacks duckdb, pipeline, pyarrow" in told.stderr
    assert f"{root}/.venv/bin/python jobs/{door} --help" in told.stderr


def test_a_submitted_job_is_told_what_to_write_behind_the_dashes(root: Path) -> None:
    run = [sys.executable, "-S", "jobs/scan.py", "--limit", "1"]
    told = subprocess.run(
        run, cwd=root, env=BARE | {RAY_JOB_VARIABLE: "{}"}, capture_output=True, text=True, check=False
    )
    assert told.returncode == 2
    assert "ray job submit ... -- /srv/mole-scan/.venv/bin/python jobs/scan.py --limit 1" in told.stderr

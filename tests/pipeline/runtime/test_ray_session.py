"""Ray session: its folder is gone after a run that succeeded, and stays until the next run after one that did not."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
import sys
from pipeline.runtime import cluster
cluster.quiet(logs=False)
with cluster.connected("local", logs=False):
    if sys.argv[1] != "0":
        sys.exit(int(sys.argv[1]))
"""


@pytest.mark.slow
def test_a_local_ray_leaves_logs_of_a_run_that_failed_until_the_next_and_of_others_nothing(
    root: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = Path("/tmp") / f"mole-{tmp_path_factory.getbasetemp().name}"  # a short name, for Ray's sockets below it
    folder.mkdir()
    (folder / "ray" / "session_of_somebody").mkdir(parents=True)

    def sessions(code: int) -> int:
        run = subprocess.run(
            [sys.executable, "-c", RUN, str(code)],
            cwd=root,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": str(folder)},
            check=False,
        )
        assert run.returncode == code
        return len([path for path in (folder / "ray").glob("session_2*") if path.is_dir() and not path.is_symlink()])

    try:
        assert sessions(0) == 0
        assert sessions(9) == 1
        assert sessions(0) == 0
        assert (folder / "ray" / "session_of_somebody").is_dir()
    finally:
        subprocess.run(["rm", "-r", str(folder)], check=True)

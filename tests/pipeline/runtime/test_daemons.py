"""Daemons: a local Ray whose raylet is killed ends the run with an error that says so, and its lease is released."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from mole.errors import StorageError

WAIT = """
import sys, time
import ray
from mole.errors import StorageError
from pipeline.runtime import cluster
from pipeline.scan.table.lease import Lease

cluster.quiet(logs=False)
try:
    with Lease(sys.argv[1]), cluster.connected("local", logs=False), cluster.unwrapped_errors():
        task = ray.remote(lambda: time.sleep(600)).remote()
        print("ready", file=sys.__stdout__, flush=True)
        ray.get(task)
except StorageError as reason:
    print(reason)
    sys.exit(reason.exit_code)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_a_run_whose_ray_loses_a_daemon_ends_as_one_whose_store_fails(name: str, root: Path, tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", WAIT, str(tmp_path / "out")], cwd=root, stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None and run.stdout.readline() == "ready\n"
    begun = time.monotonic()
    [daemon] = [child for child in psutil.Process(run.pid).children() if child.name() == name]
    daemon.send_signal(signal.SIGKILL)
    told, _ = run.communicate(timeout=120)
    assert run.returncode == StorageError.exit_code, told
    assert re.search(rf"^Ray's .*{name}.* gone", told), "the other one may end with it"
    assert not (tmp_path / "out" / "_lease.json").exists() and time.monotonic() - begun < 100


STUCK = """
import signal, subprocess, time
from pipeline.runtime import daemons
from pipeline.runtime.daemons import WAKES, watched_daemons

daemons.NAMES, daemons.POLL_SECONDS, daemons.GRACE_SECONDS = ("sleep",), 0.05, 0.5
lost = subprocess.Popen(["sleep", "600"])
signal.pthread_sigmask(signal.SIG_BLOCK, [WAKES])  # as a call of Ray that no signal ends
with watched_daemons():
    lost.kill()
    time.sleep(60)
"""


def test_a_run_that_no_signal_wakes_ends_with_the_same_words_and_code(root: Path) -> None:
    begun = time.monotonic()
    run = subprocess.run([sys.executable, "-c", STUCK], cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == StorageError.exit_code and time.monotonic() - begun < 30
    assert run.stderr.startswith("error: Ray's sleep is gone") and "start the run again" in run.stderr

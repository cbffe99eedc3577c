"""`ray job submit`, as the README has it: a head with its job server on this machine, and a scan that is sent to it."""

import json
import os
import random
import secrets
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from pipeline.scan.table.views import ask
from tests.pictures import samples, write_shard
from tests.poison import MARK, poisoned

Submit = Callable[..., subprocess.CompletedProcess[str]]
RAY = str(Path(sys.executable).parent / "ray")
READY = 120.0  # seconds until the job server answers


def free_port() -> int:
    """Find a port that nobody holds, below those that Ray's own parts are given as they start."""
    while True:
        port = random.randrange(20_000, 30_000)
        with socket.socket() as held:
            if held.connect_ex(("127.0.0.1", port)) != 0:
                return port


@pytest.fixture
def submit(root: Path) -> Iterator[Submit]:
    """A head of this test's own, and the command that sends a job to it from the repository."""
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie in it
    port, server = free_port(), free_port()
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    environment |= {
        "PATH": f"{Path(RAY).parent}{os.pathsep}{environment['PATH']}",  # the job's `python` is the head's
        "PYTHONPATH": poisoned(Path(folder) / "site"),
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
    }
    start = ["--head", "--block", "--num-cpus", "2", "--temp-dir", folder, "--disable-usage-stats"]
    start += ["--object-store-memory", str(300 << 20)]
    # The agent that takes jobs has a fixed port otherwise, and does without one where another Ray of this machine holds it.
    agent = ["--dashboard-agent-listen-port", str(free_port())]
    ports = ["--port", str(port), "--dashboard-port", str(server), "--ray-client-server-port", str(free_port()), *agent]
    head = subprocess.Popen(
        [RAY, "start", *start, *ports],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def send(*command: str, name: str) -> subprocess.CompletedProcess[str]:
        place = ["--address", f"http://127.0.0.1:{server}", "--working-dir", ".", "--submission-id", name]
        sent = [RAY, "job", "submit", *place, "--", *command]
        end = time.monotonic() + READY
        while True:
            told = subprocess.run(sent, cwd=root, env=environment, capture_output=True, text=True, check=False)
            up = "Failed to connect to Ray" not in told.stderr and "No available agent" not in told.stdout + told.stderr
            if up or time.monotonic() > end:
                return told
            time.sleep(1)

    yield send
    family = [psutil.Process(head.pid), *psutil.Process(head.pid).children(recursive=True)]
    for process in family:
        if process.is_running():
            process.kill()
    head.wait()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_submitted_scan_leaves_its_table_and_what_cannot_be_meant_is_refused_with_advice(
    submit: Submit, root: Path, tiny: Path, tmp_path: Path
) -> None:
    members = samples(20)
    members["000011.jpg"] += MARK  # ends each decoder that it meets
    sources = [root / "examples/shards/sample-00000.tar", write_shard(tmp_path / "deadly.tar", members)]
    flags = [*(f"--source={source}" for source in sources), "--json"]
    table = str(tmp_path / "verdicts")
    scan = ["python", "jobs/scan.py", *flags, "--output", table, "--model", str(tiny)]
    first = submit(*scan, name="scan-1")
    assert first.returncode == 0, first.stdout + first.stderr
    summary = next(json.loads(line) for line in first.stdout.splitlines() if line.startswith("{"))
    assert summary["law"] == "kept" and summary["written"] == summary["images"] > 20
    assert ask(table, "FROM current").num_rows == summary["images"]
    [culprit] = ask(table, "FROM faults WHERE status = 'crashed'").to_pylist()
    assert culprit["key"] == "000011" and "SIGSEGV" in culprit["detail"]
    assert (
        ask(table, "SELECT count(*) AS n FROM current WHERE uri LIKE '%deadly.tar' AND verdict IS NOT NULL")["n"][
            0
        ].as_py()
        == 19
    )
    again = submit(*scan, name="scan-1")
    assert again.returncode != 0 and "scan-1 already exists" in again.stdout + again.stderr

    # what `python` is where no environment was activated, and a folder beside the job's copy of this one
    bare, lost = str(getattr(sys, "_base_executable")), [*flags, "--output", "verdicts/"]  # noqa: B009
    useless = [*scan[:-1], str(tmp_path)]  # a folder that is no model: exit code 4, which Ray makes a 1
    every = [shlex.join(each) for each in ([bare, *scan[1:]], useless, ["python", "jobs/scan.py", *lost])]
    told = submit("sh", "-c", "; ".join(every), name="scan-2")
    assert told.returncode != 0 and "ModuleNotFoundError" not in told.stdout
    assert f"jobs/scan.py was started by {bare}" in told.stdout and "Write the whole path" in told.stdout
    assert "SettingsError: --output 'verdicts/' is relative, to '" in told.stdout
    assert "a copy that Ray removes" in told.stdout and "exit code 2" in told.stdout
    runs = ask(table, "SELECT submission, exit_code, error.kind FROM runs ORDER BY id").to_pylist()
    assert [tuple(run.values()) for run in runs] == [("scan-1", 0, None), ("scan-2", 4, "ModelError")]
    assert f"run: {table}/_runs/" in told.stdout

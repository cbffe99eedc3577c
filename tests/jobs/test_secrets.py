"""Nothing that a failing run prints or writes holds a password, a signature or a store's key."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.pictures import samples, write_shard
from tests.web import Request, site

KEYS = {
    "AWS_ACCESS_KEY_ID": "AKIDofTheTest",
    "AWS_SECRET_ACCESS_KEY": "STOREkeySECRET",
    "AWS_SESSION_TOKEN": "STOREtoken",
}
SECRETS = (
    "WEBpassword",
    "WEBsignature",
    "LISTpassword",
    "LISTsignature",
    "MOVEDsignature",
    "STOREkeySECRET",
    "STOREtoken",
)
SIGNED = "X-Amz-Date=1&X-Amz-Signature"


def scan(root: Path, *flags: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a scan to its end."""
    return subprocess.run(
        [sys.executable, "jobs/scan.py", *flags],
        cwd=root,
        env=os.environ | KEYS | {"AWS_DEFAULT_REGION": "us-east-1", "MOLE_PATIENCE": "1"} | environment,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def secrets_in(text: str) -> list[str]:
    """Find the secrets in a text."""
    return [secret for secret in SECRETS if secret in text]


def demand_none(folder: Path) -> int:
    """Search every file below a folder but tables, whose addresses a rescan reads by; return how many there were."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    for path in files:
        if path.suffix != ".parquet":
            assert secrets_in(path.read_bytes().decode("latin-1")) == [], path
    return len(files)


@pytest.fixture
def sessions() -> Iterator[Path]:
    """A folder for Ray's session, short enough for the names of its sockets."""
    folder = Path(tempfile.mkdtemp(prefix="mole-", dir="/tmp"))
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("code", [403, 503])
def test_a_store_that_refuses_or_fails_and_says_what_it_was_sent_makes_no_secret_known(
    root: Path, tmp_path: Path, code: int
) -> None:
    def repeat(request: Request) -> None:
        sent = " ".join(f"{name}={value}" for name, value in request.headers.items())
        told = f"<Error><Code>Refused</Code><Message>{sent}</Message></Error>".encode()
        request.send(f"HTTP/1.1 {code} x", f"Content-Length: {len(told)}", "Connection: close", body=told)

    with site(dict.fromkeys(("/bucket", "/bucket/", "/bucket/a.tar"), repeat)) as server:
        flags = ["--source", "s3://bucket/a.tar", "--output", str(tmp_path / "out"), "--log-json"]
        told = scan(root, *flags, AWS_ENDPOINT_URL=server.url, AWS_MAX_ATTEMPTS="1")
        assert server.asked
    assert told.returncode == (2 if code == 403 else 3), told.stderr
    assert "s3://bucket/a.tar" in told.stderr and secrets_in(told.stdout + told.stderr) == []
    assert demand_none(tmp_path) >= 0


def test_a_run_that_fails_on_the_web_makes_no_secret_known(
    root: Path, tiny: Path, tmp_path: Path, sessions: Path
) -> None:
    shard = write_shard(tmp_path / "in" / "s.tar", samples(40)).read_bytes()

    def breaking(request: Request) -> None:
        first = request.headers.get("range", "").removeprefix("bytes=").partition("-")[0]
        if request.headers.get("range") == "bytes=0-0":
            request.ranged(shard, 'ETag: "1"')
        else:
            request.send("HTTP/1.1 500 x", f"X-First: {first}", "Content-Length: 0", "Connection: close")

    with site({"/s.tar": breaking}) as server:
        host = server.url.partition("://")[2]
        server.routes["/l.txt"] = lambda request: request.ranged(
            f"http://me:LISTpassword@{host}/a.jpg?{SIGNED}=LISTsignature".encode(), 'ETag: "1"'
        )
        web = [f"http://me:WEBpassword@{host}/{name}?{SIGNED}=WEBsignature" for name in ("l.txt", "s.tar")]
        flags = [
            *(f"--source={url}" for url in web),
            f"--output={tmp_path / 'out'}",
            f"--model={tiny}",
            "--num-actors=1",
        ]
        told = scan(root, *flags, RAY_TMPDIR=str(sessions))
    assert told.returncode == 3, told.stderr
    assert "s.tar" in told.stderr and secrets_in(told.stdout + told.stderr) == []
    demand_none(tmp_path / "out")
    [record] = (tmp_path / "out" / "_runs").glob("*.json")
    assert json.loads(record.read_text())["error"]["kind"] == "StorageError"
    logs = [path for path in sessions.rglob("logs/*") if path.is_file()]
    assert logs
    for path in logs:
        assert secrets_in(path.read_bytes().decode("latin-1")) == [], path

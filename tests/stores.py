"""Object stores on loopback: a real S3 server, and a proxy before it that throttles, resets and cuts answers."""

import http.client
import json
import socket
import struct
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

WRITER = {"AWS_ACCESS_KEY_ID": "AKSCAN", "AWS_SECRET_ACCESS_KEY": "SKSCANsecret"}
READER = {"AWS_ACCESS_KEY_ID": "AKREAD", "AWS_SECRET_ACCESS_KEY": "SKREADsecret"}
REGION = {"AWS_DEFAULT_REGION": "us-east-1"}
RIGHTS = {
    "identities": [
        {
            "name": name,
            "credentials": [{"accessKey": keys["AWS_ACCESS_KEY_ID"], "secretKey": keys["AWS_SECRET_ACCESS_KEY"]}],
            "actions": actions,
        }
        for name, keys, actions in (
            ("writer", WRITER, ["Admin", "Read", "Write", "List", "Tagging"]),
            ("reader", READER, ["Read", "List"]),
        )
    ]
}
DOORS = ("master.port", "volume.port", "filer.port", "s3.port")
"""Where the server listens; two runs of tests may each have one."""
STARTS_WITHIN = 120.0
"""Seconds that a busy machine may take to start the server."""


def free_port() -> int:
    """Find a port that nobody listens on, nor on the one 10,000 above, which the server takes too."""
    while True:
        with closing(socket.socket()) as low, closing(socket.socket()) as high:
            low.bind(("127.0.0.1", 0))
            port = int(low.getsockname()[1])
            if port > 50_000:
                continue
            try:
                high.bind(("127.0.0.1", port + 10_000))
            except OSError:
                continue
            return port


class S3Server:
    """SeaweedFS on loopback, which can be killed and started again where it was.

    Args:
        folder: keeps its data.

    Attributes:
        port: of its S3 door.
    """

    def __init__(self, folder: Path) -> None:
        (folder / "data").mkdir(parents=True)
        (folder / "s3.json").write_text(json.dumps(RIGHTS))
        self._folder = folder
        self._command = _command(folder, ports := {door: free_port() for door in DOORS})
        self.port = ports["s3.port"]
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self._folder / "log").open("wb") as log:
            self._server = subprocess.Popen(self._command, stdout=log, stderr=log, cwd=self._folder)
        _wait_for(self.port, self._server, self._folder / "log")

    def kill(self) -> None:
        """Kill it; what it kept stays below its folder. An orderly end takes half a minute."""
        self._server.kill()
        self._server.wait()


@contextmanager
def s3_server(folder: Path) -> Iterator[int]:
    """Run SeaweedFS on loopback; it keeps its data below `folder`, knows two users, and is gone at the end.

    Yields:
        The port of its S3 door.
    """
    server = S3Server(folder)
    try:
        yield server.port
    finally:
        server.kill()  # what it kept goes with the test


def _command(folder: Path, ports: dict[str, int]) -> list[str]:
    command = [str(Path(sysconfig.get_path("scripts")) / "weed"), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-dir={folder / 'data'}", "-filer", "-s3", f"-s3.config={folder / 's3.json'}", "-volume.max=100"]
    command += [
        "-master.volumeSizeLimitMB=64",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        *(f"-{door}={port}" for door, port in ports.items()),
    ]
    return command


def _wait_for(port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    """Wait until the server refuses a request without a key, and so judges requests."""
    end = time.monotonic() + STARTS_WITHIN
    while time.monotonic() < end and server.poll() is None:
        try:
            urlopen(f"http://127.0.0.1:{port}/", timeout=5)
        except HTTPError as answer:
            if answer.code == http.HTTPStatus.FORBIDDEN:
                return
        except (URLError, OSError):
            pass
        time.sleep(0.2)
    raise AssertionError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")


Plan = Callable[[str, str], str | None]
"""Given a method and a path, the fault of this answer (`slow`, `forbidden`, `reset`, `short`, `down`), or none."""
REFUSALS = {
    "slow": (503, b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"),
    "forbidden": (403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"),
}


class FaultyStore(BaseHTTPRequestHandler):
    """Hands requests on to a store, and its answers back, whole or spoilt."""

    protocol_version = "HTTP/1.1"
    port: int
    plan: Plan

    def answer(self) -> None:
        """Answer one request as the plan says."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.give(type(self).plan(self.command, self.path), body)

    def give(self, fault: str | None, body: bytes) -> None:
        """Answer a request, whose body was read, with a fault or without."""
        if fault == "down":
            self._reset()
        elif fault in REFUSALS:
            code, words = REFUSALS[fault]
            self._send(code, {}, b"" if self.command == "HEAD" else words, len(words))
        else:
            status, headers, data = self._ask(body)
            told = int(headers.pop("Content-Length", 0)) if self.command == "HEAD" else len(data)
            self._send(status, headers, data[: len(data) // 2] if fault else data, told)
            if fault == "reset":
                self._reset()
            self.close_connection = fault is not None

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = answer

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port)) as store:
            store.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                store.putheader(name, value)
            store.endheaders(body)
            answer = store.getresponse()
            data = answer.read()
            own = ("transfer-encoding", "connection", "date", "server")
            return answer.status, {n: v for n, v in answer.getheaders() if n.lower() not in own}, data

    def _send(self, status: int, headers: dict[str, str], data: bytes, told: int) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": str(told)}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()

    def _reset(self) -> None:
        """Hang up with a reset in place of an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing of a connection that this proxy itself hung up."""


@contextmanager
def faulty(port: int, plan: Plan, kind: type[FaultyStore] = FaultyStore) -> Iterator[int]:
    """Run a proxy before a store that answers as the plan says.

    Args:
        port: the store's.
        plan: which fault each answer has.
        kind: the proxy, which knows the plan's faults.

    Yields:
        The proxy's port.
    """
    handler = type("Handler", (kind,), {"port": port, "plan": staticmethod(plan)})
    with _Quiet(("127.0.0.1", 0), handler) as proxy:
        serving = threading.Thread(target=proxy.serve_forever, daemon=True)
        serving.start()
        try:
            yield int(proxy.server_address[1])
        finally:
            proxy.shutdown()
            serving.join()

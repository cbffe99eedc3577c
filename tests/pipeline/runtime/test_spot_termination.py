"""EC2's notice to a spot machine ends a run as SIGTERM does; a server on loopback stands in for the metadata of a machine."""

import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from pipeline.runtime.spot_termination import ENDPOINT_VARIABLE, instance_action, spot_notice_handler
from pipeline.telemetry.terminal import Terminated, handle_sigterm

NOTICE = '{"action": "terminate", "time": "2026-11-25T12:00:00Z"}'


class Metadata(BaseHTTPRequestHandler):
    """What EC2 answers: a token first, then 404 until a notice is given."""

    notice: str | None = None
    code = 200

    def do_PUT(self) -> None:
        """Give a token."""
        lives = self.headers.get("X-aws-ec2-metadata-token-ttl-seconds")
        self.answer(self.code if lives and self.path == "/latest/api/token" else 400, "a token")

    def do_GET(self) -> None:
        """Give the notice to who has the token."""
        assert self.headers.get("X-aws-ec2-metadata-token") == "a token"
        told = self.notice if self.path == "/latest/meta-data/spot/instance-action" else None
        self.answer(404 if told is None else 200, told or "")

    def answer(self, code: int, text: str) -> None:
        """Send a text."""
        self.send_response(code)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Metadata]]:
    """A machine of EC2, as its metadata show it."""
    own: type[Metadata] = type("Own", (Metadata,), {})
    with ThreadingHTTPServer(("127.0.0.1", 0), own) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(ENDPOINT_VARIABLE, f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody's, and must not be asked
        yield own
        server.shutdown()
        thread.join()


@pytest.fixture
def ended_as_before() -> Iterator[None]:
    """Give the signal back to whom it belonged."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_a_machine_that_stays_has_no_notice_and_one_that_goes_has_its_words(machine: type[Metadata]) -> None:
    assert instance_action() is None
    machine.notice = NOTICE
    assert instance_action() == NOTICE


def test_a_notice_ends_the_run_as_sigterm_does(machine: type[Metadata], ended_as_before: None) -> None:
    told: list[str] = []
    handle_sigterm()
    with spot_notice_handler(told.append, every=0.05):
        time.sleep(0.3)
        assert not told
        machine.notice = NOTICE
        with pytest.raises(Terminated):
            time.sleep(30)
    assert told == [f"EC2 reclaims this machine: {NOTICE}"]


@pytest.mark.parametrize("answers", [True, False])
def test_where_no_metadata_answer_it_is_said_once_and_the_run_goes_on(
    machine: type[Metadata], monkeypatch: pytest.MonkeyPatch, answers: bool
) -> None:
    machine.code = 403
    if not answers:
        monkeypatch.setenv(ENDPOINT_VARIABLE, "http://127.0.0.1:9")  # a port that nobody serves
    told: list[str] = []
    with spot_notice_handler(told.append, every=0.01):
        time.sleep(0.3)
    assert len(told) == 1 and "does not respond" in told[0]

"""Guard: a change is made only right after its check, however long the process was stopped in between."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mole.errors import HeldError
from pipeline.storage import guard, retry, storage
from tests.pipeline.storage.conftest import store_of

URL = "s3://lake/table/part"
STOP = "stop"
"""An event: the process is stopped for longer than a check holds."""
BREAK = "the next connection breaks"


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What happens, in order: checks, changes, and stops, by which the clock advances."""
    seen: list[str] = []
    monkeypatch.setattr(guard, "seconds", lambda: seen.count(STOP) * (guard.MAX_SECONDS + 1))
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)

    def plan(method: str, _path: str) -> str | None:
        """Break a connection after a stop, where the events begin so."""
        if method not in {"PUT", "DELETE"}:
            return None
        breaks = seen == [BREAK, "check"]
        seen.extend([method, STOP] if breaks else [method])
        return "down" if breaks else None

    with store_of({"table/part": b"old"}, plan, monkeypatch):
        yield seen


@pytest.mark.parametrize("change", ["PUT", "DELETE"])
def test_a_process_that_was_stopped_after_its_check_checks_again(events: list[str], change: str) -> None:
    def check() -> None:
        events.append("check")
        if events.count(STOP) < 2:
            events.append(STOP)

    make(change, check)
    assert events == ["check", STOP, "check", STOP, "check", change]


def test_a_check_that_had_to_wait_for_its_store_is_made_again_and_costs_no_retry(
    events: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(retry.PATIENCE_VARIABLE, "0")

    def check() -> None:
        events.append("check")
        if STOP not in events:
            events.append(STOP)

    make("PUT", check)
    assert events == ["check", STOP, "check", "PUT"]


@pytest.mark.parametrize("change", ["PUT", "DELETE"])
def test_a_request_whose_connection_broke_is_not_sent_again_without_a_check(events: list[str], change: str) -> None:
    events.append(BREAK)
    make(change, lambda: events.append("check"))
    assert events == [BREAK, "check", change, STOP, "check", change]


@pytest.mark.parametrize("change", ["PUT", "DELETE"])
def test_nothing_is_changed_once_the_guard_does_not_hold(events: list[str], change: str) -> None:
    def check() -> None:
        if events:
            raise HeldError("held by another run")
        events.extend(["check", STOP])

    with pytest.raises(HeldError, match="another run"):
        make(change, check)
    assert events == ["check", STOP]
    assert storage.read(URL) == b"old"


def test_a_local_file_stays_where_the_guard_does_not_hold_when_it_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "part"
    file.write_bytes(b"old")

    def check() -> None:
        assert len(list(tmp_path.iterdir())) == 2, "all is written when the guard is asked"
        raise HeldError("held by another run")

    with pytest.raises(HeldError):
        storage.write(str(file), b"new", guard=check)
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("part", b"old")]


def make(change: str, check: guard.Guard) -> None:
    """Make a change of the file."""
    if change == "PUT":
        storage.write(URL, b"new", guard=check)
        assert storage.read(URL) == b"new"
    else:
        storage.remove(URL, guard=check)
        assert not storage.exists(URL)

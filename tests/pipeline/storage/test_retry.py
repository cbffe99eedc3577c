"""A store that throttles, resets or cuts its answers gives the bytes all the same; "no" and "gone" are told at once."""

from collections import Counter
from collections.abc import Iterator

import fsspec
import pytest
from botocore.exceptions import NoCredentialsError
from hypothesis import given
from hypothesis import strategies as st

from mole.errors import SettingsError, StorageError
from pipeline.records import Status
from pipeline.scan.reading.image import ReadOptions, read_image
from pipeline.storage import retry, storage, stream
from pipeline.storage.fault import fault_of, is_transient
from pipeline.storage.s3_file_system import S3Files
from tests.stores import READER, faulty

CONTENT = bytes(range(256)) * 4096


@pytest.fixture(scope="module", autouse=True)
def shards(store: int) -> None:
    fs = fsspec.filesystem("s3")
    fs.mkdir("patience")
    fs.pipe_file("patience/shard.tar", CONTENT)


class Client:
    """The environment of an S3 client; a change makes the next call build its client anew."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.patch = patch

    def set(self, **given: str) -> None:
        """Set variables of the environment."""
        for name, value in given.items():
            self.patch.setenv(name, value)
        S3Files.clear_instance_cache()

    def ask_through(self, port: int) -> None:
        """Ask a proxy in place of the store."""
        self.set(AWS_ENDPOINT_URL=f"http://127.0.0.1:{port}")


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> Iterator[Client]:
    """A client whose own library tries once, and a patience that waits a little instead of seconds."""
    monkeypatch.setattr(retry, "FIRST_WAIT", 0.01)
    monkeypatch.setattr(retry, "MAX_WAIT", 0.05)
    client = Client(monkeypatch)
    client.set(AWS_MAX_ATTEMPTS="1")
    yield client
    monkeypatch.undo()
    S3Files.clear_instance_cache()


@pytest.mark.parametrize("fault", ["slow", "reset", "short", "down"])
def test_a_store_that_fails_for_a_while_gives_every_byte(fault: str, store: int, client: Client) -> None:
    asked: Counter[str] = Counter()

    def plan(method: str, path: str) -> str | None:
        asked[method] += 1
        return fault if asked[method] % 4 else None

    client.patch.setattr(stream, "REQUEST_BYTES", 1 << 18)
    retry.take_retries()
    with faulty(store, plan) as port:
        client.ask_through(port)
        with stream.open_stream("s3://patience/shard.tar") as opened:
            assert opened.read() == CONTENT
        assert storage.read_range("s3://patience/shard.tar", 1000, 90_000) == CONTENT[1000:90_000]
        storage.write(f"s3://patience/{fault}", b"whole")
        assert storage.read(f"s3://patience/{fault}") == b"whole"
    assert asked["GET"] > 5
    told = retry.take_retries()
    assert set(told) == {"s3"} and told["s3"] > 1
    assert retry.take_retries() == {}


def test_a_store_that_stays_down_is_an_error_once_patience_ends(store: int, client: Client) -> None:
    client.set(MOLE_PATIENCE="0.3")
    with faulty(store, lambda method, path: "down") as port:
        client.ask_through(port)
        with pytest.raises(StorageError, match="cannot write 5 bytes to 's3://patience/never'"):
            storage.write("s3://patience/never", b"whole")


def test_gone_and_forbidden_are_not_asked_again(store: int, client: Client) -> None:
    asked: Counter[str] = Counter()

    def plan(method: str, path: str) -> None:
        asked[path.split("?", maxsplit=1)[0]] += 1

    with faulty(store, plan) as port:
        client.ask_through(port)
        with pytest.raises(FileNotFoundError) as gone:
            storage.read_range("s3://patience/none", 0, 5)
        client.set(**READER)
        with pytest.raises(StorageError, match="cannot write") as refused:
            storage.write("s3://patience/mine", b"whole")
    assert fault_of(gone.value)[0] is Status.MISSING
    assert asked["/patience/none"] == asked["/patience/mine"] == 1
    assert READER["AWS_SECRET_ACCESS_KEY"] not in str(refused.value)


def test_a_wrong_secret_is_told_and_does_not_stand_in_the_error(store: int, client: Client) -> None:
    client.set(AWS_SECRET_ACCESS_KEY="not-the-secret-of-this-key")
    with pytest.raises(StorageError) as refused:
        storage.list_files("s3://patience", "")
    assert "not-the-secret" not in str(refused.value)


def test_a_web_server_is_asked_three_times(client: Client, store: int) -> None:
    asked: list[str] = []

    def plan(method: str, path: str) -> str:
        asked.append(path)
        return "slow"

    with faulty(store, plan) as port:
        read = read_image(f"http://127.0.0.1:{port}/a.jpg", "a.jpg", ReadOptions(1 << 20), {})
    assert read["status"] is Status.UNREACHABLE and "503" in read["detail"]
    assert len(asked) >= retry.WEB_ATTEMPTS


@given(st.sampled_from([FileNotFoundError("x"), PermissionError("x"), NoCredentialsError(), ValueError("x")]))
def test_what_is_the_same_a_minute_later_does_not_pass(reason: Exception) -> None:
    assert not is_transient(reason)


@pytest.mark.parametrize("text", ["-1", "long"])
def test_patience_is_a_number_of_seconds(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(retry.PATIENCE_VARIABLE, text)
    with pytest.raises(SettingsError, match=f"MOLE_PATIENCE='{text}' is not a number of seconds"):
        retry.max_seconds()

"""A table of nine images to look through, judged by two models, and the pages over it."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.testclient import TestClient

from mole.views.preprocess import Preprocess
from pipeline.records import PLACE
from pipeline.review.browsing.app import application
from pipeline.review.browsing.session import Session
from pipeline.review.browsing.settings import BrowseSettings
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from tests.pictures import picture, write_shard
from tests.verdicts import BEGUN, verdict_row, write_verdicts

PORT = 4711
HOST = f"http://127.0.0.1:{PORT}"
GIVEN: list[dict[str, Any]] = [
    {"logit": 4.0, "probability": 0.98, "verdict": "generated"},
    {"logit": 3.0, "probability": 0.95, "verdict": "generated", "provenance": {"camera": "Leica M6"}},
    {"logit": 0.5, "probability": 0.6, "verdict": "unsure", "provenance": {"generator": "dreamy <8>"}},
    {"logit": -2.0, "probability": 0.1, "verdict": "real"},
    {"logit": -3.0, "probability": 0.05, "verdict": "real", "provenance": {"generator": "dreamy <8>"}},
    {"status": "truncated", "detail": "image file is truncated"},
    {"logit": -1.0, "probability": 0.2, "verdict": "real"},
    {"logit": 2.0, "probability": 0.9, "verdict": "generated"},
    {"logit": -2.5, "probability": 0.07, "verdict": "real"},
]
"""What the newer model says of each image: six in a shard, of which the fourth and fifth are the same, three files."""


def made(folder: Path) -> Path:
    """Write the sources and the table below a folder; give the table's."""
    numbers = (0, 1, 2, 3, 3, 5)
    members = {f"{place}.jpg": picture(number) for place, number in enumerate(numbers)} | {"5.jpg": picture(5)[:900]}
    shard = write_shard(folder / "shards/a.tar", members)
    (folder / "photos").mkdir()
    for number in range(6, 9):
        (folder / "photos" / f"{number}.jpg").write_bytes(picture(number))
    found = pa.concat_tables(
        fetch(list(Source([str(shard), str(folder / "photos")]).units()), ReadOptions(1 << 20))
    ).to_pylist()
    rows = []
    for number, (row, given) in enumerate(zip(found, GIVEN, strict=True)):
        facts: dict[str, Any] = {
            "format": "jpeg",
            "content_hash": hashlib.sha256(row["data"]).digest()[:16],
            "gates": [0.2, 0.3, 0.5],
        }
        place = {name: row[name] for name, _ in PLACE}
        times = {"preprocess": Preprocess().fingerprint, "scanned_at": BEGUN + timedelta(days=1, hours=number)}
        empty = verdict_row(row["unit"], row["index"], model="new", status=given.get("status", "ok"))
        rows.append(empty | place | facts | times | given)
    former = [row | {"model": "old", "scanned_at": BEGUN, "logit": 5.0, "verdict": "generated"} for row in rows[:4]]
    table = write_verdicts(folder / "verdicts", rows, former)
    (folder / "photos/8.jpg").unlink()
    return table


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The table's folder."""
    return made(tmp_path_factory.mktemp("browsing"))


@contextmanager
def looked(table: Path, labels: Path) -> Iterator[Session]:
    """Look through the table, with labels of one's own."""
    session = Session(BrowseSettings(table=str(table), labels=str(labels), labeller="ada"))
    try:
        session.snapshot.start()
        session.snapshot.wait()
        yield session
    finally:
        session.close()


def visitor(session: Session) -> TestClient:
    """Who has opened the address that was printed."""
    client = TestClient(application(session, PORT), base_url=HOST, follow_redirects=False)
    assert client.get("/", params={"token": session.token}).status_code == 303
    return client


@pytest.fixture(scope="session")
def session(table: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """A look through the table, for tests that label nothing."""
    with looked(table, tmp_path_factory.mktemp("looked") / "labels") as session:
        yield session


@pytest.fixture(scope="session")
def client(session: Session) -> TestClient:
    """Who looks."""
    return visitor(session)


@pytest.fixture
def own(table: Path, tmp_path: Path) -> Iterator[Session]:
    """A look of a test's own, which may label."""
    with looked(table, tmp_path / "labels") as session:
        yield session


@pytest.fixture
def labeller(own: Session) -> TestClient:
    """Who labels."""
    return visitor(own)


def numbered(session: Session, name: str) -> int:
    """Find an image's number by its name."""
    return int(session.snapshot.ask("SELECT id FROM images WHERE ends_with(key, ?)", [name])[0]["id"])

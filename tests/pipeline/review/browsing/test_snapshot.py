"""Laws of the snapshot: the newest row of every image, once, and no way out of it."""

import shutil
from pathlib import Path

import pytest

from mole.errors import SettingsError, StorageError
from pipeline.review.browsing.session import Session
from pipeline.review.browsing.snapshot import TableSnapshot
from tests.verdicts import verdict_row, write_verdicts


def test_each_image_is_there_once_with_its_newest_verdict(session: Session) -> None:
    rows = session.snapshot.ask(
        'SELECT model, count(*) AS images, count(DISTINCT (unit, "index")) AS places FROM images GROUP BY 1'
    )
    assert rows == [{"model": "new", "images": 9, "places": 9}]
    assert session.snapshot.state.images == 9 and session.snapshot.state.ready
    assert session.snapshot.ask("SELECT count(*) AS n FROM judgements")[0]["n"] == 4


def test_thresholds_are_told_from_the_verdicts_where_no_checkpoint_is_at_hand(session: Session) -> None:
    assert session.snapshot.thresholds["new"] == (-1.0, 2.0)
    [row] = session.snapshot.ask("SELECT doubt FROM images WHERE verdict = 'unsure'")
    assert row["doubt"] == 1.5


@pytest.mark.parametrize(
    "query",
    [
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_parquet('/tmp/*.parquet')",
        "SELECT * FROM glob('/etc/*')",
        "COPY images TO '/tmp/out.csv'",
        "ATTACH '/tmp/other.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET memory_limit = '100GB'",
        "SELECT nothing FROM images",
    ],
)
def test_no_question_reads_or_writes_a_file_or_frees_itself(session: Session, query: str) -> None:
    with pytest.raises(SettingsError):
        session.snapshot.ask(query)


def test_a_question_that_takes_too_long_ends(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.review.browsing.snapshot.MAX_QUERY_SECONDS", 0.2)
    with pytest.raises(SettingsError, match="took over 0 s"):
        session.snapshot.ask(
            "SELECT count(*) FROM range(100000000) a, range(100000000) b WHERE a.range % 7 = b.range % 3"
        )


def test_a_table_that_cannot_be_read_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    table = write_verdicts(tmp_path / "verdicts", [verdict_row("a.tar#1", 0)])
    shutil.copy(table / "model=old" / next((table / "model=old").iterdir()).name, table / "model=old/part-z.parquet")
    (table / "model=old/part-z.parquet").write_bytes(b"PAR1 torn")
    snapshot = TableSnapshot(str(table), {})
    snapshot.start()
    with pytest.raises(StorageError, match="part-z"):
        snapshot.wait()
    assert snapshot.state.error and not snapshot.state.ready
    snapshot.close()


def test_a_folder_without_a_table_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="holds no verdict table"):
        TableSnapshot(str(tmp_path), {})

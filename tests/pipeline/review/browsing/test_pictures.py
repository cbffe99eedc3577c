"""Laws of pictures: made once, and what kills its decoder kills nothing else."""

import os

import pytest

from pipeline.review.browsing.pictures import Absent, Pictures, Pool
from pipeline.review.browsing.session import Session
from tests.pipeline.review.browsing.conftest import numbered


def test_a_picture_is_made_once(session: Session) -> None:
    row = session.records.row(numbered(session, "0"))
    assert row is not None
    assert session.pictures.thumbnail(row) is session.pictures.thumbnail(row)


def test_kept_pictures_stay_within_their_bound(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.review.browsing.pictures.CACHE_BYTES", 1)
    pictures = Pictures(processes=1)
    row = session.records.row(numbered(session, "0"))
    assert row is not None
    first, second = pictures.thumbnail(row), pictures.thumbnail(row)
    assert first == second and first is not second
    pictures.close()


def test_an_image_that_is_gone_or_broken_says_why(session: Session) -> None:
    gone, broken = (session.records.row(numbered(session, name)) for name in ("8.jpg", "5"))
    assert gone is not None and broken is not None
    absent = session.pictures.thumbnail(gone)
    assert isinstance(absent, Absent) and "not exist any more" in absent.words
    absent = session.pictures.large(broken)
    assert isinstance(absent, Absent) and absent.words.startswith("This picture cannot be shown")


def test_a_child_that_dies_is_told_and_its_process_answers_on() -> None:
    pool = Pool(1)
    assert "SIGABRT" in pool.call(os.abort).cause
    assert pool.call(list, "ab").results == ["a", "b"]
    pool.close()

"""Laws of pictures: made once, and what kills its decoder kills nothing else."""

import os

import pytest

from pipeline.review.browsing.look import Look
from pipeline.review.browsing.pictures import Absent, Pictures, Pool
from tests.pipeline.review.browsing.conftest import numbered


def test_a_picture_is_made_once(look: Look) -> None:
    row = look.records.row(numbered(look, "0"))
    assert row is not None
    assert look.pictures.thumbnail(row) is look.pictures.thumbnail(row)


def test_kept_pictures_stay_within_their_bound(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.review.browsing.pictures.KEPT_BYTES", 1)
    pictures = Pictures(processes=1)
    row = look.records.row(numbered(look, "0"))
    assert row is not None
    first, second = pictures.thumbnail(row), pictures.thumbnail(row)
    assert first == second and first is not second
    pictures.close()


def test_an_image_that_is_gone_or_broken_says_why(look: Look) -> None:
    gone, broken = (look.records.row(numbered(look, name)) for name in ("8.jpg", "5"))
    assert gone is not None and broken is not None
    absent = look.pictures.thumbnail(gone)
    assert isinstance(absent, Absent) and "not there any more" in absent.words
    absent = look.pictures.large(broken)
    assert isinstance(absent, Absent) and absent.words.startswith("This picture cannot be shown")


def test_a_child_that_dies_is_told_and_its_process_answers_on() -> None:
    pool = Pool(1)
    assert "SIGABRT" in pool.call(os.abort).words
    assert pool.call(list, "ab").results == ["a", "b"]
    pool.close()

"""Laws of a condition: true or false of each image, and what is wrong with another is told in words."""

import pytest

from mole.errors import SettingsError
from pipeline.review.browsing.query import Query
from pipeline.review.browsing.session import Session
from pipeline.review.browsing.sql_condition import kind, require_condition


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("widht > 3", "there is no column widht .*; the columns are .*width, "),
        ("width >", 'something is missing or too much at ">"; the columns are'),
        ("key = 'a", "a quotation mark is not closed"),
        ("probability > 0,5", "only one is allowed, without a comma"),
        ("key > 5", "text and a number cannot be compared"),
        ("foo(width)", "there is no function foo"),
        ("upper(width) = 'A'", "upper does not fit what it is used with"),
        ("count(*) > 1", "one image at a time"),
        ("provenance.softwar = 'a'", 'there is no softwar in that column, but .*"software"'),
        ("probability", "must be true or false of each image, and this is a number; compare it"),
        ("key", "must be true or false of each image, and this is text"),
        ("scanned_at", "this is a time"),
        ("provenance", "this is several values"),
        ("*", "this is several values"),
        ("NULL", "this is nothing"),
    ],
)
def test_what_is_wrong_is_told_plainly(session: Session, condition: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as refused:
        require_condition(session.snapshot.ask, condition)
    assert "Error" not in str(refused.value) and "Candidate" not in str(refused.value)


def test_what_is_found_wrong_only_by_asking_is_told_likewise(session: Session) -> None:
    with pytest.raises(SettingsError, match="the condition cannot be used: '.*' is not a number"):
        session.count(Query(condition="CAST(uri AS INTEGER) > 3"))


def test_what_is_true_or_false_is_taken(session: Session) -> None:
    for condition in ("probability > 0.5", "contradicted", "provenance.camera IS NOT NULL", "key LIKE '%.jpg' -- mine"):
        require_condition(session.snapshot.ask, condition)


def test_kinds_have_names_for_everybody() -> None:
    kinds = ("FLOAT[]", "BIGINT", "TIMESTAMP WITH TIME ZONE", "BOOL")
    assert [kind(name) for name in kinds] == ["a list", "a number", "a time", "true or false"]

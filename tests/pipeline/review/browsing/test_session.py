"""Laws of a session: pages of images follow one another in both directions."""

from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.labels import Label, current_labels
from pipeline.review.browsing.labelling import LabelEdit
from pipeline.review.browsing.pictures import Absent
from pipeline.review.browsing.query import Query
from pipeline.review.browsing.session import Session
from pipeline.review.browsing.settings import BrowseSettings
from pipeline.storage import storage


@pytest.fixture
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages of four images."""
    monkeypatch.setattr("pipeline.review.browsing.session.IMAGES_PER_PAGE", 4)


@pytest.mark.usefixtures("four")
def test_pages_follow_one_another_and_lead_back(session: Session) -> None:
    query = Query(sort="oldest")
    first, before, more = session.page(query, after=None, before=None)
    assert not before and more
    second, before, more = session.page(query, after=first[-1]["id"], before=None)
    third, _, last = session.page(query, after=second[-1]["id"], before=None)
    assert (len(first), len(second), len(third)) == (4, 4, 1) and before and more and not last
    back, before, more = session.page(query, after=None, before=third[0]["id"])
    assert back == second and before and more
    assert session.page(query, after=None, before=second[0]["id"]) == (first, False, True)


def test_a_folder_of_labels_that_holds_something_else_is_refused_at_the_start(table: Path) -> None:
    with pytest.raises(SettingsError, match="no labels"):
        Session(BrowseSettings(table=str(table), labels=str(table / "model=new")))


def test_a_table_in_a_bucket_is_looked_through_and_labelled_there(table: Path, store: int) -> None:
    fs, root = storage.filesystem("s3://browse/verdicts")
    fs.mkdir("browse")
    fs.put(str(table), root, recursive=True)
    session = Session(BrowseSettings(table="s3://browse/verdicts", labeller="ada"))
    session.snapshot.start()
    session.snapshot.wait()
    row = session.records.row(1)
    assert row is not None and session.snapshot.state.images == 9
    session.labelling.say(row, LabelEdit(Label.REAL))
    assert current_labels("s3://browse/labels")["label"].to_pylist() == ["real"]
    session.close()


def test_a_map_needs_the_checkpoint_of_the_very_model(session: Session) -> None:
    row = session.records.row(1)
    assert row is not None
    found = session.heat_map(row)
    assert isinstance(found, Absent) and "new" in found.words

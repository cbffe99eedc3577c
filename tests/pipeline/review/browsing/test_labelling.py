"""Laws of labelling: what is said counts at once, is never lost, and is taken back step by step."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError, StorageError
from pipeline.labels import Label, append, current_labels
from pipeline.review.browsing.labelling import LabelEdit, Labelling
from pipeline.review.browsing.query import Query
from pipeline.review.browsing.session import Session
from tests.pipeline.review.browsing.conftest import numbered


def test_undo_goes_back_one_word_at_a_time_and_all_of_it_stays_on_record(own: Session) -> None:
    row = own.records.row(numbered(own, "0"))
    assert row is not None
    folder = own.settings.labels_folder
    for label, generator in ((Label.REAL, None), (Label.GENERATED, "flux"), (Label.WITHDRAWN, None)):
        own.labelling.say(row, LabelEdit(label, generator))
    seen = []
    while (undone := own.labelling.undo()) is not None:
        now = undone[1]
        seen.append(None if now is None else (now["label"], now["generator"]))
    assert seen == [("generated", "flux"), ("real", None), None]
    assert current_labels(folder).num_rows == own.labelling.count == 0
    assert sum(pq.read_metadata(file).num_rows for file in Path(folder).glob("*.parquet")) == 6


def test_labels_of_earlier_days_are_there_by_unit_and_index(own: Session, tmp_path: Path) -> None:
    row = own.records.row(numbered(own, "2"))
    assert row is not None
    place = {"unit": row["unit"], "index": row["index"]}
    append(
        str(tmp_path / "old"),
        [place | {"label": Label.REAL, "note": "grain"}, {"unit": "other", "index": 0, "label": "real"}],
    )
    labelling = Labelling(own.snapshot, str(tmp_path / "old"), "ben", current_labels(str(tmp_path / "old")))
    assert (labelling.count, labelling.elsewhere) == (1, 1)
    said = labelling.of(row["id"])
    assert said is not None and said["note"] == "grain"
    assert own.count(Query(labelled="real")) == 1


def test_what_could_not_be_written_is_not_shown_as_a_label(own: Session) -> None:
    row = own.records.row(1)
    assert row is not None
    assert own.labelling.count == 0
    Path(own.settings.labels_folder).write_bytes(b"no folder")
    with pytest.raises(StorageError):
        own.labelling.say(row, LabelEdit(Label.REAL))
    assert own.labelling.of(1) is None and own.labelling.undo() is None
    assert own.count(Query(labelled="yes")) == 0


def test_a_text_has_a_bound() -> None:
    with pytest.raises(SettingsError, match="the generator must have at most 200 characters, got 201"):
        LabelEdit(Label.REAL, "x" * 201)

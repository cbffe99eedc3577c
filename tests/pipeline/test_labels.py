"""Laws of labels: nothing that was said is lost, and the last word counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError, StorageError
from pipeline.labels import LABELS, Label, LabelWriter, append, current_labels, is_labels, newest_rows

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def said(index: int, label: Label, minutes: int = 0) -> dict[str, object]:
    return {"unit": "a#1", "index": index, "label": label, "labelled_at": NOON + timedelta(minutes=minutes)}


def test_the_last_word_on_an_image_counts_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    append(str(tmp_path), [said(0, Label.REAL, 5), said(1, Label.UNSURE)])
    append(str(tmp_path), [said(0, Label.GENERATED, 2)])
    found = current_labels(str(tmp_path))
    assert found.schema == LABELS
    assert dict(zip(found["index"].to_pylist(), found["label"].to_pylist(), strict=True)) == {0: "real", 1: "unsure"}
    assert len(list(tmp_path.glob("*.parquet"))) == 2


def test_a_withdrawn_label_is_no_label_and_stays_on_record(tmp_path: Path) -> None:
    append(str(tmp_path), [said(0, Label.REAL), said(0, Label.WITHDRAWN, 1)])
    assert current_labels(str(tmp_path)).num_rows == 0
    assert sum(pq.read_metadata(file).num_rows for file in tmp_path.glob("*.parquet")) == 2


def test_a_folder_without_labels_has_none(tmp_path: Path) -> None:
    assert current_labels(str(tmp_path / "none")).num_rows == 0
    assert not is_labels(str(tmp_path))
    append(str(tmp_path), [said(0, Label.REAL)])
    assert is_labels(str(tmp_path))


def test_other_parquet_files_are_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": ["real"]}), tmp_path / "mine.parquet")
    with pytest.raises(SettingsError, match="mine.parquet.*no labels"):
        current_labels(str(tmp_path))


def test_each_label_is_on_the_disk_before_the_call_that_said_it_returns(tmp_path: Path) -> None:
    writer = LabelWriter(str(tmp_path))
    for index in range(3):
        said = writer.add({"unit": "a#1", "index": index, "label": Label.REAL})
        assert said["labelled_at"].tzinfo is UTC and said["note"] is None
        assert current_labels(str(tmp_path)).num_rows == index + 1
    assert len(list(tmp_path.iterdir())) == 1


def test_many_labels_are_few_files_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.labels.ROWS_PER_FILE", 10)
    writer = LabelWriter(str(tmp_path))
    for number in range(22):
        writer.add({"unit": "a#1", "index": number % 7, "label": Label.REAL, "note": str(number)})
    assert len(list(tmp_path.iterdir())) == 3
    assert sum(pq.read_metadata(file).num_rows for file in tmp_path.glob("*.parquet")) == 22
    assert set(current_labels(str(tmp_path))["note"].to_pylist()) == {str(number) for number in range(15, 22)}


def test_a_label_that_could_not_be_written_is_not_taken_for_written(tmp_path: Path) -> None:
    writer = LabelWriter(str(tmp_path / "labels"))
    (tmp_path / "labels").write_bytes(b"no folder")
    with pytest.raises(StorageError):
        writer.add({"unit": "a#1", "index": 0, "label": Label.REAL})
    (tmp_path / "labels").unlink()
    writer.add({"unit": "a#1", "index": 1, "label": Label.REAL})
    assert current_labels(str(tmp_path / "labels"))["index"].to_pylist() == [1]


def test_the_newest_row_tells_that_a_label_was_withdrawn(tmp_path: Path) -> None:
    append(str(tmp_path), [said(0, Label.REAL), said(0, Label.WITHDRAWN, 1)])
    assert newest_rows(str(tmp_path))["label"].to_pylist() == ["withdrawn"]


def test_a_note_alone_is_no_label(tmp_path: Path) -> None:
    append(str(tmp_path), [said(0, Label.REAL), said(1, Label.NOTE), said(2, Label.WITHDRAWN)])
    assert current_labels(str(tmp_path))["label"].to_pylist() == ["real"]
    assert sorted(current_labels(str(tmp_path), notes=True)["label"].to_pylist()) == ["note", "real"]

"""Laws of labels: nothing that was said is lost, and the last word counts."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.labels import LABELS, Label, append, is_labels, latest

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


def said(index: int, label: Label, minutes: int = 0) -> dict[str, object]:
    return {"unit": "a#1", "index": index, "label": label, "labelled_at": NOON + timedelta(minutes=minutes)}


def test_the_last_word_on_an_image_counts_whatever_the_order_of_the_files(tmp_path: Path) -> None:
    append(str(tmp_path), [said(0, Label.REAL, 5), said(1, Label.UNSURE)])
    append(str(tmp_path), [said(0, Label.GENERATED, 2)])
    found = latest(str(tmp_path))
    assert found.schema == LABELS
    assert dict(zip(found["index"].to_pylist(), found["label"].to_pylist(), strict=True)) == {0: "real", 1: "unsure"}
    assert len(list(tmp_path.glob("*.parquet"))) == 2


def test_a_withdrawn_label_is_no_label_and_stays_on_record(tmp_path: Path) -> None:
    append(str(tmp_path), [said(0, Label.REAL), said(0, Label.WITHDRAWN, 1)])
    assert latest(str(tmp_path)).num_rows == 0
    assert sum(pq.read_metadata(file).num_rows for file in tmp_path.glob("*.parquet")) == 2


def test_a_folder_without_labels_has_none(tmp_path: Path) -> None:
    assert latest(str(tmp_path / "none")).num_rows == 0
    assert not is_labels(str(tmp_path))
    append(str(tmp_path), [said(0, Label.REAL)])
    assert is_labels(str(tmp_path))


def test_other_parquet_files_are_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"label": ["real"]}), tmp_path / "mine.parquet")
    with pytest.raises(SettingsError, match="mine.parquet.*no labels"):
        latest(str(tmp_path))

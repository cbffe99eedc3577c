"""Laws of a verdict table joined with reviews."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.labels import Label, append
from pipeline.records import VERDICT
from pipeline.tune.data.label_words import VALUES
from pipeline.tune.data.layout import recognise
from pipeline.tune.data.reviews import is_verdicts, read
from pipeline.tune.data.samples import Sample

ROWS: list[dict[str, Any]] = [
    {"uri": "/a.jpg", "key": "a.jpg"},
    {"uri": "/s.tar", "key": "7", "offset": 512, "length": 99},
    {"uri": "/s.tar.gz", "key": "8", "offset": 0, "length": 9},
    {"uri": "/cut.jpg", "key": "cut.jpg", "status": "truncated"},
]


@pytest.fixture
def parts(tmp_path: Path) -> list[str]:
    """A verdict table of two files, as a scan writes it."""
    folder = tmp_path / "verdicts/model=1234"
    folder.mkdir(parents=True)
    fixed = {"unit": "u", "last": False, "status": "ok", "scanned_at": datetime(2026, 1, 1, tzinfo=UTC)}
    rows = [fixed | {"index": at, "content_hash": bytes([at]) * 16} | row for at, row in enumerate(ROWS)]
    for name, half in (("a", rows[:2]), ("b", rows[2:])):
        pq.write_table(pa.Table.from_pylist(half, VERDICT), folder / f"part-{name}.parquet")
    return [str(folder / f"part-{name}.parquet") for name in "ab"]


def reviews(parts: list[str], *lines: str) -> str:
    """Write what reviewers said."""
    file = Path(parts[0]).parent.parent.parent / "reviews.csv"
    file.write_text("\n".join(lines) + "\n")
    return str(file)


def test_a_verdict_table_is_known_by_its_columns(parts: list[str], tmp_path: Path) -> None:
    pq.write_table(pa.table({"uri": ["a"], "label": [1]}), tmp_path / "t.parquet")
    assert is_verdicts(parts)
    assert not is_verdicts([str(tmp_path / "t.parquet")])


def test_reviews_by_key_find_images_in_shards_too(parts: list[str]) -> None:
    said = reviews(parts, "key,label,generator", "7,fake,flux", "a.jpg,real,")
    name, samples, skipped = read(parts, said, VALUES)
    assert samples == [Sample("/a.jpg", 0, "reviewed"), Sample("/s.tar", 1, "flux", offset=512, length=99)]
    assert (name, skipped) == ("a verdict table with reviews by key", Counter())


def test_reviews_by_uri(parts: list[str]) -> None:
    assert read(parts, reviews(parts, "uri,label", "/a.jpg,1"), VALUES)[1] == [Sample("/a.jpg", 1, "reviewed")]


def test_reviews_by_hash(parts: list[str]) -> None:
    said = reviews(parts, "content_hash,label", f"{'00' * 16},fake")
    assert [sample.uri for sample in read(parts, said, VALUES)[1]] == ["/a.jpg"]


def test_what_gives_no_sample_is_counted(parts: list[str]) -> None:
    said = reviews(parts, "key,label", "cut.jpg,real", "8,fake", "gone,fake", "a.jpg,fake")
    _, samples, skipped = read(parts, said, VALUES)
    assert len(samples) == 1
    assert skipped == {
        "image that was truncated": 1,
        "image inside a compressed shard": 1,
        "review of an image that the table has not": 1,
    }


def test_the_folder_of_a_scan_is_recognised(parts: list[str]) -> None:
    said = reviews(parts, "key,label", "7,fake", "a.jpg,real")
    layout = recognise(str(Path(parts[0]).parent.parent), reviews=said)
    assert str(layout) == "a verdict table with reviews by key: 1 real, 1 fake, 1 sources"


def test_a_verdict_table_alone_is_no_truth(parts: list[str]) -> None:
    with pytest.raises(SettingsError, match="without labels; provide reviewers' labels with --reviews"):
        read(parts, None, VALUES)


def test_reviews_without_a_key_are_refused(parts: list[str]) -> None:
    with pytest.raises(
        SettingsError, match="unit and index, or one of .*'uri', 'key', 'content_hash'.* it has \\['name', 'label'\\]"
    ):
        read(parts, reviews(parts, "name,label", "a,1"), VALUES)


def test_a_label_that_is_neither_is_refused(parts: list[str]) -> None:
    with pytest.raises(SettingsError, match="review of '/a.jpg' must be one of .* got 'unsure'"):
        read(parts, reviews(parts, "uri,label", "/a.jpg,unsure"), VALUES)


def test_a_hash_that_is_none_is_refused(parts: list[str]) -> None:
    with pytest.raises(SettingsError, match="not hexadecimal"):
        read(parts, reviews(parts, "content_hash,label", "xyz,1"), VALUES)


def labels(parts: list[str], *rows: dict[str, Any]) -> str:
    """Write labels of the table's images by index, as browsing does."""
    folder = str(Path(parts[0]).parent.parent.parent / "labels")
    append(folder, [{"unit": "u", "content_hash": bytes([row["index"]]) * 16} | row for row in rows])
    return folder


def test_a_folder_of_labels_is_read_as_it_stands(parts: list[str]) -> None:
    said = labels(parts, {"index": 1, "label": Label.GENERATED, "generator": "flux"}, {"index": 0, "label": Label.REAL})
    name, samples, skipped = read(parts, said, VALUES)
    assert samples == [Sample("/a.jpg", 0, "reviewed"), Sample("/s.tar", 1, "flux", offset=512, length=99)]
    assert (name, skipped) == ("a verdict table with labels", Counter())


def test_labels_that_say_no_class_or_fit_no_image_are_counted(parts: list[str]) -> None:
    said = labels(
        parts,
        {"index": 0, "label": Label.UNSURE},
        {"index": 1, "label": Label.GENERATED, "content_hash": b"?" * 16},
        {"index": 2, "label": Label.REAL},
        {"index": 9, "label": Label.REAL},
    )
    append(said, [{"unit": "u", "index": 3, "label": Label.WITHDRAWN}, {"unit": "u", "index": 4, "label": Label.NOTE}])
    _, samples, skipped = read(parts, said, VALUES)
    assert samples == []
    assert skipped == {
        "image labelled unsure": 1,
        "label that was withdrawn": 1,
        "note without a label": 1,
        "label of other bytes than the table has": 1,
        "image inside a compressed shard": 1,
        "review of an image that the table has not": 1,
    }


def test_an_image_that_two_models_evaluated_is_one_sample(parts: list[str]) -> None:
    other = Path(parts[0]).parent.parent / "model=5678/part-a.parquet"
    other.parent.mkdir()
    other.write_bytes(Path(parts[0]).read_bytes())
    said = labels(parts, {"index": 0, "label": Label.REAL})
    assert read([*parts, str(other)], said, VALUES)[1] == [Sample("/a.jpg", 0, "reviewed")]


def test_a_label_does_not_stick_to_the_bytes_that_came_after(parts: list[str]) -> None:
    newer = {
        "unit": "/a.jpg#new",
        "index": 0,
        "uri": "/a.jpg",
        "key": "a.jpg",
        "content_hash": b"n" * 16,
        "status": "ok",
    }
    row = newer | {"last": True, "scanned_at": datetime(2026, 2, 1, tzinfo=UTC)}
    later = Path(parts[0]).with_name("part-c.parquet")
    pq.write_table(pa.Table.from_pylist([row], VERDICT), later)
    said = labels(parts, {"index": 0, "label": Label.REAL})
    _, samples, skipped = read([*parts, str(later)], said, VALUES)
    assert (samples, skipped) == ([], {"image whose bytes changed since it was labelled": 1})


def test_a_name_that_stands_for_several_images_is_refused(parts: list[str]) -> None:
    again = {"unit": "u", "index": 4, "uri": "/s.tar", "key": "a.jpg", "offset": 9999, "length": 9, "status": "ok"}
    row = again | {"last": True, "scanned_at": datetime(2026, 1, 1, tzinfo=UTC)}
    more = Path(parts[0]).with_name("part-c.parquet")
    pq.write_table(pa.Table.from_pylist([row], VERDICT), more)
    with pytest.raises(SettingsError, match="the uri '/s.tar' identifies several images .* unit and index"):
        read([*parts, str(more)], reviews(parts, "uri,label", "/s.tar,fake"), VALUES)
    with pytest.raises(SettingsError, match="the key 'a.jpg' identifies several"):
        read([*parts, str(more)], reviews(parts, "key,label", "a.jpg,real"), VALUES)
    said = reviews(parts, "unit,index,label", "u,4,fake")
    assert read([*parts, str(more)], said, VALUES)[1] == [Sample("/s.tar", 1, "reviewed", offset=9999, length=9)]


def test_a_folder_that_holds_no_labels_is_refused(parts: list[str], tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="neither a table .* nor a folder of labels"):
        read(parts, str(tmp_path / "empty"), VALUES)

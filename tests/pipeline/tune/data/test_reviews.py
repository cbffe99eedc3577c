"""Laws of a verdict table joined with reviews."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.records import VERDICT
from pipeline.tune.data.labels import VALUES
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
    with pytest.raises(SettingsError, match="says no truth; give reviewers' labels with --reviews"):
        read(parts, None, VALUES)


def test_reviews_without_a_key_are_refused(parts: list[str]) -> None:
    with pytest.raises(SettingsError, match="one of .*'uri', 'key', 'content_hash'.* it has \\['name', 'label'\\]"):
        read(parts, reviews(parts, "name,label", "a,1"), VALUES)


def test_a_label_that_is_neither_is_refused(parts: list[str]) -> None:
    with pytest.raises(SettingsError, match="review of '/a.jpg' must be one of .* got 'unsure'"):
        read(parts, reviews(parts, "uri,label", "/a.jpg,unsure"), VALUES)


def test_a_hash_that_is_none_is_refused(parts: list[str]) -> None:
    with pytest.raises(SettingsError, match="not hexadecimal"):
        read(parts, reviews(parts, "content_hash,label", "xyz,1"), VALUES)

"""Content index: equal bytes find the oldest verdict of the model, and no other bytes find any."""

from datetime import timedelta
from pathlib import Path

import pytest

from mole.errors import SettingsError
from pipeline.scan.table.content_index import ContentIndex, open_index, write_index
from pipeline.scan.table.ledger import Ledger
from tests.verdicts import BEGUN, verdict_row, write_verdicts

SAME, OTHER, PREFIX = b"\x00" * 15 + b"a", b"\xff" * 16, b"\x00" * 15 + b"b"


@pytest.fixture
def index(tmp_path: Path) -> ContentIndex:
    """The index of a table with one content twice, another once, and a fault."""
    rows = [
        verdict_row("u#1", 0, content_hash=SAME, logit=2.0, scanned_at=BEGUN + timedelta(hours=1)),
        verdict_row("u#1", 1, content_hash=SAME, logit=1.0),
        verdict_row("u#1", 2, content_hash=OTHER, logit=3.0),
        verdict_row("u#1", 3, content_hash=b"\x01" * 16, status="truncated"),
    ]
    write_verdicts(tmp_path / "table", rows)
    url = str(tmp_path / "index.arrow")
    write_index(Ledger(str(tmp_path / "table" / "model=old")), url)
    return open_index(url)


def test_equal_bytes_have_the_oldest_verdict_and_name_its_image(index: ContentIndex) -> None:
    found = index.find(SAME)
    assert found is not None
    assert found["logit"] == 1.0
    assert found["same_as"] == {"unit": "u#1", "index": 1}
    assert (index.find(OTHER) or {})["logit"] == 3.0


def test_other_bytes_find_nothing_even_with_the_same_prefix(index: ContentIndex) -> None:
    assert index.find(PREFIX) is None


def test_an_image_without_a_verdict_is_scored_again(index: ContentIndex) -> None:
    assert index.find(b"\x01" * 16) is None


def test_an_index_that_no_worker_can_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="memory://"):
        write_index(Ledger(str(tmp_path)), "memory://index.arrow")

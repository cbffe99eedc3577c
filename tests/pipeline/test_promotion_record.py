"""Laws of an entry of the log of promotions."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from mole.errors import StorageError
from pipeline.promotion_record import Promotion, read_promotion

ENTRY = Promotion(number=1, digest="ab", replaced=None, reason="nothing is worse", at=datetime(2026, 11, 1, tzinfo=UTC))


def test_an_entry_is_read_as_it_was_written() -> None:
    assert read_promotion(ENTRY.model_dump_json().encode(), "1.json") == ENTRY


def test_an_entry_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ENTRY.digest = "cd"  # type: ignore[misc]


def test_a_time_without_its_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        Promotion.model_validate(ENTRY.model_dump() | {"at": "2026-11-01T12:00:00"})


def test_an_entry_from_before_entries_named_their_format_is_of_the_first() -> None:
    assert read_promotion(ENTRY.model_dump_json(exclude={"format"}).encode(), "1.json") == ENTRY


def test_an_entry_of_another_format_is_refused_with_both_numbers() -> None:
    with pytest.raises(StorageError, match="1.json has registry format 2, this version reads 1"):
        read_promotion(b'{"format": 2, "versions": []}', "1.json")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"null", b'{"number": 1}', b"\xff"])
def test_a_damaged_entry_is_refused_by_its_name(text: bytes) -> None:
    with pytest.raises(StorageError, match="1.json is no entry of a registry's log"):
        read_promotion(text, "1.json")

"""Laws of an entry of the log of promotions."""

from datetime import UTC, datetime

import pytest
from pydantic import ValidationError

from pipeline.promotion_record import Promotion

ENTRY = Promotion(number=1, digest="ab", replaced=None, reason="nothing is worse", at=datetime(2026, 11, 1, tzinfo=UTC))


def test_an_entry_is_read_as_it_was_written() -> None:
    assert Promotion.model_validate_json(ENTRY.model_dump_json()) == ENTRY


def test_an_entry_does_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        ENTRY.digest = "cd"  # type: ignore[misc]


def test_a_time_without_its_zone_is_refused() -> None:
    with pytest.raises(ValidationError, match="timezone"):
        Promotion.model_validate(ENTRY.model_dump() | {"at": "2026-11-01T12:00:00"})

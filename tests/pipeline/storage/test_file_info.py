"""An identity changes when the bytes do, whatever a store calls what it tells of them."""

from datetime import UTC, datetime

import pytest

from pipeline.storage.file_info import identity_of


@pytest.mark.parametrize(
    ("facts", "identity"),
    [
        ({"ETag": '"ab-2"', "size": 1}, "ab-2"),
        ({"ETag": 'W/"ab"'}, "ab"),
        ({"etag": "ab"}, "ab"),
        ({"md5Hash": "ab=="}, "ab=="),
        ({"size": 3, "LastModified": datetime(2026, 1, 1, tzinfo=UTC)}, "3-1767225600.0"),
        ({"size": 3, "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT"}, "3-Thu, 01 Jan 2026 00:00:00 GMT"),
        ({"size": None}, "None-unknown"),
    ],
)
def test_the_etag_counts_first_and_then_size_and_time(facts: dict[str, object], identity: str) -> None:
    assert identity_of(facts) == identity

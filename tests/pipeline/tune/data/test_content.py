"""Laws of content."""

import pytest

from pipeline.tune.data.content import content_of


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        ("photo-many-cameras", "photo"),
        ("photo-and-test", "photo"),
        ("digital-art", "art"),
        ("vector-illustration", "art"),
        ("Screenshot", "screenshot"),
        ("photo-and-drawing", ""),
        ("painting-or-photo", ""),
        ("prompt-gallery", ""),
        ("artificial photons", ""),
        ("", ""),
    ],
)
def test_words_name_one_content_or_none(kind: str, content: str) -> None:
    assert content_of(kind) == content

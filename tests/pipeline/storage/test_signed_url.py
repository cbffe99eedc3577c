"""A signature says who may read, and not what is read."""

import pytest

from pipeline.storage.signed_url import unsigned
from pipeline.storage.storage import without_query

PLACE = "https://h.example/a/0.tar"


@pytest.mark.parametrize(
    "query",
    [
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2Fs3&X-Amz-Expires=60&X-Amz-Signature=ab",
        "X-Goog-Algorithm=G&X-Goog-Expires=3600&X-Goog-Signature=ab",
        "AWSAccessKeyId=A&Signature=b%3D&Expires=1",
        "GoogleAccessId=A&Expires=1&Signature=b",
        "Policy=p&Signature=s&Key-Pair-Id=k",
        "sv=2024-11-04&st=2026&se=2027&sr=b&sp=r&sig=a%3D",
    ],
)
def test_the_fields_of_a_signing_are_no_part_of_the_place(query: str) -> None:
    assert unsigned(f"{PLACE}?{query}") == PLACE
    assert unsigned(f"{PLACE}?versionId=7&{query}") == f"{PLACE}?versionId=7"


@pytest.mark.parametrize(
    "url", [PLACE, f"{PLACE}?Policy=red&sp=3&Expires=1", "s3://b/k?X-Amz-Signature=1", "/a?sig=1&se=2"]
)
def test_any_other_query_is(url: str) -> None:
    assert unsigned(url) == url


def test_a_files_name_ends_before_the_query_of_a_web_server_alone() -> None:
    assert without_query(f"{PLACE}?X-Amz-Signature=a/b.jpg#c") == PLACE
    assert without_query("s3://b/a?b#c.jpg") == "s3://b/a?b#c.jpg"
    assert without_query("/a?b#c.jpg") == "/a?b#c.jpg"

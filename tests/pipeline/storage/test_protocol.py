"""Protocol: what stands before `://` in small letters; whatever has none, or names this machine, is a local path."""

import pytest

from pipeline.storage.protocol import protocol_of


@pytest.mark.parametrize(
    ("url", "protocol"),
    [
        ("s3://bucket/a.jpg", "s3"),
        ("HTTPS://Example.ORG/A.jpg", "https"),
        ("git+ssh://host/a", "git+ssh"),
        ("a-b.c://x", "a-b.c"),
        ("memory://", "memory"),
    ],
)
def test_the_protocol_is_told_in_small_letters_however_the_url_is_written(url: str, protocol: str) -> None:
    assert protocol_of(url) == protocol


@pytest.mark.parametrize("url", ["file:///a.jpg", "FILE:///a.jpg", "local://a.jpg", "Local://a.jpg"])
def test_a_url_of_this_machine_is_a_local_path(url: str) -> None:
    assert protocol_of(url) is None


@pytest.mark.parametrize(
    "path",
    [
        "",
        "a.jpg",
        "/a/b.jpg",
        "file:/a",
        "s3:/a",
        "o::x/part",
        "tar::s3://b/a",
        "/a/s3://b",
        "3d://a",
        "://a",
        " s3://a",
    ],
)
def test_a_name_that_does_not_begin_with_a_protocol_is_a_local_path(path: str) -> None:
    assert protocol_of(path) is None

"""No user, password or signature of a URL is written down."""

import sys

import pytest

from pipeline.telemetry.redaction import command_line, redacted, redacted_values


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("s3://bucket/key", "s3://bucket/key"),
        ("https://me:secret@host/a", "https://***@host/a"),
        ("https://host/a.tar?X-Amz-Signature=secret&b=1#part", "https://host/a.tar?***#part"),
        ("cannot read 'https://host/a?sig=secret': 403", "cannot read 'https://host/a?***': 403"),
        ("photos/what?.jpg me@home", "photos/what?.jpg me@home"),
    ],
)
def test_secrets_of_urls_are_hidden_and_the_rest_is_kept(text: str, told: str) -> None:
    assert redacted(text) == told


def test_values_are_redacted_however_deep_they_lie() -> None:
    values = {"a": ["https://u:p@h/x"], "b": {"c": "https://h/x?sig=1"}, "d": 3, "e": None}
    assert redacted_values(values) == {"a": ["https://***@h/x"], "b": {"c": "https://h/x?***"}, "d": 3, "e": None}


def test_a_long_command_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["scan.py", *["--source", "https://h/x?sig=1"] * 50])
    assert len(command_line()) == 300 and "sig" not in command_line()

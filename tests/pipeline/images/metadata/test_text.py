"""Laws of text: whatever bytes hold a text, it comes out as it was meant, and fit for a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.images.metadata.text import clean, decode_exif_text, decode_text, decode_user_comment, decode_windows_text

SAID = "a barn\nSteps: 20"
CHINESE = "红色的谷仓"


def test_a_value_is_one_line_without_controls_and_is_cut() -> None:
    assert clean(" a\n\0\x07b\x9f\u2028c ") == "a b c"
    assert clean("ab " * 1_000) == ("ab " * 167)[:500].strip()
    assert clean("\ud800a\udfff") == "?a?"


@given(st.text(st.characters(), max_size=700))
def test_a_value_is_valid_utf8_whatever_is_said(said: str) -> None:
    value = clean(said)
    assert len(value) <= 500
    assert value.encode().decode() == value
    assert not any(ord(letter) < 32 or 127 <= ord(letter) < 160 for letter in value)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_a_text_is_read_in_each_encoding_that_its_bytes_show(encoding: str) -> None:
    assert decode_text(f"Café {SAID}".encode(encoding)) == f"Café {SAID}"


def test_what_is_no_utf8_is_latin1_unless_it_was_cut_in_a_letter() -> None:
    assert decode_text("Café crème".encode("latin-1")) == "Café crème"
    assert decode_text(CHINESE.encode()[:-1]) == CHINESE[:-1]


def test_a_line_ends_at_its_first_nul() -> None:
    assert decode_exif_text(b"Acme\0\0rubbish") == "Acme"
    assert decode_exif_text("Acme".encode("utf-16-le") + b"\0\0") == "Acme"
    assert decode_exif_text(b"") == ""


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize(
    "data",
    [
        b"UNICODE\0" + SAID.encode("utf-16-le"),
        b"UNICODE\0" + SAID.encode("utf-16-be"),
        b"UNICODE\0" + SAID.encode("utf-16"),
        b"UNICODE\0\xfe\xff" + SAID.encode("utf-16-be"),
        b"UNICODE\0" + SAID.encode(),
        b"UNICODE\0\xef\xbb\xbf" + SAID.encode(),
        b"ASCII\0\0\0" + SAID.encode() + b"\0",
        b"ASCII\0\0\0" + SAID.encode("utf-16-le"),
        b"\0" * 8 + SAID.encode(),
        SAID.encode() + b"\0",
        SAID.encode("utf-16-be"),
    ],
)
def test_a_comment_is_read_whatever_its_character_set_is_called(data: bytes, order: str) -> None:
    assert decode_user_comment(data, "little" if order == "little" else "big") == SAID


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_a_comment_that_begins_in_chinese_is_read(encoding: str) -> None:
    assert decode_user_comment(b"UNICODE\0" + f"{CHINESE}\n{SAID}".encode(encoding), "big") == f"{CHINESE}\n{SAID}"


def test_a_comment_without_a_latin_letter_follows_the_order_of_its_block() -> None:
    assert decode_user_comment(b"UNICODE\0" + CHINESE.encode("utf-16-le"), "little") == CHINESE
    assert decode_user_comment(b"UNICODE\0" + CHINESE.encode("utf-16-be"), "big") == CHINESE


@given(st.binary(max_size=60))
def test_no_bytes_whatever_raise(data: bytes) -> None:
    for read in (
        decode_text(data),
        decode_exif_text(data),
        decode_user_comment(data, "big"),
        decode_user_comment(b"UNICODE\0" + data, "big"),
        decode_windows_text(data),
    ):
        assert clean(read).encode() is not None


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"SONY\0\x01\0\0", "SONY"),
        (b"Canon\0X\0", "Canon"),
        (b"GIMP\0\0x\0", "GIMP"),
        ("GIMP 3".encode("utf-16-le"), "GIMP 3"),
        ("GIMP 3".encode("utf-16-be"), "GIMP 3"),
    ],
)
def test_what_lies_behind_the_end_of_a_text_does_not_make_it_another(data: bytes, told: str) -> None:
    assert decode_exif_text(data) == told

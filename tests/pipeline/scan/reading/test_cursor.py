"""Cursor: it counts what was read, not what was peeked at, and reports missing bytes."""

import io

import pytest

from pipeline.scan.reading.cursor import CHUNK, Cursor, CutError


def test_what_is_looked_at_comes_again_and_is_not_counted() -> None:
    cursor = Cursor(io.BytesIO(b"abcdefgh"))
    assert (cursor.peek(3), cursor.at) == (b"abc", 0)
    assert (cursor.take(5), cursor.at) == (b"abcde", 5)
    cursor.give_back(b"de")
    assert (cursor.take(99), cursor.at) == (b"defgh", 8)


@pytest.mark.parametrize("keep", [True, False])
def test_a_body_that_is_cut_says_how_much_is_there(keep: bool) -> None:
    with pytest.raises(CutError, match="3 of 10 bytes"):
        Cursor(io.BytesIO(b"abc")).body(10, keep=keep)


@pytest.mark.parametrize("zeros", [0, 1, 511, 512, CHUNK - 1, CHUNK, 3 * CHUNK + 512])
def test_zeros_are_passed_up_to_the_block_that_holds_something(zeros: int) -> None:
    cursor = Cursor(io.BytesIO(bytes(zeros) + b"x" * 600))
    cursor.skip_zeros()
    assert cursor.at == zeros // 512 * 512
    assert cursor.take(zeros % 512 + 1).endswith(b"x")

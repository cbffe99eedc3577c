"""Lines: complete in every encoding, with exact byte positions."""

import io
from itertools import pairwise

import pytest

from mole.errors import SettingsError
from pipeline.scan.reading import lines as module
from pipeline.scan.reading.lines import Lines, coding_of, decoded

TEXT = ["first é", "", "sec\N{GRINNING FACE}nd \u010a \u0a0a", "last"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("chunk", [7, 1 << 20])
def test_every_line_comes_with_its_bytes(
    encoding: str, newline: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = newline.join(TEXT).encode(encoding)
    head = coding_of(data)
    monkeypatch.setattr(module, "CHUNK", chunk)
    lines = Lines(io.BytesIO(data), "place")
    if chunk == 7:
        lines.coding = head  # the first seven bytes need not show a line's end
    found, starts = [], [lines.at]
    for line in lines:
        found.append(line)
        starts.append(lines.at)
    assert [line.rstrip("\r\n") for line in found] == TEXT
    assert starts[-1] == len(data) and lines.count == len(TEXT)
    assert [decoded(data[at:end], lines.coding.encoding) for at, end in pairwise(starts)] == found


def test_a_byte_that_is_no_utf_8_comes_through() -> None:
    (line,) = Lines(io.BytesIO(b"caf\xe9.jpg"), "place")
    assert line.encode("utf-8", "surrogateescape") == b"caf\xe9.jpg"


def test_a_file_without_an_end_of_line_is_not_held_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 100)
    monkeypatch.setattr(module, "MAX_LINE_BYTES", 1000)
    with pytest.raises(SettingsError, match="a line of more than 1,000 bytes begins at byte 6"):
        list(Lines(io.BytesIO(b"short\n" + b"x" * 5000), "place"))


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff\xfe"])
def test_nothing_has_no_line_with_anything_in_it(data: bytes) -> None:
    assert [line for line in Lines(io.BytesIO(data), "place") if line.strip()] == []

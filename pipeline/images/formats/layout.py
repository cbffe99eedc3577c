"""Layout: what a format's walk found in a file's structure, or the refusal that it ended with."""

from dataclasses import dataclass

from pipeline.records import Status

MOST_MEMORY = 1 << 30
"""Bytes that the decoding of one image may take beyond its file and the process."""


class RefusalError(Exception):
    """An image that is not decoded, and why.

    Attributes:
        status: its fault.
        format: what it is, where that is another kind than its beginning said.
        size: width and height, where they are known.
    """

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.format: str | None = None
        self.size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Layout:
    """What is known of an image before its reader sees it.

    Attributes:
        data: what the reader shall see: the file, without what it must not stumble over.
        size: width and height as they are stored, None if the reader tells them without a cost.
        footprint: bytes a pixel that reader and conversion hold at their peak.
        memory: bytes that are held beside, whatever the pixels are.
        passes: how often the decoder goes over all pixels.
        white: the highest value of a deep grey; None if the values themselves must tell.
        inverted: whether 0 is white and the reader does not turn it round.
        most_pixels: the format's own bound, where its decoder is slow or greedy.
        kind: in words, where the structure is sound, so that a header that no reader takes is an unread kind.
    """

    data: bytes
    size: tuple[int, int] | None = None
    footprint: int = 8
    memory: int = 0
    passes: int = 1
    white: int | None = 65535
    inverted: bool = False
    most_pixels: int | None = None
    kind: str = ""


def cut(reason: str) -> RefusalError:
    """Refuse a file that is cut or broken."""
    return RefusalError(Status.TRUNCATED, reason)


def unread(reason: str, format_: str | None = None) -> RefusalError:
    """Refuse a sound file of a kind that nothing here reads."""
    refusal = RefusalError(Status.UNSUPPORTED, reason)
    refusal.format = format_
    return refusal


def over(reason: str, size: tuple[int, int] | None = None) -> RefusalError:
    """Refuse a file that is over a bound."""
    refusal = RefusalError(Status.TOO_LARGE, reason)
    refusal.size = size
    return refusal

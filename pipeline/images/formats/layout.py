"""Layout: the result of a structural inspection, and the refusal of a file."""

from dataclasses import dataclass

from pipeline.records import Status

MAX_MEMORY = 1 << 30
"""Bytes that decoding an image may take beyond its file and the process."""


class RefusalError(Exception):
    """An image is not decoded, with the reason.

    Attributes:
        status: its fault.
        format: its format, if it differs from its signature.
        size: width and height, if known.
    """

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.format: str | None = None
        self.size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Layout:
    """What is known of an image before it is decoded.

    Attributes:
        data: the decoder's input: the file without harmful parts.
        size: stored width and height, None if the decoder determines them cheaply.
        bytes_per_pixel: peak bytes per pixel of decoder and conversion.
        memory: further bytes, independent of the pixels.
        passes: number of passes of the decoder over all pixels.
        white: white level of deep greyscale; None to determine it from the values.
        inverted: whether 0 is white and the decoder does not invert it.
        max_pixels: the format's own bound, if its decoder is slow or memory-hungry.
        kind: description of a valid structure; if the decoder rejects such a file, it is unsupported and not damaged.
    """

    data: bytes
    size: tuple[int, int] | None = None
    bytes_per_pixel: int = 8
    memory: int = 0
    passes: int = 1
    white: int | None = 65535
    inverted: bool = False
    max_pixels: int | None = None
    kind: str = ""


def truncated(reason: str) -> RefusalError:
    """Make the refusal of a truncated or damaged file."""
    return RefusalError(Status.TRUNCATED, reason)


def unsupported(reason: str, format_: str | None = None) -> RefusalError:
    """Make the refusal of a valid file of an unsupported kind."""
    refusal = RefusalError(Status.UNSUPPORTED, reason)
    refusal.format = format_
    return refusal


def too_large(reason: str, size: tuple[int, int] | None = None) -> RefusalError:
    """Make the refusal of a file that exceeds a bound."""
    refusal = RefusalError(Status.TOO_LARGE, reason)
    refusal.size = size
    return refusal

"""Decode: bytes become an upright RGB picture, or the fault that keeps them from being one; never an exception.

A plain JPEG goes through libjpeg-turbo, and where only a window of it is looked at, little more than that is decoded;
everything else goes through Pillow. All give the same pixels.
"""

import io
import re
import struct
import warnings
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError
from simplejpeg import decode_jpeg

from mole.preprocess import Window
from mole.view import Pixels
from pipeline.cropped import decode_window
from pipeline.records import Status

try:
    from pillow_heif import register_heif_opener
except ImportError:
    HEIF = False  # the `heic` extra is not installed: such files are `unsupported`
else:
    register_heif_opener()
    HEIF = True

Image.MAX_IMAGE_PIXELS = None  # `Bounds` is the bound, checked before any pixel is decoded

REFUSALS = (
    OSError,
    SyntaxError,
    ValueError,
    LookupError,
    TypeError,
    ArithmeticError,
    AttributeError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow, simplejpeg and their codecs were seen to raise over bad bytes."""

DECODED = (
    (rb"\xff\xd8(\xff|\Z)", "jpeg"),
    (rb"\x89PNG\r\n", "png"),
    (rb"GIF8[79]a", "gif"),
    (rb"RIFF.{4}WEBP", "webp"),
    (rb"BM.{4}\x00{4}", "bmp"),
    (rb"II\*\x00|MM\x00\*", "tiff"),
    (rb".{4}ftypavi[fs]", "avif"),
    (rb"\x00\x00\x00\x0cjP  |\xff\x4f\xff\x51", "jp2"),
)
"""How the formats begin that are decoded here: such bytes without a readable header are a truncated image."""

FOREIGN = (
    (rb".{4}ftyp(he[iv]|mif1|msf1)", "heic"),
    (rb".{4}ftypcrx ", "cr3"),
    (rb"\xff\x0a|\x00\x00\x00\x0cJXL ", "jxl"),
    (rb"%PDF-", "pdf"),
    (rb"%!PS", "eps"),
    (rb"8BPS", "psd"),
    (rb"\x00\x00\x01\x00.\x00", "ico"),
    (rb"P[1-7]\s", "pnm"),
    (rb"(?i)\s*<svg\s", "svg"),
    (rb"(?i)\s*<(\?xml|!doctype svg|!--)(?=.*<svg\s)(?!.*<html)", "svg"),
)
"""How formats begin that hold pictures and that nothing here decodes (but HEIC, where its extra is installed)."""

BEGINNINGS = tuple((re.compile(begin, re.DOTALL), name) for begin, name in DECODED + FOREIGN)
NAMES = {"MPO": "jpeg", "JPEG2000": "jp2", "HEIF": "heic"}
"""Pillow's names of formats, where the table says another."""

READERS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000", *(("HEIF",) if HEIF else ()))
"""Pillow is asked for these alone: its rarer readers start other programs and guess."""

LACKING = ("not available", "not supported", "unsupported", "not implemented", "unknown")
"""How Pillow says that it has no decoder for what a sound header announces."""

SELF_TURNING = ("TIFF", "HEIF")
"""Pillow gives these upright already."""

UPRIGHT = {
    2: (False, (2,)),
    3: (False, (1, 2)),
    4: (False, (1,)),
    5: (True, ()),
    6: (True, (2,)),
    7: (True, (1, 2)),
    8: (True, (1,)),
}
"""EXIF orientation: whether height and width change places, then which axes of (3, H, W) are turned round."""


@dataclass(frozen=True)
class Bounds:
    """What is refused before any pixel is decoded.

    Attributes:
        max_bytes: most bytes of a file.
        max_pixels: most pixels, width times height.
        min_side: fewest pixels of a side.
    """

    max_bytes: int
    max_pixels: int
    min_side: int = 16


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels_3HW: uint8, RGB, upright; of the window that was asked for.
        format: in small letters, `jpeg`.
        width: of the whole, as it is displayed.
        height: of the whole, as it is displayed.
    """

    pixels_3HW: Pixels
    format: str
    width: int
    height: int


@dataclass(frozen=True)
class Fault:
    """Why bytes are no picture; format and size where the header told them (a PNG's before EXIF turns it)."""

    status: Status
    detail: str
    format: str | None = None
    width: int | None = None
    height: int | None = None


Look = Callable[[int, int], Window | None]
"""Tells from height and width which part of an upright image is looked at, None for all of it."""


def everything(height: int, width: int) -> None:
    """Look at all of an image."""


def decode(data: bytes, bounds: Bounds, look: Look = everything) -> Picture | Fault:
    """Decode one image's first frame.

    Args:
        data: the whole file.
        bounds: what is refused undecoded.
        look: which part of it is wanted.

    Returns:
        The picture, or the fault; bad bytes raise nothing.
    """
    if not data:
        return Fault(Status.EMPTY, "no bytes")
    if len(data) > bounds.max_bytes:
        return Fault(Status.TOO_LARGE, f"{len(data):,} bytes, over the bound of {bounds.max_bytes:,}")
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=READERS) as image:
            return _decode(data, image, bounds, look)
    except UnidentifiedImageError:
        return _unidentified(data, "no readable header")
    except REFUSALS as reason:
        return _unidentified(data, f"unreadable header: {_words(reason)}")


def sniff(data: bytes) -> str | None:
    """Tell a format by its first bytes alone, None for bytes of no known one."""
    head = data[:1024]
    return next((name for begin, name in BEGINNINGS if begin.match(head)), None)


def _unidentified(data: bytes, reason: str) -> Fault:
    name = sniff(data)
    if name is None:
        return Fault(Status.NOT_AN_IMAGE, f"no image format begins with {data[:16]!r}")
    if name in {decoded for _, decoded in DECODED} or (name == "heic" and HEIF):
        return Fault(Status.TRUNCATED, f"{reason} in {len(data):,} bytes", name)
    return Fault(Status.UNSUPPORTED, f"no decoder for {name} is installed", name)


def _decode(data: bytes, image: Image.Image, bounds: Bounds, look: Look) -> Picture | Fault:
    name = NAMES.get(str(image.format), str(image.format).lower())
    early = 1 if image.format == "PNG" else _orientation(image)  # to look for a PNG's EXIF decodes the PNG
    width, height = image.size[::-1] if UPRIGHT.get(early, (False, ()))[0] else image.size
    if width * height > bounds.max_pixels:
        reason = f"{width:,} x {height:,} pixels, over the bound of {bounds.max_pixels:,}"
        return Fault(Status.TOO_LARGE, reason, name, width, height)
    if min(width, height) < bounds.min_side:
        reason = f"{width} x {height} pixels, a side under the bound of {bounds.min_side}"
        return Fault(Status.TOO_SMALL, reason, name, width, height)
    try:
        part_3HW = _glimpse(data, image, look(height, width), early)
        if part_3HW is not None:
            return Picture(part_3HW, name, width, height)
        pixels_3HW = _upright(_pixels(data, image), _orientation(image))
    except REFUSALS as reason:
        return Fault(_blame(reason), _words(reason), name, width, height)
    height, width = pixels_3HW.shape[1:]
    return Picture(_part(pixels_3HW, look(height, width)), name, width, height)


def _blame(reason: BaseException) -> Status:
    """Tell a picture that is cut or broken from one whose kind nothing here reads."""
    unread = isinstance(reason, NotImplementedError) or any(hint in str(reason).lower() for hint in LACKING)
    return Status.UNSUPPORTED if unread else Status.TRUNCATED


def _words(reason: BaseException) -> str:
    return str(reason) or type(reason).__name__


def _orientation(image: Image.Image) -> int:
    """Read the EXIF orientation; a broken EXIF block turns nothing."""
    if image.format in SELF_TURNING:
        return 1
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except REFUSALS:
        return 1


def _upright(pixels_3HW: Pixels, turn: int) -> Pixels:
    swapped, axes = UPRIGHT.get(turn, (False, ()))
    turned = pixels_3HW.swapaxes(1, 2) if swapped else pixels_3HW
    return np.flip(turned, axes) if axes else turned


def _glimpse(data: bytes, image: Image.Image, window: Window | None, turn: int) -> Pixels | None:
    """Decode no more of a JPEG than the window of it, upright; None where the whole must be decoded."""
    if window is None or image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    part_3HW = decode_window(data, image.size[::-1], _stored(window, turn, image.size))
    return None if part_3HW is None else _upright(part_3HW, turn)


def _part(pixels_3HW: Pixels, window: Window | None) -> Pixels:
    if window is None:
        return pixels_3HW
    top, left, high, wide = window
    return pixels_3HW[:, top : top + high, left : left + wide]


def _stored(window: Window, turn: int, size: tuple[int, int]) -> Window:
    """Find a window of the upright image in the image as it is stored, with that width and height."""
    top, left, high, wide = window
    swapped, axes = UPRIGHT.get(turn, (False, ()))
    width, height = size[::-1] if swapped else size
    top = height - top - high if 1 in axes else top
    left = width - left - wide if 2 in axes else left
    return Window(left, top, wide, high) if swapped else Window(top, left, high, wide)


def _pixels(data: bytes, image: Image.Image) -> Pixels:
    """Decode to uint8 (3, H, W), not yet upright."""
    if image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
        try:
            pixels_HW3: Pixels = decode_jpeg(data)
            return pixels_HW3.transpose(2, 0, 1)
        except ValueError:
            pass  # Pillow says what is wrong, and reads a file that lacks no more than its end mark
    image.load()
    return np.asarray(_rgb(image)).transpose(2, 0, 1)


def _rgb(image: Image.Image) -> Image.Image:
    """Bring any mode to RGB: deep greys scaled down, transparency laid over white."""
    if image.mode.startswith("I") or image.mode == "F":
        return _eight_bits(image).convert("RGB")
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        seen = image.convert("RGBA")
        white = Image.new("RGB", seen.size, "white")
        white.paste(seen, mask=seen.getchannel("A"))
        return white
    return image if image.mode == "RGB" else image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale a deep grey to 8 bits: 16-bit values by 257, fractions up to 1 by 255, what fits already not at all."""
    grey_HW = np.nan_to_num(np.asarray(image, dtype=np.float32))
    most = grey_HW.max(initial=0)
    scale = 1.0
    if image.mode.startswith("I;16") or most > 255:
        scale = 1 / 257
    elif image.mode == "F" and most <= 1:
        scale = 255.0
    return Image.fromarray((grey_HW * scale).round().clip(0, 255).astype(np.uint8))

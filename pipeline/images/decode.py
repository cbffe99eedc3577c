"""Decode: converts the bytes of an image to an upright RGB picture or a fault, never an exception.

`pipeline/images/formats` inspects the structure first, so that the cost is bounded. libjpeg-turbo decodes a plain JPEG,
of a window little more; Pillow decodes everything else. For a resized view rows are resized as they are decoded.
"""

import io
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from pi_heif import register_heif_opener
from PIL import AvifImagePlugin, Image, UnidentifiedImageError
from simplejpeg import decode_jpeg

from mole.views.preprocess import Resize, Window
from mole.views.view import Pixels
from pipeline.images.cropped import END_MARKER, decode_resized, decode_window, resize_pixels
from pipeline.images.formats import bmp, gif, jp2, jpeg, png, tiff, webp
from pipeline.images.formats.colour import rgb
from pipeline.images.formats.layout import MAX_MEMORY, Layout, RefusalError, truncated
from pipeline.images.formats.magic_bytes import detect_format
from pipeline.images.formats.orientation import orientation
from pipeline.records import Status

register_heif_opener(thumbnails=False, depth_images=False, aux_images=False, decode_threads=1)
AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # one thread per image: Ray runs one task per core
Image.MAX_IMAGE_PIXELS = None  # `Bounds` is checked before any pixel is decoded

PILLOW_FORMATS = {
    "jpeg": "JPEG",
    "png": "PNG",
    "gif": "GIF",
    "webp": "WEBP",
    "bmp": "BMP",
    "tiff": "TIFF",
    "avif": "AVIF",
    "jp2": "JPEG2000",
    "heic": "HEIF",
}
"""Pillow's names of the supported formats. Its other plugins are not used: some start external programs."""

INSPECTORS: dict[str, Callable[[bytes], Layout]] = {
    "jpeg": jpeg.inspect,
    "png": png.inspect,
    "gif": gif.inspect,
    "webp": webp.inspect,
    "bmp": bmp.inspect,
    "tiff": tiff.inspect,
    "jp2": jp2.inspect,
    "avif": lambda data: Layout(data, bytes_per_pixel=16, max_pixels=50_000_000),
    "heic": lambda data: Layout(data, bytes_per_pixel=12, max_pixels=50_000_000),
}
"""The structural inspection of each format; the libraries of AVIF and HEIC bound their boxes themselves."""

UNSUPPORTED_HINTS = ("not available", "not supported", "unsupported", "not implemented", "unknown")
"""Parts of decoders' messages for valid files with unsupported features."""
DAMAGE_WARNING = re.compile(r"premature end of data|bad \w+ code|instead of RST", re.IGNORECASE)
"""libjpeg's warnings of lost pixels; its other warnings (extra bytes, odd markers) are harmless."""
TRUNCATION_WARNING = re.compile(r"premature end of JPEG file", re.IGNORECASE)
"""Its warning of a truncated file, or of one that lacks only its end marker."""

AUTO_ORIENTED = ("TIFF", "HEIF")
"""Formats that Pillow returns upright."""
MAX_SIDE = (1 << 31) - 1
"""Maximum of the table's int32 columns."""

ORIENTATIONS = {
    2: (False, (2,)),
    3: (False, (1, 2)),
    4: (False, (1,)),
    5: (True, ()),
    6: (True, (2,)),
    7: (True, (1, 2)),
    8: (True, (1,)),
}
"""EXIF orientation: whether height and width are swapped, then which axes of (3, H, W) are flipped."""


@dataclass(frozen=True)
class Bounds:
    """Bounds that are checked before any pixel is decoded.

    The bounds of `pipeline.images.formats` apply as well, and are named in the rows that they refuse: 1 GiB of memory
    per image (the format's measured bytes per pixel times its pixels); 1,200,000,000 pixels times scans of a JPEG;
    10,000 JPEG segments, 100,000 PNG or WebP chunks, 1,000,000 GIF blocks, 200,000 TIFF strips or tiles; code blocks,
    tiles and packets of JPEG 2000; 50,000,000 pixels of AVIF and HEIC, 25,000,000 of JPEG 2000.

    Attributes:
        max_bytes: maximum size of a file.
        max_pixels: maximum width times height.
        min_side: minimum width and height in pixels.
    """

    max_bytes: int
    max_pixels: int
    min_side: int = 16


@dataclass(frozen=True)
class Picture:
    """A decoded image.

    Attributes:
        pixels_3HW: uint8, RGB, upright; of the requested part.
        format: in lower case, such as `jpeg`.
        width: of the whole upright image.
        height: of the whole upright image.
    """

    pixels_3HW: Pixels
    format: str
    width: int
    height: int


@dataclass(frozen=True)
class Fault:
    """Why an image could not be decoded; with format and size if known (the stored size if it was refused)."""

    status: Status
    detail: str
    format: str | None = None
    width: int | None = None
    height: int | None = None


@dataclass
class _Known:
    """What is known of an image so far, for a possible fault."""

    size: tuple[int | None, int | None] = (None, None)
    layout: Layout = field(default_factory=lambda: Layout(b""))


Part = Window | Resize | None
"""What of an upright image is wanted: a window, a resized centre, or all of it."""
Region = Callable[[int, int], Part]
"""Selects the part of an upright image by its height and width; it is whole where a resize has no C extension."""


def whole_image(height: int, width: int) -> None:
    """Select the whole image."""


def decode(data: bytes, bounds: Bounds, region: Region = whole_image) -> Picture | Fault:
    """Decode an image's first frame.

    Args:
        data: the whole file.
        bounds: the bounds.
        region: selects the part to return.

    Returns:
        The picture or the fault; damaged bytes raise nothing.
    """
    if not data:
        return Fault(Status.EMPTY, "no bytes")
    if len(data) > bounds.max_bytes:
        return Fault(Status.TOO_LARGE, f"{len(data):,} bytes, over the bound of {bounds.max_bytes:,}")
    name = detect_format(data)
    if name is None:
        return Fault(Status.NOT_AN_IMAGE, f"no image format begins with {data[:16]!r}")
    if name not in PILLOW_FORMATS:
        return Fault(Status.UNSUPPORTED, f"no decoder for {name} is installed", name)
    known = _Known()
    try:
        return _decode(data, name, bounds, region, known)
    except Exception as reason:  # noqa: BLE001 - an image's own code: whatever it raises, the bytes are the cause, and the row tells the type
        return _fault(reason, name, known)


def _decode(data: bytes, name: str, bounds: Bounds, region: Region, known: _Known) -> Picture | Fault:
    """Inspect, check bounds, open and decode; `known` is updated on the way."""
    layout = known.layout = INSPECTORS[name](data)
    if layout.size and (fault := _refused(layout.size, name, layout, bounds)):
        return fault
    known.size = layout.size or known.size
    with (
        warnings.catch_warnings(action="ignore"),
        Image.open(io.BytesIO(layout.data), formats=(PILLOW_FORMATS[name],)) as image,
    ):
        if fault := _refused(image.size, name, layout, bounds):
            return fault
        turn = 1 if image.format in AUTO_ORIENTED else orientation(image.info)
        known.size = width, height = image.size[::-1] if ORIENTATIONS.get(turn, (False, ()))[0] else image.size
        part_3HW = _decode_part(data, image, region(height, width), turn)
        if part_3HW is None and image.format in ("JPEG", "MPO") and image.mode in ("RGB", "L"):
            part_3HW = _whole_jpeg(data, turn, region(height, width))
        if part_3HW is None:
            image.load()
            if image.format in AUTO_ORIENTED:
                known.size = width, height = image.size  # the decoded size may differ from the header
            part_3HW = _part(image, region(height, width), turn, layout)
        return Picture(part_3HW, name, width, height)


def _refused(size: tuple[int, int], name: str, layout: Layout, bounds: Bounds) -> Fault | None:
    """Check the bounds of a size and of the memory for decoding it."""
    width, height = size
    shown = (width, height) if max(size) <= MAX_SIDE else (None, None)
    max_pixels = min(bounds.max_pixels, layout.max_pixels or bounds.max_pixels)
    if width * height > max_pixels or max(size) > MAX_SIDE:
        own = "" if max_pixels == bounds.max_pixels else f" for {name}"
        return Fault(
            Status.TOO_LARGE, f"{width:,} x {height:,} pixels, over the bound of {max_pixels:,}{own}", name, *shown
        )
    if min(size) < bounds.min_side:
        reason = f"{width} x {height} pixels, a side under the bound of {bounds.min_side}"
        return Fault(Status.TOO_SMALL, reason, name, *shown)
    memory = width * height * layout.bytes_per_pixel + layout.memory
    if memory > MAX_MEMORY:
        cost = f"{memory >> 20:,} MiB to decode, over the bound of {MAX_MEMORY >> 20:,} MiB"
        return Fault(Status.TOO_LARGE, f"{width:,} x {height:,} pixels take {cost}", name, *shown)
    return None


def _fault(reason: Exception, name: str, known: _Known) -> Fault:
    """Classify a decoding error: truncated or damaged, unsupported, or too large."""
    if isinstance(reason, RefusalError):
        return Fault(reason.status, str(reason), reason.format or name, *(reason.size or known.size))
    words = " ".join(f"{type(reason).__name__}: {reason}".split())
    if isinstance(reason, MemoryError):
        status = Status.TOO_LARGE
    elif isinstance(reason, UnidentifiedImageError):
        status = Status.UNSUPPORTED if known.layout.kind else Status.TRUNCATED
        words = f"no decoder reads this {known.layout.kind}" if known.layout.kind else "no readable header"
    elif isinstance(reason, NotImplementedError) or any(hint in str(reason).lower() for hint in UNSUPPORTED_HINTS):
        status = Status.UNSUPPORTED
    else:
        status = Status.TRUNCATED
    return Fault(status, words, name, *known.size)


def upright(pixels_3HW: Pixels, turn: int) -> Pixels:
    """Apply an EXIF orientation; uint8 (3, H, W)."""
    swapped, axes = ORIENTATIONS.get(turn, (False, ()))
    turned = pixels_3HW.swapaxes(1, 2) if swapped else pixels_3HW
    return np.flip(turned, axes) if axes else turned


def _decode_part(data: bytes, image: Image.Image, part: Part, turn: int) -> Pixels | None:
    """Decode only the wanted part of a JPEG, upright; None if the whole must be decoded."""
    if part is None or image.format != "JPEG" or image.mode not in ("RGB", "L"):
        return None
    if isinstance(part, Resize):
        part_3HW = decode_resized(data, image.size[::-1], part, ORIENTATIONS.get(turn, (False, ())))
    else:
        part_3HW = decode_window(data, image.size[::-1], _stored(part, turn, image.size))
    return None if part_3HW is None else upright(part_3HW, turn)


def _resized(pixels_HW3: Pixels, resize: Resize, turn: int) -> Pixels:
    """Resize decoded pixels, upright; without the C extension return all of them."""
    view_3SS = resize_pixels(pixels_HW3, resize, ORIENTATIONS.get(turn, (False, ())))
    return upright(pixels_HW3.transpose(2, 0, 1) if view_3SS is None else view_3SS, turn)


def _stored(window: Window, turn: int, size: tuple[int, int]) -> Window:
    """Map a window of the upright image to the stored image of this width and height."""
    top, left, high, wide = window
    swapped, axes = ORIENTATIONS.get(turn, (False, ()))
    width, height = size[::-1] if swapped else size
    top = height - top - high if 1 in axes else top
    left = width - left - wide if 2 in axes else left
    return Window(left, top, wide, high) if swapped else Window(top, left, high, wide)


def _whole_jpeg(data: bytes, turn: int, part: Part) -> Pixels | None:
    """Decode a plain JPEG, which may lack its end marker; None if Pillow must classify the error.

    Raises:
        RefusalError: libjpeg lost pixels.
    """
    try:
        pixels_HW3: Pixels = decode_jpeg(data)
    except ValueError as reason:
        if DAMAGE_WARNING.search(str(reason)):
            raise truncated(str(reason)) from reason
        if not TRUNCATION_WARNING.search(str(reason)) or data.endswith(END_MARKER):
            return None
        return _whole_jpeg(data + END_MARKER, turn, part)
    if isinstance(part, Resize):
        return _resized(pixels_HW3, part, turn)
    pixels_3HW = upright(pixels_HW3.transpose(2, 0, 1), turn)
    if part is None:
        return pixels_3HW
    top, left, high, wide = part
    return pixels_3HW[:, top : top + high, left : left + wide]


def _part(image: Image.Image, part: Part, turn: int, layout: Layout) -> Pixels:
    """Convert the wanted part of a loaded image to upright uint8 (3, H, W)."""
    whole = Window(0, 0, image.height, image.width)
    if isinstance(part, Resize):
        return _resized(rgb(image, whole, layout), part, turn)
    stored = whole if part is None else _stored(part, turn, image.size)
    return upright(rgb(image, stored, layout).transpose(2, 0, 1), turn)

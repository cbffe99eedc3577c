"""Image input of the library: paths, bytes, streams, arrays and Pillow images become upright RGB pixels or a fault.

Encoded bytes are decoded as in a scan. Pillow images and arrays are decoded already; they are rotated upright and
converted to 8-bit RGB by the scan's code.
"""

import io
from os import PathLike, fsdecode
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mole.errors import SettingsError
from mole.views.preprocess import Window
from pipeline.images.decode import AUTO_ORIENTED, Bounds, Fault, Picture, Region, decode, upright, whole_image
from pipeline.images.formats.colour import rgb
from pipeline.images.formats.layout import Layout, RefusalError
from pipeline.images.formats.orientation import orientation
from pipeline.records import Status
from pipeline.storage import storage
from pipeline.storage.fault import STORE_FAULTS, fault_of

BOUNDS = Bounds(max_bytes=64 << 20, max_pixels=100_000_000, min_side=16)
"""The default bounds of a scan."""


@runtime_checkable
class Stream(Protocol):
    """A file open in binary mode, such as `BytesIO`."""

    def read(self, size: int = -1, /) -> bytes:
        """Read at most `size` bytes; none at the end."""


ImageLike = Image.Image | NDArray[np.uint8] | bytes | bytearray | memoryview | str | PathLike[str] | Stream
"""An image: Pillow's, an array of uint8, a file's bytes, its path or URL, or an open file."""

SHAPES = "(H, W), (H, W, 1), (H, W, 3) or (H, W, 4)"
CHANNELS = (1, 3, 4)
ACCEPTED = (
    "the path or URL of a file, a file's bytes, a file open in binary mode, a Pillow image, or an array of "
    f"uint8 {SHAPES}"
)


def require_image(image: object) -> None:
    """Check that a value is an `ImageLike`.

    Raises:
        TypeError: it is of another type, or an array of another dtype.
        ValueError: it is an array of another shape.
    """
    if isinstance(image, np.ndarray):
        found = f"got an array of shape {image.shape} and dtype {image.dtype}"
        if image.dtype != np.uint8:
            raise TypeError(f"an array must be of uint8, {found}")
        if not (image.ndim == 2 or (image.ndim == 3 and image.shape[2] in CHANNELS)):
            raise ValueError(f"an array must have the shape {SHAPES}, {found}")
    elif isinstance(image, io.TextIOBase):
        raise TypeError("a file must be open in binary mode, got one that is open as text")
    elif not isinstance(image, Image.Image | bytes | bytearray | memoryview | str | PathLike | Stream):
        raise TypeError(f"an image must be {ACCEPTED}; got {type(image).__name__}")


def decode_input(image: ImageLike, region: Region = whole_image) -> Picture | Fault:
    """Decode an image.

    Args:
        image: of any kind; an open file is read from its current position.
        region: selects the part to return; of a Pillow image or an array a resized centre is left to `views`.

    Returns:
        The picture or the fault; a damaged image raises nothing.

    Raises:
        TypeError: it is of another type.
        ValueError: it is an array of another shape, or a closed file or image.
    """
    require_image(image)
    if isinstance(image, Image.Image):
        return _from_pillow(image, region)
    if isinstance(image, np.ndarray):
        return _from_array(image, region)
    if isinstance(image, str | PathLike):
        return _from_file(fsdecode(image), region)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode(bytes(image), BOUNDS, region)
    return _from_stream(image, region)


def from_column(value: Any) -> ImageLike | Fault:
    """Convert a value of a dataset column to an image or a fault; never raises."""
    if value is None or (isinstance(value, float | np.floating) and np.isnan(value)):
        return Fault(Status.MISSING, "no bytes in this column")
    if isinstance(value, np.ndarray) and value.ndim == 3 and len(value) == 1 and value.shape[2] not in CHANNELS:
        value = value[0]  # how Ray returns a greyscale image among coloured ones
    try:
        require_image(value)
    except (TypeError, ValueError) as reason:
        return Fault(Status.UNSUPPORTED if isinstance(value, np.ndarray) else Status.NOT_AN_IMAGE, str(reason))
    image: ImageLike = value
    return image


def _from_file(place: str, region: Region) -> Picture | Fault:
    if not place:
        return Fault(Status.MISSING, "an empty path")
    try:
        data = storage.read(place, max_bytes=BOUNDS.max_bytes + 1)
    except STORE_FAULTS as reason:
        return Fault(*fault_of(reason))
    except SettingsError as reason:
        return Fault(Status.MISSING, str(reason))
    except ValueError as reason:  # a NUL byte, an invalid host
        return Fault(Status.MISSING, f"{place!r} names no file: {reason}")
    return decode(data, BOUNDS, region)


def _from_stream(stream: Stream, region: Region) -> Picture | Fault:
    """Read an open file to its end, or to one byte beyond the bound.

    Raises:
        TypeError: it does not return bytes.
        ValueError: it is closed, or not open for reading.
    """
    data = b""
    try:
        while len(data) <= BOUNDS.max_bytes:
            part = stream.read(BOUNDS.max_bytes + 1 - len(data))
            if not isinstance(part, bytes | bytearray | memoryview):
                raise TypeError(f"a file must be open in binary mode, got one that gives {type(part).__name__}")
            if not part:
                break
            data += part
    except io.UnsupportedOperation as reason:
        raise ValueError(f"a file must be open for reading: {reason}") from reason
    except STORE_FAULTS as reason:
        return Fault(*fault_of(reason))
    return decode(data, BOUNDS, region)


def _from_array(image: NDArray[np.uint8], region: Region) -> Picture | Fault:
    """Convert pixels, uint8 (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), to upright RGB."""
    height, width = image.shape[:2]
    if not image.size:
        return Fault(Status.TOO_SMALL, f"{width} x {height} pixels, a side under the bound of {BOUNDS.min_side}")
    if image.ndim == 3 and image.shape[2] == 1:
        image = image[:, :, 0]
    return _from_pillow(Image.fromarray(np.ascontiguousarray(image)), region)


def _load(image: Image.Image) -> None:
    """Have Pillow decode an image that it has only decoded so far.

    Raises:
        ValueError: the image or its file is closed, or the bytes are invalid.
        OSError: the bytes are truncated.
    """
    try:
        image.load()
    except (AssertionError, ValueError) as reason:
        if isinstance(reason, AssertionError) or "closed" in str(reason):
            raise ClosedError("the Pillow image is closed; score it before, or load() it before") from reason
        raise


class ClosedError(ValueError):
    """An image was closed before it was read."""


def _from_pillow(image: Image.Image, region: Region) -> Picture | Fault:
    """Convert a Pillow image to upright RGB.

    Raises:
        ClosedError: it is closed.
    """
    form = (image.format or "pixels").lower()
    if image.width * image.height > BOUNDS.max_pixels:
        detail = f"{image.width:,} x {image.height:,} pixels, over the bound of {BOUNDS.max_pixels:,}"
        return Fault(Status.TOO_LARGE, detail, form, *image.size)
    try:
        _load(image)
        turn = 1 if image.format in AUTO_ORIENTED else orientation(image.info)
        whole = Window(0, 0, image.height, image.width)
        pixels_3HW = upright(rgb(image, whole, Layout(b"")).transpose(2, 0, 1), turn)
    except RefusalError as reason:
        return Fault(reason.status, str(reason), form, *image.size)
    except ClosedError:
        raise
    except (OSError, SyntaxError, ValueError) as reason:
        return Fault(Status.TRUNCATED, f"{type(reason).__name__}: {reason}", form, *image.size)
    height, width = pixels_3HW.shape[1:]
    if min(height, width) < BOUNDS.min_side:
        detail = f"{width} x {height} pixels, a side under the bound of {BOUNDS.min_side}"
        return Fault(Status.TOO_SMALL, detail, form, width, height)
    window = region(height, width)
    if isinstance(window, Window):
        pixels_3HW = pixels_3HW[:, window.top : window.top + window.height, window.left : window.left + window.width]
    return Picture(pixels_3HW, form, width, height)

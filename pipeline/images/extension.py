"""Extension: file name extensions of images."""

IMAGE_EXTENSIONS = frozenset(
    [
        "jpg",
        "jpeg",
        "jpe",
        "jfif",
        "png",
        "webp",
        "avif",
        "gif",
        "bmp",
        "tif",
        "tiff",
        "jp2",
        "j2k",
        "heic",
        "heif",
        "hif",
    ]
)


def is_image(name: str) -> bool:
    """Return whether a name has an image's extension, ignoring case."""
    return name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS

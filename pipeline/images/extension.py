"""A file's extension, as far as it says that the file is an image."""

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
    """Return whether a name ends in an image's extension, ignoring case."""
    return name.rpartition(".")[2].lower() in IMAGE_EXTENSIONS

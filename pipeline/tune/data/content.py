"""Content: what is in a picture, as its list says it in words: photo, art or screenshot.

A detector learns content in place of the label wherever only one of the classes holds a kind of content, so samples are
weighed by cells of both.
"""

import re

PHOTO, ART, SCREENSHOT = "photo", "art", "screenshot"
WORDS = {
    "photo": PHOTO,
    "photograph": PHOTO,
    "art": ART,
    "drawing": ART,
    "human": ART,
    "illustration": ART,
    "painting": ART,
    "screenshot": SCREENSHOT,
}
"""What single words of a list mean; others, as `phone` or `many`, add nothing."""


def content_of(kind: str) -> str:
    """Tell the content that words name.

    Args:
        kind: as `photo-many-cameras` or `digital-art`.

    Returns:
        `photo`, `art` or `screenshot`; empty where the words name several, as `photo-and-drawing`, or none.
    """
    named = {WORDS[word] for word in re.findall("[a-z]+", kind.lower()) if word in WORDS}
    return named.pop() if len(named) == 1 else ""

"""Content: what a picture shows, according to the list it comes from: photo, art or screenshot.

A detector learns content instead of the label if only one of the classes has a kind of content, so sampling is balanced
over content.
"""

import re

PHOTO, ART, SCREENSHOT = "photo", "art", "screenshot"
CONTENT_OF_WORD = {
    "photo": PHOTO,
    "photograph": PHOTO,
    "art": ART,
    "drawing": ART,
    "human": ART,
    "illustration": ART,
    "painting": ART,
    "screenshot": SCREENSHOT,
}
"""Content of single words; other words, such as `phone` or `many`, are ignored."""


def content_of(kind: str) -> str:
    """Return the content named by a description.

    Args:
        kind: for example `photo-many-cameras` or `digital-art`.

    Returns:
        `photo`, `art` or `screenshot`; empty if the description names several, as `photo-and-drawing`, or none.
    """
    named = {CONTENT_OF_WORD[word] for word in re.findall("[a-z]+", kind.lower()) if word in CONTENT_OF_WORD}
    return named.pop() if len(named) == 1 else ""

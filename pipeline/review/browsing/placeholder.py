"""Placeholder: an SVG with a text, shown instead of an image that cannot be displayed."""

import textwrap
from html import escape

from pipeline.telemetry.printable import printable

SIGN, LINE = 10.5, 22
"""Width of a character and height of a line in pixels."""
BACKGROUND = "#5b6673"
"""Background colour, for light and dark pages."""
MAX_LINES = 7
"""Maximum number of lines."""


def placeholder(words: str, side: int) -> bytes:
    """Draw a text in a square SVG with sides of `side` pixels."""
    lines = textwrap.wrap(printable(words), int(side / SIGN), max_lines=MAX_LINES, placeholder=" …") or [""]
    top = (side - LINE * (len(lines) - 1)) / 2
    texts = "".join(
        f'<text x="50%" y="{top + LINE * number:.0f}">{escape(line)}</text>' for number, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}">'
        f'<rect width="100%" height="100%" fill="{BACKGROUND}"/>'
        f'<g font-family="system-ui, sans-serif" font-size="16" fill="#fff" text-anchor="middle">{texts}</g></svg>'
    ).encode()

"""The placeholder: a small drawing with words, where an image cannot be shown."""

import textwrap
from html import escape

from pipeline.telemetry.printable import printable

SIGN, LINE = 10.5, 22
"""What a character takes of a line, and a line of the height."""
GROUND = "#5b6673"
"""Calm on a light page and on a dark one."""
DOWN = 7
"""Lines at most."""


def placeholder(words: str, side: int) -> bytes:
    """Draw words; a square SVG with sides of so many pixels, at most as wide as the words are long."""
    lines = textwrap.wrap(printable(words), int(side / SIGN), max_lines=DOWN, placeholder=" …") or [""]
    top = (side - LINE * (len(lines) - 1)) / 2
    texts = "".join(
        f'<text x="50%" y="{top + LINE * number:.0f}">{escape(line)}</text>' for number, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {side} {side}" width="{side}" height="{side}">'
        f'<rect width="100%" height="100%" fill="{GROUND}"/>'
        f'<g font-family="system-ui, sans-serif" font-size="16" fill="#fff" text-anchor="middle">{texts}</g></svg>'
    ).encode()

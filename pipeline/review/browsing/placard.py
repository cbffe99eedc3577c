"""The placard: a small drawing with words, where an image cannot be shown."""

import textwrap
from html import escape

ACROSS, DOWN = 30, 7
"""Characters of a line, and lines at most."""
SIDE = 320


def placard(words: str) -> bytes:
    """Draw words; an SVG with a square of `SIDE`."""
    lines = textwrap.wrap(words, ACROSS, max_lines=DOWN, placeholder=" …") or [""]
    top = SIDE / 2 - 11 * (len(lines) - 1)
    texts = "".join(
        f'<text x="50%" y="{top + 22 * number:.0f}">{escape(_plain(line))}</text>' for number, line in enumerate(lines)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {SIDE}" width="{SIDE}" height="{SIDE}">'
        f'<rect width="100%" height="100%" fill="#e4e7eb"/>'
        f'<g font-family="system-ui, sans-serif" font-size="16" fill="#39424e" text-anchor="middle">{texts}</g></svg>'
    ).encode()


def _plain(text: str) -> str:
    """Leave out what XML cannot hold."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)

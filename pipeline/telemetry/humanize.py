"""Humanize: bytes and seconds formatted with readable units."""

import re

SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
TIMES = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
EXACT = re.compile(r"(?<![\d.,])(\d[\d,]*) (bytes|s)\b")
"""A number of bytes or seconds in a text."""


def human_size(count: float) -> str:
    """Format bytes with three digits and decimal units: `1.23 GB`."""
    for unit in SIZES:
        if count < 999.5 or unit == SIZES[-1]:
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" or count >= 99.95 else f"{count:.3g} {unit}"


def human_duration(seconds: float) -> str:
    """Format seconds with the two largest units: `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    left = round(seconds)
    words = []
    for unit, length in TIMES:
        count, left = divmod(left, length)
        words.append(f"{count:,} {unit}" if count else "")
    first = next(place for place, word in enumerate(words) if word)
    return " ".join(filter(None, words[first : first + 2]))


def human_units(arithmetic: str) -> str:
    """Format the bytes and seconds in a text with readable units."""

    def short(found: re.Match[str]) -> str:
        """Format one number with its unit."""
        number = int(found[1].replace(",", ""))
        return human_size(number) if found[2] == "bytes" else human_duration(number)

    return EXACT.sub(short, arithmetic)

"""Amounts as people read them: bytes in the unit that leaves them short, seconds as minutes, hours or days."""

import re

SIZES = ("bytes", "kB", "MB", "GB", "TB", "PB", "EB")
TIMES = (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
EXACT = re.compile(r"(?<![\d.,])(\d[\d,]*) (bytes|s)\b")
"""A number of bytes or seconds, as a line of arithmetic has it."""


def human_size(count: float) -> str:
    """Write bytes with three digits: `1.23 GB`, of 1000 MB each."""
    for unit in SIZES:
        if count < 999.5 or unit == SIZES[-1]:
            break
        count /= 1000
    return f"{count:,.0f} {unit}" if unit == "bytes" or count >= 99.95 else f"{count:.3g} {unit}"


def human_duration(seconds: float) -> str:
    """Write seconds by their two largest units: `2 h 5 min`."""
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
    """Write the bytes and seconds of a line of arithmetic as people read them."""

    def short(found: re.Match[str]) -> str:
        number = int(found[1].replace(",", ""))
        return human_size(number) if found[2] == "bytes" else human_duration(number)

    return EXACT.sub(short, arithmetic)

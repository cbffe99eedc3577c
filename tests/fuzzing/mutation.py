"""Mutation: damages an image file as networks, disks and attackers do; the same seed gives the same file."""

import random
import re
from collections.abc import Callable
from itertools import pairwise

from tests.fuzzing.seeds import absurd, bombs, seeds
from tests.imagefiles import segment

MARKS = re.compile(
    rb"\xff[\x4f-\x93\xc0-\xfe]|IHDR|PLTE|IDAT|tRNS|eXIf|ftyp|meta|ispe|iloc|iinf|iprp|hvcC|av1C|mdat|jp2h|jp2c"
    rb"|VP8[ LX]|ANMF|ALPH|EXIF|II[*+]|MM\0[*+]|GIF8|!\xf9|!\xfe|,"
)
"""Where a structure begins."""
NUMBERS = (b"\xff" * 4, b"\0" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1", b"\x80\0\0\0", b"\xff\xff", b"\0\0", b"\0")
EXTENSIONS = ("jpg", "png", "gif", "webp", "bmp", "tif", "avif", "heic", "jp2", "JPEG", "txt", "img", "")
"""Names that a file gets, whatever its bytes are."""

Chance = random.Random


def image(number: int, seed: int = 0) -> tuple[str, bytes]:
    """Make one damaged image: its name, whose extension may be wrong, and its bytes."""
    chance = random.Random(f"{seed} {number}")
    kind = chance.choices(tuple(KINDS), tuple(weight for weight, _ in KINDS.values()))[0]
    data = KINDS[kind][1](chance)
    if kind != "flips" and chance.random() < 0.3:
        data = flipped(chance, data)
    extension = chance.choice(EXTENSIONS)
    return f"{number:07d}-{kind}{'.' if extension else ''}{extension}", data


def flipped(chance: Chance, data: bytes) -> bytes:
    """Flip single bits."""
    held = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 8, 64))):
        if held:
            held[_place(chance, held)] ^= 1 << chance.randrange(8)
    return bytes(held)


def cut(chance: Chance, data: bytes) -> bytes:
    """Cut at a marker or near one, or anywhere; a second part may follow behind the gap."""
    at = _place(chance, data)
    return data[:at] if chance.random() < 0.7 else data[:at] + data[at + chance.choice((1, 4, 60, 4096)) :]


def swapped(chance: Chance, data: bytes) -> bytes:
    """Exchange two parts between markers, or repeat one."""
    marks = sorted({0, *(found.start() for found in MARKS.finditer(data)), len(data)})
    parts = [data[start:end] for start, end in pairwise(marks)]
    one, other = chance.randrange(len(parts)), chance.randrange(len(parts))
    parts[one], parts[other] = parts[other], parts[one]
    return b"".join([*parts[:one], *[parts[one]] * chance.choice((0, 1, 1, 2, 40)), *parts[one + 1 :]])


def overwritten(chance: Chance, data: bytes) -> bytes:
    """Put the largest, the smallest and negative numbers where lengths and sizes are."""
    held = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at, number = _place(chance, held), chance.choice(NUMBERS)
        held[at : at + len(number)] = number
    return bytes(held)


def polyglot(chance: Chance, data: bytes) -> bytes:
    """Join files of two formats: behind one another, within one another, or under the other's signature."""
    other = chance.choice(seeds())
    match chance.randrange(4):
        case 0:
            return data + other
        case 1:
            at = _place(chance, data)
            return data[:at] + other + data[at:]
        case 2:
            at = chance.choice((2, 4, 8, 12, 16, 32))
            return other[:at] + data[at:]
        case _:
            return b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + data[:60_000]) + other[2:]


def nested(chance: Chance, data: bytes) -> bytes:
    """Put a file into itself, a few times over."""
    for _ in range(chance.choice((1, 2, 5))):
        at = _place(chance, data)
        data = (data[:at] + data + data[at:])[: 1 << 18]
    return data


def _place(chance: Chance, data: bytes | bytearray) -> int:
    """Choose a byte, mostly where a structure begins or shortly behind."""
    marks = [found.start() for found in MARKS.finditer(data)] or [0]
    at = chance.choice((chance.choice(marks), chance.choice(marks) + chance.randrange(14), chance.randrange(200),
                        chance.randrange(max(1, len(data)))))  # fmt: skip
    return max(0, min(len(data) - 1, at))


def _of_seeds(change: Callable[[Chance, bytes], bytes]) -> Callable[[Chance], bytes]:
    return lambda chance: change(chance, chance.choice(seeds()))


KINDS: dict[str, tuple[float, Callable[[Chance], bytes]]] = {
    "flips": (25, _of_seeds(flipped)),
    "cut": (20, _of_seeds(cut)),
    "swapped": (15, _of_seeds(swapped)),
    "overwritten": (20, _of_seeds(overwritten)),
    "polyglot": (10, _of_seeds(polyglot)),
    "nested": (5, _of_seeds(nested)),
    "absurd": (4.5, lambda chance: chance.choice(absurd())),
    "bomb": (0.5, lambda chance: chance.choice(bombs())),
}
"""By kind: how often it comes, and how it is made."""

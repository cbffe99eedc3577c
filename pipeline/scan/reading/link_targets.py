"""What a hard link of an archive may point to: places of the members before it, and the bytes of the last ones."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

MOST_PLACES = 1 << 18
"""Members whose place is kept; some 40 MiB. A link that points further back is told as one."""
MOST_BYTES = 16 << 20
"""Bytes of members that are kept for links in compressed archives, where a place alone gives no bytes."""


@dataclass
class Linked:
    """The members that went by.

    Attributes:
        places: offset and length by name, the newest last.
        bodies: the newest bytes, by offset.
    """

    places: "OrderedDict[str, tuple[int, int]]" = field(default_factory=OrderedDict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    _order: deque[int] = field(default_factory=deque)
    _size: int = 0

    def keep(self, name: str, offset: int, length: int, data: bytes | None) -> None:
        """Remember a member."""
        self.places[name] = (offset, length)
        self.places.move_to_end(name)
        if len(self.places) > MOST_PLACES:
            self.places.popitem(last=False)
        if data is not None and offset not in self.bodies:
            self.bodies[offset] = data
            self._order.append(offset)
            self._size += len(data)
        while self._size > MOST_BYTES:
            self._size -= len(self.bodies.pop(self._order.popleft()))

    def find(self, name: str) -> tuple[int, int, bytes | None] | None:
        """Find a member's offset, length and, if they are still there, bytes; None where no such member is known."""
        place = self.places.get(name)
        return None if place is None else (*place, self.bodies.get(place[0]))

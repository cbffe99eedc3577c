"""Link targets: where the members before a hard link are in the archive, and the bytes of the last ones."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field

MAX_PLACES = 1 << 18
"""Members whose place is kept, some 40 MiB; a link that points further back is reported as a link."""
MAX_NAME_CHARACTERS = 32 << 20
"""Characters of all those names together."""
MAX_BYTES = 16 << 20
"""Bytes of members that are kept for links in compressed archives, which have no byte ranges."""


@dataclass
class LinkTargets:
    """The members that were read.

    Attributes:
        places: offset and length by name, the newest last.
        bodies: bytes of the newest members, by offset.
    """

    places: "OrderedDict[str, tuple[int, int]]" = field(default_factory=OrderedDict)
    bodies: dict[int, bytes] = field(default_factory=dict)
    _order: deque[int] = field(default_factory=deque)
    _size: int = 0
    _names: int = 0

    def keep(self, name: str, offset: int, length: int, data: bytes | None) -> None:
        """Remember a member."""
        self._names += 0 if name in self.places else len(name)
        self.places[name] = (offset, length)
        self.places.move_to_end(name)
        while len(self.places) > MAX_PLACES or self._names > MAX_NAME_CHARACTERS:
            self._names -= len(self.places.popitem(last=False)[0])
        if data is not None and offset not in self.bodies:
            self.bodies[offset] = data
            self._order.append(offset)
            self._size += len(data)
        while self._size > MAX_BYTES:
            self._size -= len(self.bodies.pop(self._order.popleft()))

    def find(self, name: str) -> tuple[int, int, bytes | None] | None:
        """Find a member's offset, length and, if they are still kept, bytes; None for an unknown member."""
        place = self.places.get(name)
        return None if place is None else (*place, self.bodies.get(place[0]))

"""Plan: the source's units, less what the verdict table holds already, in groups that are seconds of work each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pipeline.scan.ledger import Ledger
from pipeline.scan.unit import Unit

GROUPS_A_CORE = 4
FEWEST = 16
MOST = 256


@dataclass(frozen=True)
class Plan:
    """What a scan has to do.

    Attributes:
        names: every unit of the source, done or not.
        todo: the units that lack rows, each knowing which.
        done_units: how many are whole.
        done_images: how many rows the table holds of the source's units.
    """

    names: tuple[str, ...]
    todo: tuple[Unit, ...]
    done_units: int
    done_images: int

    @property
    def images(self) -> int | None:
        """Images still to do, None while shards have not told how many they hold."""
        counts = [unit.images for unit in self.todo]
        missing = sum(behind - first for unit in self.todo for first, behind in unit.present)
        return None if None in counts else sum(count or 0 for count in counts) - missing


def plan(units: Iterable[Unit], ledger: Ledger) -> Plan:
    """Drop the units that the table shows whole.

    Raises:
        StorageError: the source or the table cannot be read.
    """
    every = tuple(units)
    states = ledger.states()
    open_units = [unit for unit in every if unit.name not in states or not states[unit.name].whole]
    begun = [unit.name for unit in open_units if unit.name in states]
    present = ledger.present(begun)
    return Plan(
        names=tuple(unit.name for unit in every),
        todo=tuple(unit.without(present.get(unit.name, [])) for unit in open_units),
        done_units=len(every) - len(open_units),
        done_images=sum(states[unit.name].images for unit in every if unit.name in states),
    )


def groups(units: Iterable[Unit], cores: int) -> Iterator[tuple[Unit, ...]]:
    """Put units together until they are enough work for a task; a shard is a task of its own."""
    every = tuple(units)
    known = sum(unit.images or 0 for unit in every)
    size = min(MOST, max(FEWEST, known // (GROUPS_A_CORE * cores)))
    group: list[Unit] = []
    for unit in every:
        if unit.images is None:
            yield (unit,)
            continue
        group.append(unit)
        if sum(member.images or 0 for member in group) >= size:
            yield tuple(group)
            group = []
    if group:
        yield tuple(group)

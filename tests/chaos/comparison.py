"""Comparison: a disturbed table against the undisturbed one, row by row, every column but the times."""

import io
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow.parquet as pq

from pipeline.scan.reading.unit import Name

TIMES = {"scanned_at"}
OF_DEDUPE = "same_as"
"""Which of several equal images was scored depends on who came first; its verdict does not."""
MEASURED = 0.05
"""How far a logit may move: each run chooses its precision by measuring."""

Place = tuple[str, str, int]
"""Model, unit without its identity, index."""


@dataclass(frozen=True)
class Difference:
    """What differs from the undisturbed table.

    Attributes:
        rows: rows of the undisturbed table.
        lost: of these, rows that are not there.
        twice: rows that are there more than once.
        strange: rows that the undisturbed table lacks.
        changed: the first columns that differ, in words.
    """

    rows: int
    lost: int
    twice: int
    strange: int
    changed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.lost or self.twice or self.strange or self.changed)


def rows_of(files: Mapping[str, bytes], root: str) -> Iterator[dict[str, Any]]:
    """Read a table's files, each named by model and part; the place of the sources is left out of every text.

    Args:
        files: their content by name, `model=…/part-….parquet`.
        root: the URL of the folder of the sources.
    """
    for name, content in files.items():
        model = name.split("/", 1)[0].removeprefix("model=")
        for row in pq.ParquetFile(io.BytesIO(content)).read().to_pylist():
            yield {"model": model} | placeless(row, root)


def placeless(row: Mapping[str, Any], root: str) -> dict[str, Any]:
    """Leave the folder of the sources out of a row's texts."""
    return {name: value.replace(root, "") if isinstance(value, str) else value for name, value in row.items()}


def place_of(row: Mapping[str, Any]) -> Place:
    """Tell which image of which model a row is for."""
    return row["model"], Name.parse(row["unit"]).url, row["index"]


def compare(undisturbed: Iterable[dict[str, Any]], found: Iterable[dict[str, Any]]) -> Difference:
    """Compare two tables, whose rows name their sources alike."""
    wanted = {place_of(row): row for row in undisturbed}
    found = list(found)
    counts = Counter(place_of(row) for row in found)
    changed: list[str] = []
    for row in found:
        if place_of(row) in wanted:
            changed += [f"{place_of(row)}: {words}" for words in differing(wanted[place_of(row)], row)]
    return Difference(
        rows=len(wanted),
        lost=len(wanted.keys() - counts.keys()),
        twice=sum(count > 1 for count in counts.values()),
        strange=len(counts.keys() - wanted.keys()),
        changed=tuple(changed[:8]),
    )


def differing(wanted: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    """Name the columns of a row that differ."""
    for name in sorted((wanted.keys() | found.keys()) - TIMES - {OF_DEDUPE, "unit"}):
        if not alike(wanted.get(name), found.get(name)):
            yield f"{name} is {found.get(name)!r}, not {wanted.get(name)!r}"


def alike(first: Any, second: Any) -> bool:
    """Tell whether two values are equal, numbers that a model computed within what precision moves them."""
    if isinstance(first, float) and isinstance(second, float):
        return math.isclose(first, second, abs_tol=MEASURED)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(alike, first, second))
    return bool(first == second)

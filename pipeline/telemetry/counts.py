"""Counts: images by status and verdict."""

from collections import Counter
from collections.abc import Mapping

from pipeline.records import Status

Outcomes = Mapping[tuple[str, str | None], int]
"""Images by status and verdict."""


class Counts:
    """Numbers of images by status and verdict."""

    def __init__(self, outcomes: Outcomes | None = None) -> None:
        self.outcomes: Counter[tuple[str, str | None]] = Counter(outcomes or {})

    def __add__(self, other: "Counts") -> "Counts":
        """Add two counts."""
        return Counts(self.outcomes + other.outcomes)

    @property
    def images(self) -> int:
        """Number of images."""
        return self.outcomes.total()

    @property
    def faults(self) -> int:
        """Number of images without a verdict."""
        return sum(self.kinds.values())

    @property
    def kinds(self) -> dict[str, int]:
        """Faults by their status, the most common first."""
        return _sums({key: count for key, count in self.outcomes.items() if key[0] != Status.OK}, 0)

    @property
    def verdicts(self) -> dict[str, int]:
        """Images by verdict, the most common first."""
        return _sums({key: count for key, count in self.outcomes.items() if key[1] is not None}, 1)

    def __str__(self) -> str:
        """Format the counts: `12 generated, 7 real, 3 faults (2 truncated, 1 empty)`."""
        words = [f"{count:,} {verdict}" for verdict, count in self.verdicts.items()]
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in self.kinds.items())
        fault = "fault" if self.faults == 1 else "faults"
        return ", ".join([*words, f"{self.faults:,} {fault}" + (f" ({kinds})" if kinds else "")])


def _sums(outcomes: Outcomes, part: int) -> dict[str, int]:
    sums: Counter[str] = Counter()
    for key, count in outcomes.items():
        sums[str(key[part])] += count
    return dict(sums.most_common())

"""Markdown: tables, shares with their intervals and counts, as documents of this project write them."""

from collections.abc import Sequence

from mole.measuring.metrics import Rate

NOTHING = "–"
"""Where there is no figure."""


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a table, every cell on its line; a sentence where there are no lines."""
    if not lines:
        return "Nothing of this kind was among the images."
    whole = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in whole)


def percent(share: float) -> str:
    """Write a share in percent, three digits at most."""
    return f"{100 * share:.3g} %"


def counts(share: Rate) -> str:
    """Write a share as its counts."""
    return f"{share.hits:,} of {share.images:,}"


def rate(share: Rate) -> str:
    """Write a share with its 95 % interval, in percent, and its counts."""
    return f"{100 * share.share:.1f} % ({100 * share.low:.1f}–{100 * share.high:.1f}; {counts(share)})"


def span(bounds: tuple[float, float]) -> str:
    """Write an interval of an AUROC."""
    return f"{bounds[0]:.2f}–{bounds[1]:.2f}"

"""Markdown: tables, and shares with their intervals and counts."""

from collections.abc import Sequence

from mole.measuring.rates import Rate

MISSING = "–"
"""Placeholder for a missing value."""


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Format a table; a sentence if it has no lines."""
    if not lines:
        return "There were no such images."
    whole = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |" for line in whole)


def percent(share: float) -> str:
    """Format a share in percent, with at most three digits."""
    return f"{100 * share:.3g} %"


def counts(share: Rate) -> str:
    """Format a share as counts."""
    return f"{share.hits:,} of {share.images:,}"


def rate(share: Rate) -> str:
    """Format a share in percent with its 95 % interval and counts."""
    return f"{100 * share.share:.1f} % ({100 * share.low:.1f}–{100 * share.high:.1f}; {counts(share)})"


def interval(bounds: tuple[float, float]) -> str:
    """Format an interval of an AUROC."""
    return f"{bounds[0]:.2f}–{bounds[1]:.2f}"

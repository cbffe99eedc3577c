"""Audit: check whether file properties of labelled images leak the label."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import json
import sys

from rich.console import Console
from rich.table import Table

from pipeline.telemetry.terminal import ProgressDisplay, command, results
from pipeline.tune.data.audit import Audit, Distribution, Verdict, verdict_of
from pipeline.tune.data.audit_flow import AuditSettings, audit_samples

LEAK_FOUND = 1
"""Exit code: properties of the files leak the label."""


@command
def main(arguments: list[str]) -> int:
    """Run one audit from the command line.

    Returns:
        The exit code: 0 fair, 1 file properties leak the label, 2 settings, 3 storage, 130 interrupted, 143 SIGTERM.
    """
    settings = AuditSettings.from_command_line(arguments)
    with ProgressDisplay("audit") as progress:
        found = audit_samples(settings, progress.log)
    verdict = verdict_of(found, settings.max_leak)
    if settings.json_summary:
        print(json.dumps(found.model_dump() | {"verdict": verdict.model_dump()}))
    else:
        show(found, verdict, results())
    return LEAK_FOUND if verdict.leaks else 0


def show(found: Audit, verdict: Verdict, console: Console) -> None:
    """Print the file properties of each class and source, the AUCs, exclusions, duplicates, and the verdict."""
    table = Table(box=None, pad_edge=False)
    for name in ("class", "source", "images", "format", "quality", "width", "height", "bytes/pixel", "exif"):
        table.add_column(name, justify="left" if name in {"class", "source", "format"} else "right")
    for distribution in found.distributions:
        table.add_row(*row_of(distribution))
    console.print(table)
    columns = ", ".join(f"{name} {auc:.3f}" for name, auc in found.columns.items())
    console.print(f"AUC of each column alone: {columns}", highlight=False, soft_wrap=True)
    left = ", ".join(f"{count:,} {reason}" for reason, count in found.excluded.items())
    console.print(f"left out: {left or 'nothing'}", highlight=False, soft_wrap=True)
    for reason, uri, detail in found.named:
        console.print(f"  {reason}: {uri} {detail}", highlight=False, soft_wrap=True, markup=False)
    copies = found.copies
    console.print(
        f"near duplicates: {copies.samples:,} images in {copies.groups:,} groups, across classes "
        f"{copies.across_classes:,}, sources {copies.across_sources:,}, inputs {copies.across_splits:,}",
        highlight=False,
        soft_wrap=True,
    )
    word = "not fair" if verdict.leaks else "fair" if found.auc is not None else "unknown"
    console.print(f"{word}: {verdict.told}", highlight=False, soft_wrap=True, style="red" if verdict.leaks else None)


def row_of(distribution: Distribution) -> list[str]:
    """Format a distribution as a row: shares by frequency, numbers by their 10, 50 and 90 % quantiles."""
    formats = " ".join(f"{name} {share:.0%}" for name, share in distribution.shares["format"].items())

    def cut(name: str, form: str = ".0f") -> str:
        """Format the 10, 50 and 90 % quantiles."""
        return "-".join(format(value, form) for value in distribution.quantiles.get(name, ())) or "none"

    return [
        distribution.label,
        distribution.source or "all",
        f"{distribution.images:,}",
        formats,
        cut("quality"),
        cut("width"),
        cut("height"),
        cut("bytes_per_pixel", ".2f"),
        f"{distribution.shares['exif'].get('true', 0):.0%}",
    ]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

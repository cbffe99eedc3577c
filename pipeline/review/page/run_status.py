"""Run status: whether the scans of a report are complete, and which sources they read."""

from collections.abc import Sequence
from posixpath import normpath
from typing import Any

from pipeline.review.analysis.history import Run
from pipeline.review.page.wording import address, plain
from pipeline.telemetry.printable import counted

RESTART_ADVICE = "start the same command again, and it goes on there"


def of_model(runs: Sequence[Run], digest: str) -> list[Run]:
    """Select the runs of a model.

    Args:
        runs: the newest first.
        digest: the model's digest. An unfinished run does not record its model's digest: it is included unless another
            run maps its `--model` to another digest.
    """
    named = {run.settings.get("model"): run.model for run in reversed(runs) if run.model}
    return [
        run
        for run in runs
        if digest == (run.model or named.get(run.settings.get("model"), digest)) or run.settings.get("shadow")
    ]


def sources(runs: Sequence[Run]) -> list[str]:
    """Return the distinct sources of the runs, those of the newest run first.

    Runs that failed before writing anything are ignored. A relative path is taken to equal an absolute one that ends
    with it.
    """
    read = [run for run in runs if run.written or not run.exit_code]
    named = list(dict.fromkeys(_normal(str(name)) for run in read for name in run.settings.get("source") or ()))
    return [one for one in named if not any(other.endswith(f"/{one}") for other in named)]


def several(named: Sequence[str]) -> str:
    """Describe the sources if a table has more than one; else empty."""
    if len(named) < 2:
        return ""
    shown = ", ".join(address(name) for name in named[:5])
    more = f" and {len(named) - 5:,} others" if len(named) > 5 else ""
    return f"This table holds images of {len(named):,} sources: {shown}{more}; shares are of all of them."


def unfinished(runs: Sequence[Run]) -> list[str]:
    """Describe what the last scan of each source left undone, and why; empty if all are complete.

    Args:
        runs: the runs of the report's model, the newest first.
    """
    wrote = [run for run in runs if run.written or not run.exit_code]
    last, covered = [run for run in wrote[:1] if run.job == "rescan"], set[str]()
    for run in wrote:
        if run.job == "scan" and not covered.issuperset(read := sources([run])):
            covered.update(read)
            last.append(run)
    left = [(run, _left(run)) for run in last]
    return [text if len(last) < 2 else f"{text}{_of(run)}" for run, text in left if text]


def _left(run: Run) -> str:
    """Describe what a run left undone; empty if nothing."""
    what = f"the {run.job} of {run.started:%Y-%m-%d %H:%M} UTC"
    if run.exit_code is None:
        return f"{what} has not ended: it runs still, or was killed"
    if run.exit_code:
        why = f": {plain(run.error).rstrip('.')}" if run.error else ""
        return f"{what} ended early with exit code {run.exit_code}{why}"
    by = f" ({run.summary['stopped']} ended the run)" if run.summary.get("stopped") else ""
    if run.job == "rescan":
        left = _count(run.summary, "left")
        return (
            f"{left:,} of {counted(_count(run.summary, 'chosen'), 'image')} are not scored again yet{by}"
            if left
            else ""
        )
    left, units, images = (_count(run.summary, name) for name in ("units_left", "units", "images_left"))
    if not left:
        return f"{what} left images without a verdict{by}" if run.summary.get("law", "kept") != "kept" else ""
    if left == images:  # one image per file
        return f"{left:,} of {counted(units, 'file')} {'is' if left == 1 else 'are'} not scanned yet{by}"
    known = f", {counted(images, 'image')}" if images else ""
    whole = counted(units, "file or archive", "files and archives")
    return f"{left:,} of {whole} {'is' if left == 1 else 'are'} not scanned to the end yet{known}{by}"


def _count(summary: dict[str, Any], name: str) -> int:
    value = summary.get(name)
    return value if isinstance(value, int) else 0


def _of(run: Run) -> str:
    """Describe the sources of a scan; empty for a rescan."""
    named = ", ".join(address(name) for name in sources([run])[:3])
    return f", of {named}" if named else ""


def _normal(name: str) -> str:
    """Normalize a path or URL."""
    return name.rstrip("/") or name if "://" in name else normpath(name)

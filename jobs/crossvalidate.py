"""Crossvalidate: compare variations of a recipe on collections that no training of theirs saw."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import sys

from rich.table import Table

from pipeline.runtime import cluster
from pipeline.telemetry.terminal import Ticker, command, results
from pipeline.tune.judging.comparison import MethodComparison
from pipeline.tune.judging.held_out import MAIN_DELIVERIES
from pipeline.tune.judging.held_out_metrics import HeldOutMetrics
from pipeline.tune.judging.perturbation import SHIPPED
from pipeline.tune.training.crossvalidate import CARDS, crossvalidate
from pipeline.tune.training.settings import CrossvalidateSettings


@command
def main(arguments: list[str]) -> int:
    """Run one cross-validation from the command line.

    Returns:
        The exit code: 0 done, 2 settings, 3 storage, 4 model, 5 a row was lost, 130 interrupted, 143 SIGTERM.
    """
    settings = CrossvalidateSettings.from_command_line(arguments)
    cluster.quiet(logs=settings.ray_logs)
    with Ticker("crossvalidate") as ticker:
        ladder = crossvalidate(settings, ticker.say)
    if settings.json_summary:
        print(ladder.model_dump_json())
    else:
        results().print(table(ladder))
        results().print(f"all of it: {settings.output / CARDS}", highlight=False, soft_wrap=True)
    return 0


def table(ladder: MethodComparison) -> Table:
    """Lay out what each method does on collections that it never saw."""
    shown = Table(
        title="collections never trained on", caption="AUROC: mean over generators / lowest; calls: as shipped"
    )
    for column in ("method", *(f"AUROC {name}" for name in MAIN_DELIVERIES), "reals called generated", "fakes found"):
        shown.add_column(column, justify="left" if column == "method" else "right")
    for name, unseen in ladder.methods.items():
        called = unseen.verdicts_of(SHIPPED)
        areas = [area(unseen, delivery) for delivery in MAIN_DELIVERIES]
        shown.add_row(name, *areas, f"{called.alarms.share:.1%}", f"{called.found.share:.1%}")
    return shown


def area(unseen: HeldOutMetrics, delivery: str) -> str:
    """Write the mean AUROC over generators in a delivery, and the lowest."""
    mean = unseen.mean(delivery)
    return "" if mean is None else f"{mean.auroc:.3f} / {mean.lowest:.3f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

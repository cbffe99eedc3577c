"""Crossvalidate: compare variations of a recipe on collections held out from training."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import sys

from rich.table import Table

from pipeline.telemetry.terminal import ProgressDisplay, command, results
from pipeline.tune.evaluation.comparison import MethodComparison
from pipeline.tune.evaluation.held_out_logits import MAIN_PERTURBATIONS
from pipeline.tune.evaluation.held_out_metrics import HeldOutMetrics
from pipeline.tune.evaluation.perturbation import ORIGINAL
from pipeline.tune.training.crossvalidate import CARDS, crossvalidate
from pipeline.tune.training.settings import CrossvalidateSettings


@command
def main(arguments: list[str]) -> int:
    """Run one cross-validation from the command line.

    Returns:
        The exit code: 0 done, 2 settings, 3 storage, 4 model, 5 a row was lost, 130 interrupted, 143 SIGTERM.
    """
    settings = CrossvalidateSettings.from_command_line(arguments)
    with ProgressDisplay("crossvalidate") as progress:
        comparison = crossvalidate(settings, progress.log)
    if settings.json_summary:
        print(comparison.model_dump_json())
    else:
        results().print(table(comparison))
        results().print(f"full report: {settings.output / CARDS}", highlight=False, soft_wrap=True)
    return 0


def table(comparison: MethodComparison) -> Table:
    """Format the metrics of each method on held-out collections."""
    shown = Table(
        title="held-out collections", caption="AUROC: mean over generators / lowest; verdicts: without perturbation"
    )
    for column in (
        "method",
        *(f"AUROC {name}" for name in MAIN_PERTURBATIONS),
        "reals called generated",
        "fakes found",
    ):
        shown.add_column(column, justify="left" if column == "method" else "right")
    for name, metrics in comparison.methods.items():
        called = metrics.verdicts_of(ORIGINAL)
        areas = [area(metrics, delivery) for delivery in MAIN_PERTURBATIONS]
        shown.add_row(name, *areas, f"{called.alarms.share:.1%}", f"{called.found.share:.1%}")
    return shown


def area(metrics: HeldOutMetrics, delivery: str) -> str:
    """Format the mean AUROC over generators under a perturbation, and the lowest."""
    mean = metrics.mean(delivery)
    return "" if mean is None else f"{mean.auroc:.3f} / {mean.lowest:.3f}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

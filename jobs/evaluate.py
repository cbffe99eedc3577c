"""Evaluate: measure a detector on labelled images, per generator, and write a report."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import sys

from rich.console import Console
from rich.table import Table

from pipeline.telemetry.terminal import ProgressDisplay, command, results
from pipeline.tune.evaluation.benchmark import EvaluateSettings, measure
from pipeline.tune.evaluation.conclusion import conclusion
from pipeline.tune.evaluation.evaluation_result import SEEN_LABELS, Evaluation
from pipeline.tune.evaluation.generator_metrics import GeneratorMetrics, PartMetrics
from pipeline.tune.evaluation.logits import OVERALL
from pipeline.tune.evaluation.perturbation import shown_name
from pipeline.tune.evaluation.universal_fake_detect import PRINTED, SETS, Protocol


@command
def main(arguments: list[str]) -> int:
    """Run one evaluation from the command line.

    Returns:
        The exit code: 0 measured, 2 settings, 3 storage, 4 model.
    """
    settings = EvaluateSettings.from_command_line(arguments)
    with ProgressDisplay("evaluate") as progress:
        found = measure(settings, progress.log)
    if settings.json_summary:
        print(found.model_dump_json())
    elif isinstance(found, Protocol):
        show_protocol(found, results())
    else:
        show(found, results())
    return 0


def show(evaluation: Evaluation, console: Console) -> None:
    """Print the metrics on unseen images, those on training images if requested, and the conclusion."""
    for found in (evaluation, evaluation.apart):
        if found is not None:
            show_figures(found, console)
    when = f" ({evaluation.made:%Y-%m-%d})" if evaluation.made else ""
    console.print(f"conclusion{when}: {conclusion(evaluation)}", highlight=False, soft_wrap=True, markup=False)


def show_figures(evaluation: Evaluation, console: Console) -> None:
    """Print the metrics of each generator and its parts under each perturbation, means, minima and real images."""
    title = f"{evaluation.samples:,} images, {SEEN_LABELS[evaluation.which]}"
    table = Table(box=None, pad_edge=False, title=title, title_justify="left")
    for name in ("generator", "perturbation", "fakes", "reals", "AUROC", "95 %", "AP", "found", "false positives"):
        table.add_column(name, justify="left" if name in {"generator", "perturbation"} else "right")
    for row in (*evaluation.rows, *evaluation.overall):
        table.add_row(*cells(row), style="bold" if row.generator == OVERALL else None)
        for part in evaluation.parts:
            if (part.source, part.delivery) == (row.generator, row.delivery):
                table.add_row(*part_cells(part))
    console.print(table)
    for delivery in evaluation.deliveries:
        areas = f"AUROC {evaluation.mean('auroc', delivery):.3f}, lowest {evaluation.minimum('auroc', delivery):.3f}"
        means = evaluation.mean("average_precision", delivery), evaluation.minimum("average_precision", delivery)
        precision = f"AP {means[0]:.3f}, lowest {means[1]:.3f}"
        console.print(f"{shown_name(delivery)}, mean over generators: {areas}; {precision}")
    for cell in evaluation.metrics(OVERALL, evaluation.deliveries[0]).detection:
        value = f"{cell.found.share:.1%}" if cell.found else f"not measured, needs {cell.needed:,} real images"
        console.print(
            f"found at a false-positive rate of {cell.allowed:g} on these real images: {value}", highlight=False
        )
    for reals in evaluation.reals:
        if reals.delivery == evaluation.deliveries[0]:
            line = f"{reals.source}, real: {reals.alarms.hits:,} of {reals.alarms.images:,} called generated"
            console.print(f"{line}, {reals.unsure.hits:,} unsure", highlight=False, markup=False)
    left = [f"{count:,} {status}" for status, count in evaluation.excluded.items()]
    left += [f"{evaluation.left_out:,} training images of the version"] if evaluation.left_out else []
    console.print(f"left out: {', '.join(left) or 'nothing'}", highlight=False)
    if evaluation.unjudged:
        console.print(
            f"not evaluated, because a class could not be read: {', '.join(evaluation.unjudged)}", markup=False
        )


def cells(row: GeneratorMetrics) -> list[str]:
    """Format the metrics of a generator."""
    low, high = row.auroc_interval
    return [
        f"{row.generator} (reconstructions)" if row.reconstruction else row.generator,
        shown_name(row.delivery),
        f"{row.fakes:,}",
        f"{row.reals:,}",
        f"{row.auroc:.3f}",
        f"{low:.3f}-{high:.3f}",
        f"{row.average_precision:.3f}",
        f"{row.found.share:.1%}",
        f"{row.alarms.share:.1%}",
    ]


def part_cells(part: PartMetrics) -> list[str]:
    """Format the metrics of one of several generators or classes of a source."""
    low, high = part.auroc_interval
    area = [f"{part.auroc:.3f}", f"{low:.3f}-{high:.3f}"]
    name = shown_name(part.delivery)
    return [f"  {part.part}", name, f"{part.fakes:,}", "", *area, "", f"{part.found.share:.1%}", ""]


def show_protocol(found: Protocol, console: Console) -> None:
    """Print the paper's table with the results of this model."""
    table = Table(box=None, pad_edge=False, title="average precision, %", title_justify="left")
    for name in ("set", *PRINTED, "this model", "accuracy", "images"):
        table.add_column(name, justify="left" if name == "set" else "right")
    for number, (folder, title) in enumerate(SETS.items()):
        printed = [f"{row[number]:.2f}" for row in PRINTED.values()]
        own = found.found(folder)
        ours = (
            ["", "", ""]
            if own is None
            else [
                f"{own.average_precision:.2%}"[:-1],
                f"{own.accuracy:.2%}"[:-1],
                f"{own.reals:,} + {own.fakes:,}",
            ]
        )
        table.add_row(title, *printed, *ours)
    means = [f"{sum(row) / len(row):.2f}" for row in PRINTED.values()]
    ours = [f"{100 * found.mean_average_precision:.2f}", f"{100 * found.mean_accuracy:.2f}", f"{len(found.sets)} sets"]
    table.add_row("mean", *means, *ours, style="bold")
    console.print(table)
    if found.absent:
        console.print(f"absent: {', '.join(found.absent)}; the mean is over the other sets", highlight=False)
    for line in (found.note, f"{found.excluded:,} images could not be read" if found.excluded else ""):
        if line:
            console.print(line, highlight=False)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Finetune: train a detector on labelled images, calibrate and evaluate it, and add it to a registry."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import json
import sys
from dataclasses import asdict

from rich.table import Table

from mole.measuring.rates import Rate
from pipeline.runtime.invocation import command_for
from pipeline.telemetry.terminal import ProgressDisplay, command, results
from pipeline.tune.evaluation.conclusion import conclusion
from pipeline.tune.evaluation.perturbation import shown_name
from pipeline.tune.training.finetune import EVALUATED_PERTURBATIONS, FinetuneResult, finetune
from pipeline.tune.training.settings import FinetuneSettings


@command
def main(arguments: list[str]) -> int:
    """Run one training from the command line.

    Returns:
        The exit code: 0 the version is in the registry, 2 settings, 3 storage, 4 model, 130
            interrupted, 143 SIGTERM.
    """
    settings = FinetuneSettings.from_command_line(arguments)
    with ProgressDisplay("finetune") as progress:
        outcome = finetune(settings, progress.log)
    if settings.json_summary:
        measured = outcome.evaluation.model_dump(mode="json") if outcome.evaluation else None
        print(json.dumps(asdict(outcome) | {"evaluation": measured}))
    else:
        show(outcome, settings)
    return 0


def show(outcome: FinetuneResult, settings: FinetuneSettings) -> None:
    """Print the evaluation of the version, its location, and the next command."""
    console = results()
    if outcome.evaluation:
        areas = [f"AUROC {shown_name(name)}" for name in EVALUATED_PERTURBATIONS]
        table = Table("held-out test images", "fakes", "reals", *areas, "called generated, original")
        for name in outcome.evaluation.generators:
            rows = [outcome.evaluation.metrics(name, delivery) for delivery in EVALUATED_PERTURBATIONS]
            title = f"{name} (reconstructions)" if rows[0].reconstruction else name
            areas = [f"{row.auroc:.3f}" for row in rows]
            table.add_row(title, str(rows[0].fakes), str(rows[0].reals), *areas, share(rows[0].found))
        for reals in outcome.evaluation.reals:
            if reals.delivery == EVALUATED_PERTURBATIONS[0]:
                table.add_row(f"{reals.source}, real", "", str(reals.alarms.images), "", "", share(reals.alarms))
        console.print(table)
        console.print(conclusion(outcome.evaluation), highlight=False, soft_wrap=True, markup=False)
    else:
        console.print(
            "the test split lacks a class, so the version was not evaluated; evaluate it on other images",
            soft_wrap=True,
        )
    console.print(f"version: {outcome.version} ({outcome.epochs} epochs)", highlight=False, soft_wrap=True)
    command = f"{command_for('promote')} --registry {settings.registry} --candidate {outcome.digest}"
    console.print(f"next: {command}", highlight=False, soft_wrap=True, markup=False)


def share(rate: Rate) -> str:
    """Format a share with its exact interval."""
    return f"{rate.share:.0%} ({rate.low:.0%} to {rate.high:.0%})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Calibrate: set the thresholds of a version from your own real images, and add it to a registry as a new version."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import json
import sys
from dataclasses import asdict

import numpy as np
from rich.table import Table

from mole.measuring.calibration import BALANCED, PREVALENCE, Calibration
from mole.measuring.rates import Rate
from pipeline.runtime.invocation import command_for
from pipeline.telemetry.terminal import ProgressDisplay, command, results
from pipeline.tune.evaluation.calibrate import CalibrateSettings, CalibrationResult, calibrate


@command
def main(arguments: list[str]) -> int:
    """Run one calibration from the command line.

    Returns:
        The exit code: 0 the version is in the registry, 2 settings, 3 storage, 4 model, 130 interrupted,
            143 SIGTERM.
    """
    settings = CalibrateSettings.from_command_line(arguments)
    with ProgressDisplay("calibrate") as progress:
        made = calibrate(settings, progress.log)
    if settings.json_summary:
        readings = {"before": made.before.model_dump(mode="json"), "after": made.after.model_dump(mode="json")}
        print(json.dumps(asdict(made) | readings))
    else:
        show(made, settings)
    return 0


def show(made: CalibrationResult, settings: CalibrateSettings) -> None:
    """Print the old and the new calibration, their false-positive rates on these images, and the next command."""
    console = results()
    table = Table("", "before", "after", box=None, pad_edge=False)
    both = made.before, made.after
    table.add_row("set on", *(str(reading.collection) for reading in both))
    table.add_row("generated from logit", *(f"{reading.generated_above:.3f}" for reading in both))
    for prevalence in (BALANCED, PREVALENCE):
        chances = [at(reading, prevalence) for reading in both]
        table.add_row(f"  probability at prevalence {prevalence:g}", *chances)
    table.add_row("real below logit", *(f"{reading.real_below:.3f}" for reading in both))
    rates = made.called_before, made.called_after
    table.add_row("these images called generated", *(f"{rate.hits:,} of {rate.images:,}" for rate in rates))
    table.add_row("  share, 95 % interval", *map(interval, rates))
    console.print(table)
    console.print(f"version: {made.version} (weights of {made.parent})", highlight=False, soft_wrap=True)
    command = f"{command_for('promote')} --registry {settings.registry} --candidate {made.digest} --samples LABELLED"
    console.print(f"next: {command}", highlight=False, soft_wrap=True, markup=False)


def at(reading: Calibration, prevalence: float) -> str:
    """Format the probability at the threshold."""
    return f"{float(reading.probability(np.array([reading.generated_above]), prevalence)[0]):.3f}"


def interval(rate: Rate) -> str:
    """Format a share with its exact interval."""
    return f"{rate.share:.2%} ({rate.low:.2%} to {rate.high:.2%})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

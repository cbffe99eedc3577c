"""Reconstruct: pass real photographs through an autoencoder and write aligned pairs of real and fake."""

import dataclasses
import json
import sys

from mole.errors import MoleError
from pipeline.telemetry import quiet_ray
from pipeline.tune.data.reconstruction import ReconstructSettings, make_pairs

SOME_WITHOUT = 1
"""Some photographs gave no pair."""


def main(arguments: list[str]) -> int:
    """Make pairs from the command line.

    Returns:
        The exit code: 0 all made, 1 some photographs gave none, 2 settings, 3 storage, 4 the autoencoder.
    """
    try:
        settings = ReconstructSettings.from_command_line(arguments)
        quiet_ray(logs=settings.ray_logs)
        made = make_pairs(settings, say)
    except MoleError as reason:
        say(f"{type(reason).__name__}: {reason}")
        return reason.exit_code
    for uri, fault in made.named:
        say(f"{uri}: {fault}")
    if settings.json_summary:
        print(json.dumps(dataclasses.asdict(made)))
    else:
        print(f"{made.pairs:,} pairs, {made.made:,} of them new, {made.faults.total():,} photographs gave none")
        print(f"samples: {made.table}")
    return SOME_WITHOUT if made.faults else 0


def say(line: str) -> None:
    """Tell what goes on, apart from the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Reconstruct: pass real photographs through an autoencoder or upsampler, and write aligned pairs."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import dataclasses
import json
import sys

from pipeline.telemetry.terminal import ProgressDisplay, command
from pipeline.tune.data.reconstruction import ReconstructSettings, make_pairs

SOME_FAILED = 1
"""Exit code: some photographs have no pair."""


@command
def main(arguments: list[str]) -> int:
    """Make pairs from the command line.

    Returns:
        The exit code: 0 all made, 1 some photographs have none, 2 settings, 3 storage, 4 the autoencoder or upsampler,
            130 interrupted, 143 SIGTERM.
    """
    settings = ReconstructSettings.from_command_line(arguments)
    with ProgressDisplay("reconstruct") as progress:
        made = make_pairs(settings, progress.log)
        for uri, fault in made.named:
            progress.log(f"{uri}: {fault}", "warning", unit=uri)
    if settings.json_summary:
        print(json.dumps(dataclasses.asdict(made)))
    else:
        print(f"{made.pairs:,} pairs, {made.made:,} of them new, {made.faults.total():,} photographs without a pair")
        print(f"samples: {made.table}")
    return SOME_FAILED if made.faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Finetune: train a detector on labelled images, measure it on sources held out, and write its checkpoint."""

import sys

from mole.errors import MoleError
from pipeline.tune.flow import tune
from pipeline.tune.recipe import Recipe


def main(arguments: list[str]) -> int:
    """Run one training from the command line.

    Returns:
        The exit code: 0 the checkpoint is written, 2 settings, 4 model.
    """
    try:
        made = tune(Recipe.from_command_line(arguments), say)
    except MoleError as reason:
        say(f"{type(reason).__name__}: {reason}")
        return reason.exit_code
    print(f"{made.folder}: {made.digest}")
    return 0


def say(line: str) -> None:
    """Tell what goes on, apart from the result."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Console: the command `mole-scan`, which dispatches to jobs.

A job's imports take seconds, which help and misspelt names should not wait for: so only the standard library is
imported here, and a job is imported by name when it runs.
"""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from typing import Any

from pipeline.runtime.invocation import PROGRAM, SHELLS, TRAINING_GROUP, invoked

INVALID_SETTINGS = 2
"""The exit code of invalid settings."""


SCAN_JOBS = {
    "scan": "find generated images in folders, shards and listings",
    "report": "write the report of a scan as one HTML file",
    "browse": "view and label the images of a table in the browser",
    "rescan": "score images of a table again, with another model",
    "tables": "query a table: its views, or SQL",
    "export": "write selected images of a table as shards",
    "compact": "merge the small files of a table",
    "estimate": "forecast the time and cost of a scan",
}
TRAIN_JOBS = {
    "audit": "find shortcuts that separate the classes of labelled images",
    "reconstruct": "make reconstructions of photographs as training images",
    "finetune": "train a version on labelled images",
    "promote": "promote a version if it passes the gate",
    "evaluate": "measure a version on labelled images",
    "calibrate": "set thresholds on real images of your own",
    "crossvalidate": "compare variations of a recipe on held-out collections",
    "pack": "quantize a tower to a given size",
}
COMPLETION = "completion"
HELP = ("-h", "--help")
OTHER_COMMANDS = {
    TRAINING_GROUP: "train, measure and promote detectors: mole-scan train --help",
    COMPLETION: f"print the completion script of a shell: {', '.join(SHELLS)}",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the job that the first arguments name.

    Args:
        arguments: the arguments after `mole-scan`; None for those of the process.

    Returns:
        The job's exit code; 2 if there is no such job.
    """
    given = sys.argv[1:] if arguments is None else arguments
    first, rest = (given[0], given[1:]) if given else (HELP[0], [])
    if first in (*HELP, "help"):
        print(overview())
        return 0
    if first in ("--version", "-V"):
        print(f"{PROGRAM} {version(PROGRAM)}")
        return 0
    if first == COMPLETION:
        return completion(rest)
    if first == TRAINING_GROUP:
        return train(rest)
    if first in SCAN_JOBS:
        return run(first, rest)
    return refuse(
        first,
        {name: name for name in (*SCAN_JOBS, *OTHER_COMMANDS, "--help", "--version")}
        | {name: f"{TRAINING_GROUP} {name}" for name in TRAIN_JOBS},
    )


def train(given: list[str]) -> int:
    """Run a job of the `train` group."""
    first, rest = (given[0], given[1:]) if given else (HELP[0], [])
    if first in HELP:
        print(group_overview())
        return 0
    if first in TRAIN_JOBS:
        return run(first, rest)
    return refuse(f"{TRAINING_GROUP} {first}", {name: f"{TRAINING_GROUP} {name}" for name in TRAIN_JOBS})


def run(job: str, rest: list[str]) -> int:
    """Import a job and run it."""
    with invoked(job):
        code: int = import_module(f"jobs.{job}").main(rest)
    return code


def completion(rest: list[str]) -> int:
    """Print the completion script of a shell."""
    if not rest or rest[0] in HELP:
        print(COMPLETION_HELP)
        return 0
    if len(rest) > 1 or rest[0] not in SHELLS:
        return refuse(
            f"{COMPLETION} {' '.join(rest)}",
            {shell: f"{COMPLETION} {shell}" for shell in SHELLS},
            otherwise=f"supported shells: {', '.join(SHELLS)}",
        )
    made = import_module("pipeline.command.completion")
    scanning, trained = (
        {name: made.Job(text, settings_of(name)) for name, text in group.items()} for group in (SCAN_JOBS, TRAIN_JOBS)
    )
    print(made.script(rest[0], scanning, trained))
    return 0


def settings_of(job: str) -> Any:
    """Return the class of a job's settings; None if its packages are not installed."""
    try:
        names = vars(import_module(f"jobs.{job}"))
    except ImportError:
        return None
    return next(kind for kind in names.values() if isinstance(kind, type) and hasattr(kind, "from_command_line"))


def refuse(given: str, known: Mapping[str, str], *, otherwise: str = f"{PROGRAM} --help lists the commands") -> int:
    """Print that there is no such command, and the most similar one.

    Args:
        given: what the user typed after `mole-scan`.
        known: the commands by the word to compare with.
        otherwise: the advice where none is similar.
    """
    similar = get_close_matches(given.lower().rpartition(" ")[2], known, n=1)
    advice = f"did you mean {PROGRAM} {known[similar[0]]}?" if similar else otherwise
    print(f"there is no command {PROGRAM} {given}; {advice}", file=sys.stderr)
    return INVALID_SETTINGS


def overview() -> str:
    """Return the text of `mole-scan --help`."""
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND [...]",
            "",
            "Finds AI-generated images: each gets one row, a verdict or the reason why there is none.",
            "",
            *listed(SCAN_JOBS | OTHER_COMMANDS),
            "",
            f"{PROGRAM} COMMAND --help shows the options of a command; {PROGRAM} --version the version.",
            "",
            f"to start: {PROGRAM} scan photos/",
        ]
    )


def group_overview() -> str:
    """Return the text of `mole-scan train --help`."""
    return "\n".join(
        [
            f"usage: {PROGRAM} {TRAINING_GROUP} COMMAND [...]",
            "",
            "Trains a detector on labelled images, evaluates it, and promotes it.",
            "",
            *listed(TRAIN_JOBS),
            "",
            f"{PROGRAM} {TRAINING_GROUP} COMMAND --help shows the options of a command.",
        ]
    )


def listed(commands: Mapping[str, str]) -> list[str]:
    """Format commands with their descriptions, one per line."""
    return [f"  {name:<{max(map(len, commands))}}  {text}" for name, text in commands.items()]


COMPLETION_HELP = f"""\
usage: {PROGRAM} {COMPLETION} {{{",".join(SHELLS)}}}

Prints the completion script of a shell. Save it, and again after an update:

  bash  {PROGRAM} {COMPLETION} bash > ~/.local/share/bash-completion/completions/{PROGRAM}
  zsh   {PROGRAM} {COMPLETION} zsh > ~/.zfunc/_{PROGRAM}    (with fpath+=~/.zfunc before compinit in .zshrc)
  fish  {PROGRAM} {COMPLETION} fish > ~/.config/fish/completions/{PROGRAM}.fish

For the current shell only: source <({PROGRAM} {COMPLETION} bash)"""

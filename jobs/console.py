"""Console: the command `mole-scan`, which hands its words to the job that they name.

A job's imports take seconds, and neither help nor a misspelt name is to wait for them: so only the standard library is
imported here, and a job by its name once it is asked for.
"""

import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from importlib.metadata import version
from typing import Any

from pipeline.runtime.invocation import GROUP, NAME, SHELLS, invoked

REFUSED = 2
"""The exit code of settings."""


SCANNING = {
    "scan": "find the generated images in folders, shards and listings",
    "report": "write the page of a scan: one HTML file",
    "browse": "look at the images of a table, and label them",
    "rescan": "judge images of a table again, with another model",
    "tables": "ask a table: its views, or SQL",
    "export": "write chosen images of a table as shards",
    "compact": "join the small files of a table",
    "estimate": "forecast what a scan takes",
}
TRAINED = {
    "audit": "find what gives the classes of labelled images away",
    "reconstruct": "make generated twins of photographs, to train with",
    "finetune": "train a version on labelled images",
    "promote": "let a version replace the promoted one",
    "evaluate": "measure a version on labelled images",
    "calibrate": "set thresholds by real images of your own",
    "crossvalidate": "compare variations of a recipe on collections that none of them saw",
    "pack": "bring a tower to a wanted size",
}
COMPLETION = "completion"
HELP = ("-h", "--help")
OWN = {
    GROUP: "train, measure and promote detectors: mole-scan train --help",
    COMPLETION: f"print what completes these commands in a shell: {', '.join(SHELLS)}",
}


def main(arguments: list[str] | None = None) -> int:
    """Run the job that the first words name.

    Args:
        arguments: what stands behind `mole-scan`; None takes it from the process.

    Returns:
        The job's exit code; 2 where no such job is there.
    """
    given = sys.argv[1:] if arguments is None else arguments
    first, rest = (given[0], given[1:]) if given else (HELP[0], [])
    if first in (*HELP, "help"):
        print(overview())
        return 0
    if first in ("--version", "-V"):
        print(f"{NAME} {version(NAME)}")
        return 0
    if first == COMPLETION:
        return completion(rest)
    if first == GROUP:
        return train(rest)
    if first in SCANNING:
        return run(first, rest)
    return refuse(
        first,
        {name: name for name in (*SCANNING, *OWN, "--help", "--version")}
        | {name: f"{GROUP} {name}" for name in TRAINED},
    )


def train(given: list[str]) -> int:
    """Run one of the jobs that make detectors."""
    first, rest = (given[0], given[1:]) if given else (HELP[0], [])
    if first in HELP:
        print(group_overview())
        return 0
    if first in TRAINED:
        return run(first, rest)
    return refuse(f"{GROUP} {first}", {name: f"{GROUP} {name}" for name in TRAINED})


def run(job: str, rest: list[str]) -> int:
    """Import a job and run it."""
    with invoked(job):
        code: int = import_module(f"jobs.{job}").main(rest)
    return code


def completion(rest: list[str]) -> int:
    """Print the script that completes these commands in a shell."""
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
        {name: made.Job(told, settings_of(name)) for name, told in group.items()} for group in (SCANNING, TRAINED)
    )
    print(made.script(rest[0], scanning, trained))
    return 0


def settings_of(job: str) -> Any:
    """Find the class of a job's settings; None if packages that the job needs are not installed."""
    try:
        names = vars(import_module(f"jobs.{job}"))
    except ImportError:
        return None
    return next(kind for kind in names.values() if isinstance(kind, type) and hasattr(kind, "from_command_line"))


def refuse(given: str, known: Mapping[str, str], *, otherwise: str = f"{NAME} --help lists the commands") -> int:
    """Print that there is no such command, and the most similar one.

    Args:
        given: what the user typed after `mole-scan`.
        known: the commands by the word to compare with.
        otherwise: the advice where none is similar.
    """
    similar = get_close_matches(given.lower().rpartition(" ")[2], known, n=1)
    advice = f"did you mean {NAME} {known[similar[0]]}?" if similar else otherwise
    print(f"there is no command {NAME} {given}; {advice}", file=sys.stderr)
    return REFUSED


def overview() -> str:
    """Write what `mole-scan --help` says."""
    return "\n".join(
        [
            f"usage: {NAME} COMMAND [...]",
            "",
            "Finds AI-generated images: every image gets exactly one verdict.",
            "",
            *listed(SCANNING | OWN),
            "",
            f"{NAME} COMMAND --help tells what a command takes; {NAME} --version tells the version.",
            "",
            f"begin with: {NAME} scan photos/",
        ]
    )


def group_overview() -> str:
    """Write what `mole-scan train --help` says."""
    return "\n".join(
        [
            f"usage: {NAME} {GROUP} COMMAND [...]",
            "",
            "Trains a detector on labelled images, measures it, and lets it replace the promoted one.",
            "",
            *listed(TRAINED),
            "",
            f"{NAME} {GROUP} COMMAND --help tells what a command takes.",
        ]
    )


def listed(commands: Mapping[str, str]) -> list[str]:
    """Write commands below each other, with what they do."""
    return [f"  {name:<{max(map(len, commands))}}  {told}" for name, told in commands.items()]


COMPLETION_HELP = f"""\
usage: {NAME} {COMPLETION} {{{",".join(SHELLS)}}}

Prints what completes these commands, their flags, choices and files in a shell. Keep it, and anew after an update:

  bash  {NAME} {COMPLETION} bash > ~/.local/share/bash-completion/completions/{NAME}
  zsh   {NAME} {COMPLETION} zsh > ~/.zfunc/_{NAME}    (with fpath+=~/.zfunc before compinit in .zshrc)
  fish  {NAME} {COMPLETION} fish > ~/.config/fish/completions/{NAME}.fish

For this shell alone: source <({NAME} {COMPLETION} bash)"""

"""Shell completion: generates the script that completes `mole-scan`, its jobs, their flags, choices and files."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import shtab

from pipeline.command.help import PLACES, choices
from pipeline.command.settings import JobSettings
from pipeline.runtime.invocation import PROGRAM, SHELLS, TRAINING_GROUP


@dataclass(frozen=True)
class Job:
    """A job: its one-line help, and its settings; None if its packages are not installed."""

    help: str
    settings: type[JobSettings] | None


def script(shell: str, jobs: Mapping[str, Job], trained: Mapping[str, Job]) -> str:
    """Generate the completion script of a shell.

    Args:
        shell: one of `SHELLS`.
        jobs: the sub-commands by name.
        trained: the sub-commands of `train` by name.
    """
    parser = argparse.ArgumentParser(prog=PROGRAM, description=f"completion of {PROGRAM}")
    parser.add_argument("--version", action="store_true", help="print the version")
    commands = parser.add_subparsers()
    for name, job in jobs.items():
        _add(commands, name, job)
    group = commands.add_parser(TRAINING_GROUP, help="train, measure and promote detectors").add_subparsers()
    for name, job in trained.items():
        _add(group, name, job)
    own = commands.add_parser("completion", help="print the completion script of a shell")
    own.add_argument("shell", choices=SHELLS)
    written: str = shtab.complete(parser, shell)
    return written


def _add(commands: Any, name: str, job: Job) -> None:
    parser = commands.add_parser(name, help=job.help)
    if job.settings is not None:
        for field, actions in job.settings.fill(parser).items():
            for action in actions:
                _complete(action, field, job.settings.model_fields[field].annotation)
    parser.description = parser.epilog = None  # long texts, which a shell would show for each flag


def _complete(action: argparse.Action, name: str, annotation: Any) -> None:
    """Set the completion of a value: its choices, or file names."""
    if named := choices(annotation):
        action.choices = named
    elif annotation is Path or Path in get_args(annotation) or name in PLACES or name == "config":
        action.complete = shtab.FILE  # type: ignore[attr-defined]

"""Completion: the script by which a shell completes `mole-scan`, its jobs, their flags, choices and files."""

import argparse
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import shtab

from pipeline.command.help import PLACES, choices
from pipeline.command.settings import JobSettings
from pipeline.runtime.invocation import GROUP, NAME, SHELLS


@dataclass(frozen=True)
class Job:
    """A job: what it does, in a line, and its settings; None if the packages that it needs are not installed."""

    told: str
    settings: type[JobSettings] | None


def script(shell: str, jobs: Mapping[str, Job], trained: Mapping[str, Job]) -> str:
    """Write what a shell sources.

    Args:
        shell: one of `SHELLS`.
        jobs: the sub-commands, by name.
        trained: those behind `train`.
    """
    parser = argparse.ArgumentParser(prog=NAME, description=f"{NAME}, completed")
    parser.add_argument("--version", action="store_true", help="tell the version")
    commands = parser.add_subparsers()
    for name, job in jobs.items():
        _add(commands, name, job)
    group = commands.add_parser(GROUP, help="train, measure and promote detectors").add_subparsers()
    for name, job in trained.items():
        _add(group, name, job)
    own = commands.add_parser("completion", help="print what completes these commands in a shell")
    own.add_argument("shell", choices=SHELLS)
    written: str = shtab.complete(parser, shell)
    return written


def _add(commands: Any, name: str, job: Job) -> None:
    parser = commands.add_parser(name, help=job.told)
    if job.settings is not None:
        for field, actions in job.settings.fill(parser).items():
            for action in actions:
                _complete(action, field, job.settings.model_fields[field].annotation)
    parser.description = parser.epilog = None  # pages, which a shell would show beside each flag


def _complete(action: argparse.Action, name: str, annotation: Any) -> None:
    """Return the shell what a value may be: a choice, or the name of a file."""
    if named := choices(annotation):
        action.choices = named
    elif annotation is Path or Path in get_args(annotation) or name in PLACES or name == "config":
        action.complete = shtab.FILE  # type: ignore[attr-defined]

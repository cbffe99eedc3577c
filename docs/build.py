"""The tables of settings: `python docs/build.py` writes docs/settings.md from the settings models of all commands."""

import argparse
from pathlib import Path
from typing import Any

from jobs.console import SCAN_JOBS, TRAIN_JOBS, settings_of
from pipeline.command.settings import JobSettings
from pipeline.runtime.invocation import PROGRAM, TRAINING_GROUP

PAGE = Path(__file__).resolve().parent / "settings.md"
HEAD = """\
# Settings

<!-- written by docs/build.py -->

The flags of every command. Each is also a variable of the environment, with the prefix that stands beside the command
(`MOLE_SCAN_` and `--batch-size`: `MOLE_SCAN_BATCH_SIZE`), and a key of a TOML file;
[how they are read](reference.md#settings). `--help` of a command says the same.
"""


def page() -> str:
    """Write the page."""
    shared = list(JobSettings.model_fields)
    parts = [HEAD]
    for job in (*SCAN_JOBS, *TRAIN_JOBS):
        command = f"{PROGRAM} {job}" if job in SCAN_JOBS else f"{PROGRAM} {TRAINING_GROUP} {job}"
        parts.append(section(command, settings_of(job), shared))
    parts.append("## All commands\n\n" + table(settings_of("scan"), shared))
    return "\n".join(parts)


def section(command: str, settings: Any, shared: list[str]) -> str:
    """Write the settings of one command, without those that all have."""
    names = [name for name in settings.fill(argparse.ArgumentParser()) if name not in shared]
    word = "" if settings.positional is None else f" Words without a flag are `{settings.flag(settings.positional)}`."
    return f"## {command}\n\nVariables begin with `{settings.prefix}`.{word}\n\n{table(settings, names)}"


def table(settings: Any, names: list[str]) -> str:
    """Write settings as rows: the flags, and what their help says."""
    taking = settings.fill(argparse.ArgumentParser(add_help=False))
    rows = []
    for name in names:
        action = taking[name][-1]
        flags = ", ".join(f"`{flag}`" for flag in action.option_strings)
        rows.append(f"| {flags} | {cell(str(action.help).replace('%%', '%'))} |")
    return "\n".join(["| flag | |", "|---|---|", *rows, ""])


def cell(text: str) -> str:
    """Write a help text as a cell of a table."""
    for mark, written in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("*", "\\*"), ("_", "\\_")):
        text = text.replace(mark, written)
    return text


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

"""Scan: find AI-generated images in shards, listings and folders; every image gets exactly one row."""

if __name__ == "__main__":
    import interpreter  # noqa: F401 - ends with advice where this Python lacks the packages below

import dataclasses
import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mole.errors import MoleError
from pipeline.command.default_output import require_own_output
from pipeline.command.run_record import Record
from pipeline.records import Status
from pipeline.review.analysis.challenger import Challenger, challenger
from pipeline.review.analysis.suspicious import Suspicion, question, suspicion
from pipeline.review.page.report import Report, write_report
from pipeline.review.page.wording import link
from pipeline.runtime.invocation import command_for
from pipeline.runtime.spot_termination import spot_notice_handler
from pipeline.scan.flow import scan
from pipeline.scan.plan import Plan
from pipeline.scan.reading.source import Source
from pipeline.scan.settings import ScanSettings
from pipeline.scan.summary import Summary
from pipeline.scan.table.ledger import Ledger
from pipeline.scan.table.sink import open_sink
from pipeline.storage import storage
from pipeline.telemetry.printable import counted, format_probability, printable
from pipeline.telemetry.terminal import ProgressDisplay, command, results

SNAPSHOT = (
    "from pyiceberg.catalog import load_catalog; from pyiceberg.expressions import EqualTo; "
    "found = load_catalog({catalog!r}).load_table({name!r}).scan(EqualTo('verdict', 'generated'), "
    "selected_fields=('key', 'probability', 'uri')).to_duckdb('found'); "
    "found.sql('FROM found ORDER BY probability DESC LIMIT 10').show()"
)
"""A Python command that shows the current snapshot of an Iceberg table."""


@dataclasses.dataclass
class Findings:
    """What queries of the table found beyond its counts; None where the table was not queried."""

    suspicion: Suspicion | None = None
    challenger: Challenger | None = None

    def query(self, plan: Plan, ledgers: Sequence[Ledger]) -> None:
        """Query the rows of the source, where the table is on this machine.

        Raises:
            StorageError: a file of the table cannot be read.
        """
        if not storage.is_local(ledgers[0].folder) or not ledgers[0].files():
            return
        with plan.views(*ledgers) as views:
            self.suspicion = suspicion(views)
            if len(ledgers) > 1:
                self.challenger = challenger(views, *(one.folder.rpartition("=")[2] for one in ledgers))


@command
def main(arguments: list[str]) -> int:
    """Run one scan from the command line.

    Returns:
        The exit code: 0 every row written, 2 settings, 3 storage, 4 model, 5 completeness check, 7 another run,
        130 interrupted, 143 SIGTERM.
    """
    settings = ScanSettings.from_command_line(arguments)
    progress, findings = ProgressDisplay(), Findings()

    def query(plan: Plan, ledgers: Sequence[Ledger]) -> None:
        """Query the table once the scan is complete; its failure is a line of the log."""
        try:
            findings.query(plan, ledgers)
        except MoleError as reason:  # the scan itself is complete
            progress.log(f"the most suspicious images are not listed: {reason}")

    with Record("scan", settings, progress) as record, spot_notice_handler(progress.log, enabled=settings.spot_notice):
        table = open_sink(settings.sink, settings.output).output
        if settings.output_is_default:
            # before the run record creates a folder named after a mistyped source
            Source(settings.source, settings.all_files, settings.image_member, table).require_images()
            require_own_output(settings.output, settings.source)
            progress.log(f"the verdicts go into the folder {settings.output} (--output names another)")
        record.begin(table)
        summary = scan(settings, progress, query)
        record.succeed(dataclasses.asdict(summary))
    if not record.exit_code:
        made = page(table, summary, settings)
        if settings.json_summary:
            report = {"report": None if made is None else made.page}
            print(
                json.dumps(dataclasses.asdict(summary) | as_json(findings) | report | {"run": record.url}), flush=True
            )
        else:
            show(summary, findings, settings, results())
            show_table(table, summary, settings, made, results())
    record.log_location()
    return record.exit_code


def page(table: str, summary: Summary, settings: ScanSettings) -> Report | None:
    """Write the page of a scan whose table is on this machine; None with --no-report, or where it cannot be written."""
    if settings.no_report or settings.sink != "files" or not storage.is_local(table) or not summary.images:
        return None
    with ProgressDisplay() as progress:
        progress.enter("writing the page")
        try:
            return write_report(table, model=summary.model)
        except MoleError as reason:  # the scan itself is complete
            progress.log(f"the page was not written: {reason}")
            return None


def as_json(findings: Findings) -> dict[str, Any]:
    """Convert findings for the JSON summary; null where the table was not queried."""
    fields = dataclasses.asdict(findings)
    if findings.suspicion is not None:
        for suspect, written in zip(findings.suspicion.first, fields["suspicion"]["first"], strict=True):
            written["reason"] = suspect.reason
    return fields


def show(summary: Summary, findings: Findings, settings: ScanSettings, console: Console) -> None:
    """Print what was found, and whether the scan is complete."""

    def log(line: str) -> None:
        """Print a line as it is."""
        console.print(line, highlight=False, markup=False)

    console.print(counts(summary))
    log(f"probabilities assume that {100 * settings.prevalence:.3g} % of the images are generated (--prevalence)")
    if findings.challenger is not None:
        log(compared(findings.challenger))
    if findings.suspicion is not None:
        log(declared(findings.suspicion))
        show_suspects(findings.suspicion, settings, console)
        show_faults(findings.suspicion, settings, console)
    rate = f", {summary.written / summary.seconds:,.1f} images/s including start-up" if summary.written > 1 else ""
    log(f"{counted(summary.written, 'row')} written in {summary.seconds:,.1f} s{rate}")
    if summary.skipped:
        hint = f", {summary.shards_skipped:,} of them shards: name those as a source" if summary.shards_skipped else ""
        log(f"skipped, not named like an image: {counted(summary.skipped, 'file')} (--all-files tries them){hint}")
    if summary.hidden:
        log(f"{counted(summary.hidden, 'file')} skipped, since the name begins with a dot (--all-files tries them)")
    if summary.repaired:
        log(f"removed {counted(summary.repaired, 'duplicate row')}")
    log(completeness(summary))
    if set(summary.statuses) == {Status.MISSING}:
        log("none of the source's images exists; are its paths right?")


def counts(summary: Summary) -> Table:
    """Make the table of images by verdict, with its probabilities, and by fault."""
    table = Table(title=None, box=None, pad_edge=False)
    table.add_column("verdict or fault")
    table.add_column("images", justify="right")
    table.add_column("")
    low, high = map(format_probability, summary.thresholds)
    bounds = {
        "generated": f"a probability from {high} up",
        "unsure": f"between {low} and {high}",
        "real": f"below {low}",
    }
    for name, bound in bounds.items():
        table.add_row(name, f"{summary.verdicts.get(name, 0):,}", bound)
    for name, rows in summary.statuses.items():
        if name != "ok":
            table.add_row(name, f"{rows:,}", "no verdict")
    return table


def compared(found: Challenger) -> str:
    """Describe the challenger's verdicts of the same images, and how often it agrees."""
    verdicts = ", ".join(f"{name} {found.verdicts.get(name, 0):,}" for name in ("generated", "unsure", "real"))
    share = f" ({found.agreed / found.both:.1%})" if found.both else ""
    return (
        f"challenger {found.model[:12]}: {verdicts}; it agrees on {found.agreed:,} of the {found.both:,} images{share} "
        "that both gave a verdict"
    )


def declared(found: Suspicion) -> str:
    """Describe what files declare about themselves, and how often the verdict contradicts it."""
    if not found.declared_generated + found.declared_camera:
        return "no file declares a generator or a camera"
    parts = (
        ("a generator", found.declared_generated, found.declared_generated_real, "real"),
        ("a camera", found.declared_camera, found.declared_camera_generated, "generated"),
    )
    words = [
        f"{count:,} {'names' if count == 1 else 'name'} {what}"
        + (f" ({against:,} of them got the verdict {verdict})" if against else "")
        for what, count, against, verdict in parts
        if count
    ]
    return f"declared by the files themselves: {', '.join(words)}"


def show_suspects(found: Suspicion, settings: ScanSettings, console: Console) -> None:
    """Print the most suspicious images, by name, with the reason."""
    if not found.first:
        return
    folder = source_folder(settings)
    where = "" if folder is None else f", names below {printable(settings.source[0])}"
    shown = len(found.first)
    if found.images <= shown:
        which = "the image" if shown == 1 else f"all {shown} images, the most suspicious first"
    else:
        count = "" if shown == 1 else f"{shown} "
        which = (
            f"the {count}most suspicious of {found.listed:,} images, identical files listed once"
            if found.listed > shown
            else "suspicious images"
        )
    table = Table(box=None, pad_edge=False, title=f"{which}{where}", title_justify="left", title_style="bold")
    table.add_column("image", overflow="fold")
    table.add_column("probability", justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    table.add_column("why", overflow="fold")
    for suspect in found.first:
        chance = "" if suspect.probability is None else format_probability(suspect.probability)
        name, reason = printable(suspect.name(folder)), printable(suspect.reason)
        table.add_row(Text(name), chance, suspect.verdict or "", Text(reason))
    console.print()
    console.print(table)
    console.print()


def show_faults(found: Suspicion, settings: ScanSettings, console: Console) -> None:
    """Print some of the images without a verdict, with the reason, and the command that lists the others."""
    if not found.faults:
        return
    folder = source_folder(settings)
    for fault in found.faults:
        line = f"no verdict: {printable(fault.name(folder))}: {fault.reason}"
        console.print(printable(line), highlight=False, markup=False, soft_wrap=True)
    if found.faulty > len(found.faults):
        more = f"{command_for('tables')} {shlex.quote(settings.output)} --view faults"
        console.print(f"no verdict: {found.faulty - len(found.faults):,} more: {more}", highlight=False, markup=False)
    console.print()


def source_folder(settings: ScanSettings) -> str | None:
    """Return the folder that was scanned; None where it was not one local folder."""
    [*sources] = settings.source
    if len(sources) > 1 or not storage.is_local(sources[0]):
        return None
    place = storage.absolute(sources[0])
    return place if Path(place).is_dir() else None


def completeness(summary: Summary) -> str:
    """Report the completeness check, and, if a limit ended the run, what is left and how to continue."""
    units = f"{summary.units:,} {'shard or file' if summary.units == 1 else 'shards and files'}"
    images = counted(summary.images, "image")
    if summary.stopped is None:
        return f"completeness check passed: {images} in {units}, exactly one row each"
    left = "" if summary.images_left is None else f", {counted(summary.images_left, 'image')},"
    return (
        f"not complete: {summary.stopped} ended this run; {summary.units_left:,} of {units}{left} are left; run the "
        f"same command again to continue ({images} done)"
    )


def show_table(table: str, summary: Summary, settings: ScanSettings, made: Report | None, console: Console) -> None:
    """Print the paths of the table and its page, and a command that shows the verdicts."""

    def log(line: str) -> None:
        """Print a line as it is."""
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    log(f"table: {table}")
    if made is not None:
        log(f"page: {link(made.page)}")
        log(f"list: {made.sheet} ({counted(made.suspicious, 'suspicious image')})")
    if not summary.images:
        return
    if settings.sink == "iceberg":
        catalog, _, name = settings.output.partition(".")
        log(f'look: python -c "{SNAPSHOT.format(catalog=catalog, name=name)}"')
    elif storage.is_local(table):
        log(f"look: {command_for('browse')} {shlex.quote(settings.output)}")
    else:
        log(f'look: {command_for("tables")} {shlex.quote(table)} --sql "{question()}"')


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Play: a scenario from its sources to the comparison: disturbed runs, the same command again, row by row."""

import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.scan.reading.unit import Name
from tests.chaos.attempt import Attempt, Ended
from tests.chaos.comparison import Difference, compare, placeless, rows_of
from tests.chaos.faults import Disturbance, disturbance_of
from tests.chaos.lake import catalog, rows_of_catalog
from tests.chaos.place import Folder, Place
from tests.chaos.scenario import ENDS_RUN, OF_STORE, SCANS, Command, Fault, Scenario
from tests.chaos.workbench import Workbench, digest_of

AGAIN = 4
"""Runs without a fault, at most, until one ends with exit code 0."""


@dataclass(frozen=True)
class Outcome:
    """What came of a scenario.

    Attributes:
        scenario: it.
        struck: disturbed runs that the fault reached.
        kills: processes killed, or answers spoilt.
        resumes: runs after the first one.
        difference: from the undisturbed table.
        read_again: photos that were read by more than one run, or twice by one.
        in_flight: photos that a run had read and not written when it ended, or that were read in vain.
        codes: exit codes in order.
        seconds: of all runs.
        errors: with which runs ended, in their words.
        broken: promises that were broken, in words.
    """

    scenario: Scenario
    struck: int
    kills: int
    resumes: int
    difference: Difference | None
    read_again: int
    in_flight: int
    codes: tuple[int, ...]
    seconds: float
    errors: tuple[str, ...]
    broken: tuple[str, ...]


class Player:
    """Plays one scenario of commands that write a table.

    Args:
        scenario: it.
        bench: what scenarios share.
    """

    def __init__(self, scenario: Scenario, bench: Workbench) -> None:
        self.scenario = scenario
        self.bench = bench
        self.name = f"{scenario.seed}"
        self.folder: Path = bench.folder / self.name
        self.folder.mkdir()
        self.place: Place = bench.place(scenario.storage, self.name)
        if scenario.command is Command.ICEBERG:
            self.place = Folder(self.place.root, str(self.folder / "warehouse"))
        self.ends: list[Ended] = []
        self.broken: list[str] = []
        self.reads: Counter[str] = Counter()
        self.in_flight = 0
        self.photos_before: set[str] = set()
        self.disturbance: Disturbance = disturbance_of(scenario, self.place, self.folder, self.run)

    def play(self) -> Outcome:
        """Disturb, run again, compare."""
        begun = time.monotonic()
        wanted = self.bench.wanted(self.scenario.command)
        if self.scenario.command in {Command.RESCAN, Command.COMPACT}:
            first = self.run(Command.SCAN)
            assert first.code == 0, f"the scan before ended with {first.code}: {first.told}"
            self.ends.clear()
        self.disturbance.set_up()
        try:
            struck = sum(self._disturbed(parts) for parts in self.scenario.parts)
            self.disturbance.mend()
            self._run_until_done()
            difference = compare(wanted, self._rows())
        finally:
            self.disturbance.mend()
            self.disturbance.close()
        if difference:
            self.broken.append(f"the table differs: {difference}")
        outcome = Outcome(
            scenario=self.scenario,
            struck=struck,
            kills=self.disturbance.kills,
            resumes=len(self.ends) - 1,
            difference=difference,
            read_again=sum(count - 1 for count in self.reads.values()),
            in_flight=self.in_flight,
            codes=tuple(ended.code for ended in self.ends),
            seconds=round(time.monotonic() - begun, 1),
            errors=tuple(ended.error for ended in self.ends if ended.error),
            broken=(*self.broken, *self.disturbance.remarks),
        )
        if not outcome.broken:
            shutil.rmtree(self.folder, ignore_errors=True)
        return outcome

    def run(self, command: Command | None = None) -> Ended:
        """Run a command to its end, without a fault."""
        attempt = self._begin(command or self.scenario.command, disturbed=False)
        return self._note(attempt, self.photos_before, struck=False)

    def _begin(self, command: Command, *, disturbed: bool) -> Attempt:
        self._count_reads()  # of a holder that was paused
        more = self.disturbance.environment() if disturbed else {}
        prefix = self.disturbance.prefix() if disturbed else ()
        arguments = [*self.bench.arguments(command, self.place), *self.disturbance.arguments()]
        if command in SCANS and self.scenario.is_on_ray:
            arguments += ["--num-actors", "1"]
        environment = dict(self.place.environment) | self.disturbance.access() | more | catalog(self.folder)
        return Attempt(arguments, self.folder, environment, prefix)

    def _disturbed(self, parts: int) -> bool:
        """Run the command, and let the fault strike once it has written some files; tell whether it did."""
        before = self.place.parts()
        attempt = self._begin(self.scenario.command, disturbed=True)
        photos_before = self.photos_before  # another run may write while this one is stopped
        reached = attempt.wait_until(lambda: self.place.parts() >= before + parts and self._holds())
        if reached:
            time.sleep(self.scenario.delay)
            reached = attempt.wait_until(lambda: self.disturbance.strike(attempt))
        ended = self._note(attempt, photos_before, struck=reached)
        if not reached:
            self.broken.append("the fault did not reach the run")
        if reached and ended.code == 0 and self.scenario.fault in ENDS_RUN - {Fault.TERMINATE}:
            self.broken.append("the run ended with exit code 0 under a fault that ends it")
        return reached

    def _holds(self) -> bool:
        """Tell whether the run has begun to write: before that a fault proves little."""
        return self.scenario.fault in OF_STORE or self.place.is_held()

    def _note(self, attempt: Attempt, before: set[str], *, struck: bool) -> Ended:
        ended = attempt.ended(struck=struck)
        self.ends.append(ended)
        if words := ended.irregular:
            self.broken.append(words)
        if again := before & self._count_reads().keys():
            self.broken.append(f"{len(again)} photos that have their rows were read again, such as {min(again)}")
        return ended

    def _count_reads(self) -> Counter[str]:
        """Count what was read since the last call; what of it has no row yet was in flight."""
        reads, written = self.place.take_reads(), self._photos_written()
        self.reads += reads
        self.in_flight += max(0, sum(reads.values()) - len(written - self.photos_before))
        self.photos_before = written
        return reads

    def _run_until_done(self) -> None:
        for _ in range(AGAIN):
            if self.run().code == 0:
                return
        self.broken.append(f"{AGAIN} runs without a fault did not end with exit code 0: {self.ends[-1].told[-400:]}")

    def _rows(self) -> list[dict[str, Any]]:
        if self.scenario.command is Command.ICEBERG:
            return [placeless(row, self.place.root) for row in rows_of_catalog(self.folder)]
        rows = list(rows_of(self.place.files(), self.place.root))
        if self.scenario.fault is Fault.WRONG_TAG:  # what was read under a wrong name stays, and is not current
            newest = {}
            for row in sorted(rows, key=lambda row: row["scanned_at"]):
                newest[Name.parse(row["unit"]).url] = row["unit"]
            rows = [row for row in rows if row["unit"] == newest[Name.parse(row["unit"]).url]]
        return rows

    def _photos_written(self) -> set[str]:
        """Find the photos that have a row, of a rescan that of its own model; nothing where reads are not counted."""
        if self.place.root.startswith("s3://") and self.scenario.fault is not Fault.WRONG_TAG:
            rows = rows_of(self.place.files(), self.place.root)
            if self.scenario.command is Command.RESCAN:
                again = digest_of(self.bench.other)
                rows = (row for row in rows if row["model"] == again)
            return {Name.parse(row["unit"]).url for row in rows if "/photos/" in row["unit"]}
        return set()

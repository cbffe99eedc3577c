"""Soak: scans in a loop in one process and one Ray, then ended and killed ones; what they take must not grow or stay.

python -m tests.chaos.soak --minutes 60
"""

import argparse
import io
import os
import random
import re
import shutil
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import asdict, dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM

import psutil
import ray

from jobs import scan
from pipeline.runtime import cluster
from tests.chaos import processes
from tests.chaos.attempt import Attempt
from tests.chaos.scenario import Command, Storage
from tests.chaos.workbench import Workbench, workbench

WARM = 3
"""Scans at the beginning that are not judged: what is loaded once is loaded in them."""
MIN_SCANS = 4
"""Scans that are judged, at least."""
SHARED_MEMORY = Path("/dev/shm")
OURS = re.compile(r"plasma|ray|torch_|sem\.|__KMP")
"""How the names of shared memory begin that Ray, torch and their libraries make."""
BOUNDS = {"megabytes": 64.0, "descriptors": 4, "threads": 4, "processes": 4, "files": 0, "object_store": 16.0}
"""By how much the median of the last third of the scans may exceed that of the first."""


@dataclass(frozen=True)
class Sample:
    """What the loop takes after a scan.

    Attributes:
        megabytes: resident memory of this process.
        descriptors: its open files.
        threads: its threads.
        processes: its children and theirs.
        files: entries of the temporary folder, without Ray's.
        object_store: megabytes in use.
    """

    megabytes: float
    descriptors: int
    threads: int
    processes: int
    files: int
    object_store: float

    @staticmethod
    def now(temporary: Path) -> "Sample":
        """Measure."""
        me = psutil.Process()
        total, free = (
            has.get("object_store_memory", 0.0)
            for has in (ray.cluster_resources(), ray.available_resources())  # type: ignore[no-untyped-call]
        )
        return Sample(
            megabytes=round(me.memory_info().rss / 1e6, 1),
            descriptors=me.num_fds(),
            threads=me.num_threads(),
            processes=len(me.children(recursive=True)),
            files=len([path for path in temporary.iterdir() if path.name != "ray"]),
            object_store=round((total - free) / 1e6, 1),
        )


def growth(samples: Sequence[Sample]) -> dict[str, tuple[float, float]]:
    """Compare the medians of the first and the last third of some samples, by what is measured."""
    third = max(1, len(samples) // 3)
    values = [asdict(sample) for sample in samples]
    return {
        name: (
            statistics.median(value[name] for value in values[:third]),
            statistics.median(value[name] for value in values[-third:]),
        )
        for name in values[0]
    }


def grown(found: dict[str, tuple[float, float]]) -> list[str]:
    """Name what grew beyond its bound."""
    return [f"{name}: {first} to {last}" for name, (first, last) in found.items() if last - first > BOUNDS[name]]


def loop(bench: Workbench, until: float) -> list[Sample]:
    """Scan in a loop, in this process and one Ray, each time into a table of its own."""
    samples: list[Sample] = []
    temporary = Path(tempfile.gettempdir())
    cluster.quiet(logs=False)
    with cluster.connected("local", logs=False):
        while time.monotonic() < until or len(samples) < WARM + MIN_SCANS:
            place = bench.place(Storage.LOCAL, f"soak-{len(samples)}")
            command = Command.DEDUPE if len(samples) % 2 else Command.SHADOW
            with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()) as told:
                code = scan.main(bench.arguments(command, place)[1:])
            assert code == 0, told.getvalue()
            shutil.rmtree(Path(place.output).parent)
            samples.append(Sample.now(temporary))
            tell(f"scan {len(samples)}: {asdict(samples[-1])}")
    return samples


def ended_and_killed(bench: Workbench, times: int) -> list[str]:
    """End scans by SIGTERM, and kill others and run them again; return what is left behind."""
    left: list[str] = []
    before = {path.name for path in SHARED_MEMORY.iterdir()}
    chance = random.Random(0)
    for number in range(times):
        for blow in (SIGTERM, SIGKILL):
            place = bench.place(Storage.LOCAL, f"ended-{number}-{blow}")
            folder = Path(place.output).parent
            folder.mkdir()
            attempt = Attempt(bench.arguments(Command.SCAN, place), folder, {})
            parts = chance.randrange(4)
            attempt.wait_until(lambda parts=parts, place=place: place.parts() >= parts and place.is_held())  # type: ignore[misc]
            attempt.driver.send_signal(blow)
            ends = [attempt.ended(struck=True)]
            if blow == SIGKILL:
                ends.append(Attempt(bench.arguments(Command.SCAN, place), folder, {}).ended(struck=False))
            left += [f"process after {blow.name}: {title}" for ended in ends for title in ended.outlived]
            left += [f"file after {blow.name}: {path.relative_to(folder)}" for path in leftovers(folder, blow)]
            tell(f"{blow.name}: exit codes {[ended.code for ended in ends]}")
    new = {path.name for path in SHARED_MEMORY.iterdir() if OURS.match(path.name)} - before
    return left + [f"shared memory: {name}" for name in sorted(new) if not is_mapped(name)]


def leftovers(folder: Path, blow: int) -> list[Path]:
    """List what runs left in their temporary folder and in the table's folder, beside the table itself."""
    temporary = folder / "tmp"
    found = [path for path in temporary.iterdir() if path.name != "ray"]
    # a run that was ended or failed leaves its Ray's logs until the next one
    found += list((temporary / "ray").glob("session_2*")) if blow == SIGKILL else []
    return found + [path for path in (folder / "out").rglob("*") if ".tmp-" in path.name or path.name == "_lease.json"]


def is_mapped(name: str) -> bool:
    """Tell whether a living process has a file of shared memory."""
    for process in psutil.process_iter():
        try:
            if any(file.path.startswith(str(SHARED_MEMORY / name)) for file in process.memory_maps()):
                return True
        except (psutil.Error, OSError):
            continue
    return False


def tell(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> int:
    """Soak, and tell what grew or stayed."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0, help="of scans in one process (default: 60)")
    parser.add_argument("--times", type=int, default=5, help="scans ended, and killed and run again (default: 5 each)")
    chosen = parser.parse_args(arguments)
    folder = Path(tempfile.gettempdir()) / f"mole-soak-{os.getpid()}"
    signal.signal(SIGTERM, lambda *_: sys.exit(143))  # so that what follows is undone
    with ExitStack() as opened:
        opened.callback(processes.kill_all)
        bench = opened.enter_context(workbench(folder))
        temporary = folder / "t"
        temporary.mkdir()
        os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
        samples = loop(bench, time.monotonic() + 60 * chosen.minutes)
        found = growth(samples[WARM:])
        left = ended_and_killed(bench, chosen.times)
        left += [f"file: {path}" for path in temporary.rglob("session_2*")]
        shutil.rmtree(temporary)
        for path in folder.glob("ended-*"):
            shutil.rmtree(path)
    for name, (first, last) in found.items():
        tell(f"{name}: {first} in the first third, {last} in the last")
    for line in left:
        tell(f"LEFT: {line}")
    for line in grown(found):
        tell(f"GREW: {line}")
    tell(f"{len(samples)} scans in one process, {len(grown(found))} things grew, {len(left)} things left behind")
    return 1 if left or grown(found) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

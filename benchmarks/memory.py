"""Peak memory of a scan at 1 and at 10 times the images: driver, workers and Ray, summed over the run.

python -m benchmarks.memory --images 500
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.scan import pictures
from tests.tiny import tiny_checkpoint

MIB = 1 << 20


def memory(run: psutil.Process) -> tuple[int, int]:
    """Sum what a process and all below it hold now.

    Returns:
        Bytes of the process itself, and of all together; pages that several share count once (PSS).
    """
    own, every = 0, 0
    for process in [run, *run.children(recursive=True)]:
        try:
            held = process.memory_full_info().pss
        except psutil.Error:
            continue
        own, every = (held if process == run else own), every + held
    return own, every


def peak(folder: Path, model: Path) -> tuple[int, int]:
    """Scan a folder's shards and keep the highest sums."""
    output = folder / "verdicts"
    command = [
        sys.executable,
        "jobs/scan.py",
        "--source",
        f"{folder}/shards/*.tar",
        "--output",
        str(output),
        "--model",
        str(model),
    ]
    run = psutil.Popen([*command, "--json"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    highest = (0, 0)
    while run.poll() is None:
        try:
            own, every = memory(run)
        except psutil.NoSuchProcess:
            break
        highest = (max(highest[0], own), max(highest[1], every))
        time.sleep(0.25)
    if run.wait() != 0:
        raise SystemExit(f"the scan of {folder} ended with {run.returncode}")
    return highest


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=500)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as place:
        model = tiny_checkpoint(Path(place) / "model")
        for times in (1, 10):
            folder = Path(place) / str(times)
            folder.mkdir()
            pictures(folder, images * times, (1024, 768))
            own, every = peak(folder, model)
            print(f"{images * times:>7,} images: driver {own / MIB:,.0f} MiB, all processes {every / MIB:,.0f} MiB")


if __name__ == "__main__":
    main()

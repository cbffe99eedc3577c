"""Peak memory of a scan at 1 and at 10 times the images: the driver, and all processes together through the run.

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


def sums(folder: Path, model: Path) -> list[tuple[int, int]]:
    """Scan a folder's shards and take the sums four times a second."""
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
    taken = []
    while run.poll() is None:
        try:
            taken.append(memory(run))
        except psutil.NoSuchProcess:
            break
        time.sleep(0.25)
    if run.wait() != 0:
        raise SystemExit(f"the scan of {folder} ended with {run.returncode}")
    return taken


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
            taken = sums(folder, model)
            driver = max(own for own, _ in taken) / MIB
            fifths = [taken[len(taken) * part // 5 : len(taken) * (part + 1) // 5] for part in range(5)]
            peaks = ", ".join(f"{max(every for _, every in fifth) / MIB:,.0f}" for fifth in fifths)
            print(f"{images * times:>7,} images: driver {driver:,.0f} MiB, all by fifth of the run {peaks} MiB")


if __name__ == "__main__":
    main()

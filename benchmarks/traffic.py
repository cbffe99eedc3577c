"""Traffic: bytes per image in Ray's object store after each stage of a scan, as Ray Data counts its blocks.

python -m benchmarks.traffic --images 1000
"""

import argparse
import re
import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import ray
import ray.data

from benchmarks.scan import pictures
from mole.config import describe
from pipeline import registry
from pipeline.runtime import cluster
from pipeline.scan.datasource import ImageSource
from pipeline.scan.execution import prepare_context, verdicts
from pipeline.scan.models import ModelRef
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.settings import ScanSettings
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.sink import open_sink
from pipeline.telemetry.terminal import ProgressDisplay
from tests.tiny import tiny_checkpoint

STEP = re.compile(r"^Operator \d+ (.+?):", re.MULTILINE)
ROWS = re.compile(r"Output num rows per block: .*?, (\d+) total")
SIZE = re.compile(r"Output size bytes per block: .*?, (\d+) total")


def main() -> None:
    """Scan without writing, and print what Ray Data counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    images = parser.parse_args().images
    cluster.quiet(logs=False)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures(folder, images, (1024, 768))
        shards = sorted((folder / "shards").glob("*.tar"))
        size = sum(shard.stat().st_size for shard in shards)
        print(f"{images:,} images in {len(shards)} shards, {size / images:,.0f} bytes an image in them")
        print(f"a view has {describe(registry.locate(tiny(folder))).preprocess.bytes:,} bytes")
        for step, rows, moved in counted(stats(folder, tiny(folder))):
            print(f"{moved / rows:>12,.0f} bytes an image after {step}")
    print(f"ray {ray.__version__}, {datetime.now(UTC):%Y-%m-%d}")


def tiny(folder: Path) -> str:
    """Write a tiny checkpoint."""
    return str(tiny_checkpoint(folder / "model"))


def stats(folder: Path, model: str) -> str:
    """Run the scan's own stages on the shards, and return Ray Data's statistics."""
    output, described = str(folder / "verdicts"), describe(registry.locate(model))
    settings = ScanSettings(source=[f"{folder}/shards/*.tar"], output=output, model=model)
    sink, options = open_sink(settings.sink, output), ReadOptions(settings.max_bytes)
    reads = [partial(fetch, [unit], options) for unit in Source(settings.source, all_files=False).units()]
    ledger = sink.ledger(described.digest)
    with (
        Lease(output) as lease,
        prepare_context(settings, lease, sink, ledger, settings.source, ProgressDisplay(quiet=True)) as context,
    ):
        source = ray.data.read_datasource(ImageSource(reads, context.memory), override_num_blocks=len(reads))
        return str(verdicts(source, [ModelRef(model, described)], context).materialize().stats())


def counted(text: str) -> list[tuple[str, int, int]]:
    """Parse stages, their rows and their bytes from Ray Data's statistics."""
    parts = STEP.split(text)[1:]
    found = []
    for step, words in zip(parts[::2], parts[1::2], strict=True):
        rows, size = ROWS.search(words), SIZE.search(words)
        if rows is None or size is None:
            raise SystemExit(f"Ray {ray.__version__} prints its statistics in another form: {words!r}")
        found.append((step, int(rows[1]), int(size[1])))
    return found


if __name__ == "__main__":
    main()

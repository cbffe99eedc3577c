"""Traffic: bytes an image that a read task sends to a scorer, and that come back; all that crosses the object store.

python -m benchmarks.traffic --images 1000
"""

import argparse
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from benchmarks.scan import pictures
from mole.config import describe
from pipeline import registry
from pipeline.runtime.machine import CPU_BATCH
from pipeline.scan.executor import Pending
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.stages import Stages
from pipeline.scan.steps.score import ScoreActor
from pipeline.telemetry.progress_counter import ProgressReporter
from tests.tiny import tiny_checkpoint


class CountingScorers:
    """A detector in this process that counts the bytes of what it is sent and of what it answers.

    Args:
        model: its checkpoint.
    """

    def __init__(self, model: str) -> None:
        named = [(model, describe(registry.locate(model)).digest)]
        self.actor = ScoreActor(named, device="cpu", threads=1, batch_size=CPU_BATCH)
        self.sent = self.answered = 0

    def submit(self, prepared: pa.Table, reporter: ProgressReporter | None) -> Pending:
        """Score a table of `PREPARED` at once."""
        scored = self.actor(prepared)
        self.sent, self.answered = self.sent + prepared.nbytes, self.answered + scored.nbytes
        return lambda: scored


def main() -> None:
    """Run the stages of a scan, and print the bytes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=1000)
    images = parser.parse_args().images
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        pictures(folder, images, (1024, 768))
        shards = sorted((folder / "shards").glob("*.tar"))
        size = sum(shard.stat().st_size for shard in shards)
        print(f"{images:,} images in {len(shards)} shards, {size / images:,.0f} bytes an image in them")
        model = str(tiny_checkpoint(folder / "model"))
        described, scorers = describe(registry.locate(model)), CountingScorers(model)
        stages = Stages(
            spec=described.preprocess,
            bounds=(64 << 20, 100_000_000, 16),
            calibrations={described.digest: described.calibration},
            prevalence=0.1,
            scorers=scorers,
            rows_per_call=4 * CPU_BATCH,
        )
        units = list(Source([f"{folder}/shards/*.tar"], all_files=False).units())
        rows = sum(table.num_rows for table in stages.verdicts(lambda: fetch(units, ReadOptions(64 << 20))))
        print(f"a view has {described.preprocess.bytes:,} bytes")
        print(f"{scorers.sent / rows:>12,.0f} bytes an image to a scorer")
        print(f"{scorers.answered / rows:>12,.0f} bytes an image back")
    print(f"{datetime.now(UTC):%Y-%m-%d}")


if __name__ == "__main__":
    main()

"""Monitor: images are counted as they are scored, before a row is written, and at the end as they are written."""

import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.dataset as pads
import pytest

from mole.config import describe
from pipeline.scan.flow import read_function, remaining_work
from pipeline.scan.models import ModelRef
from pipeline.scan.monitor import LOADING, STARTING, Monitor
from pipeline.scan.plan import Plan
from pipeline.scan.ray_executor import RayVerdicts, on_ray
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.settings import ScanSettings
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.parquet_sink import ParquetSink
from pipeline.scan.table.verdicts import Verdicts
from pipeline.scan.wave import execute_wave, prepare_context
from pipeline.telemetry.progress import SCORING
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import faulty, picture, samples, write_shard
from tests.tiny import tiny_checkpoint
from tests.verdicts import verdicts_of


class Late(ParquetSink):
    """A folder into which nothing is written before the progress has counted so many images."""

    def __init__(self, output: str, progress: ProgressDisplay, images: int) -> None:
        super().__init__(output)
        self.progress, self.images, self.line = progress, images, ""

    def put(self, verdicts: Verdicts, generation: str, rows: int, units: list[str]) -> Iterator[dict[str, Any]]:
        """Score all, wait for the count, then write."""
        scored = RayVerdicts(verdicts.dataset.materialize())
        while self.progress.done_and_total() != (self.images, self.images):
            assert self.progress.seconds < 120, str(self.progress)
            time.sleep(0.05)
        self.line = str(self.progress)
        assert self.progress.images == 0 and not list(Path(self.output).rglob("*.parquet"))
        yield from super().put(scored, generation, rows, units)


@pytest.mark.usefixtures("local_ray")
def test_images_are_counted_before_the_first_part_is_written_each_once_and_their_total_is_learnt(
    tiny: Path, tmp_path: Path
) -> None:
    write_shard(tmp_path / "0.tar", samples(40))
    write_shard(tmp_path / "1.tar", faulty())
    checkpoints = [tiny, tiny_checkpoint(tmp_path / "challenger", adapters=7)]
    models = [ModelRef(str(place), describe(place)) for place in checkpoints]
    sources, output = [f"{tmp_path}/0.tar", f"{tmp_path}/1.tar"], str(tmp_path / "out")
    settings = ScanSettings(source=sources, output=output, model=str(tiny), batch_size=8, rows_per_file=10_000)
    with ProgressDisplay(quiet=True) as progress:
        sink = Late(output, progress, 48)
        ledgers = [sink.ledger(model.digest) for model in models]
        with Lease(output) as held, Plan(Source(sources).units(), ledgers) as planned:
            assert remaining_work(planned, ledgers) == (0, 2)
            progress.expect(*remaining_work(planned, ledgers))
            reads = [read_function((unit,), ReadOptions(1 << 20)) for unit in planned.todo(*ledgers)]
            executor = on_ray(settings, sources, progress)
            with prepare_context(settings, executor, held, sink, ledgers[0], progress) as context:
                assert execute_wave(context, reads, models, units=[]) == 48
                context.monitor.poll(5.0)  # an answer that comes late
                assert sum(progress.facts()["verdicts"].values()) + sum(progress.facts()["faults"].values()) == 48
        assert progress.images == progress.total == 48 and progress.done_and_total() == (48, 48)
    faults = {"truncated": 1, "empty": 1, "not_an_image": 1, "too_small": 1, "unsupported": 2}
    assert progress.written.kinds == faults and "6 faults (2 unsupported" in sink.line
    rows = pads.dataset(ledgers[0].folder, format="parquet").to_table().to_pylist()
    assert len(rows) == 48
    assert progress.written.verdicts == Counter(row["verdict"] for row in rows if row["verdict"])
    assert {STARTING, LOADING, SCORING} <= progress.phases.keys()
    seconds, done = zip(*progress.series.points(progress.seconds, 48), strict=True)
    assert list(seconds) == sorted(seconds) and list(done) == sorted(done)


def test_what_one_model_alone_lacks_is_to_do_too(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / f"{number}.jpg").write_bytes(picture(number))
    shard, images = write_shard(tmp_path / "a.tar", samples(2)), [f"{tmp_path}/{number}.jpg" for number in range(4)]
    sink = ParquetSink(str(verdicts_of(*images[:3], shard, table=tmp_path / "out", model="old")))
    ledgers = [sink.ledger("old"), sink.ledger("new")]
    with Plan(Source([*images, str(shard)]).units(), ledgers) as planned:
        assert remaining_work(planned, ledgers[:1]) == (1, 0)
        assert remaining_work(planned, ledgers) == (4, 1)


def test_without_a_tally_what_is_written_is_counted() -> None:
    progress = ProgressDisplay(quiet=True)
    monitor = Monitor(progress)
    progress.expect(3)
    progress.enter(LOADING)
    with monitor.wave("model") as reporter:
        assert reporter is None
        monitor.poll()
        monitor.written({"outcomes": [{"status": "ok", "verdict": "real", "images": 2}], "file": "a", "rows": 2})
        assert progress.phase == SCORING and progress.done_and_total() == (2, 3)
    assert str(progress).startswith("2 of 3 images, 2 real, 0 faults")

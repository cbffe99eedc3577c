"""The road of a row, from the reading of its image to its place in the verdict table; scan and rescan take the same."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import chain

import pyarrow as pa
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset, Datasource, ReadTask
from ray.data.block import BlockMetadata

from mole.config import Description
from pipeline import cluster, storage
from pipeline.memory import Snapshot, mount
from pipeline.scan.sink import publish
from pipeline.scan.verdict import conclude
from pipeline.scan.workers import Scorer, prepare
from pipeline.settings import DetectorSettings
from pipeline.telemetry import Ticker

Reading = Callable[[], Iterator[pa.Table]]
"""Some seconds of reading: tables of `FETCHED`."""


class ImageSource(Datasource):
    """The door through which Ray Data takes images: one read task a reading."""

    def __init__(self, readings: Sequence[Reading], memory: Snapshot) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.readings = readings
        self.memory = memory

    def estimate_inmemory_data_size(self) -> int | None:
        """Give no estimate: what a shard holds is known once it is read."""
        return None

    def get_read_tasks(
        self, parallelism: int, per_task_row_limit: int | None = None, data_context: DataContext | None = None
    ) -> list[ReadTask]:
        """Make a task for each reading; `parallelism` is their number."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, exec_stats=None, input_files=None)
        return [ReadTask(partial(_read_remotely, reading, self.memory), unknown) for reading in self.readings]


def _read_remotely(reading: Reading, memory: Snapshot) -> Iterator[pa.Table]:
    mount(memory)
    return reading()


@dataclass(frozen=True)
class Work:
    """What is to be read.

    Attributes:
        readings: given the number of cores, a reading a task.
        memory: what `memory://` holds, for workers that cannot see it.
        limit: stop after so many images.
    """

    readings: Callable[[int], Sequence[Reading]]
    memory: Snapshot
    limit: int | None = None


@dataclass(frozen=True)
class Judge:
    """The detector that judges: its checkpoint's place, and what its files say of it."""

    model: str
    described: Description


@dataclass(frozen=True)
class Shelf:
    """Where verdicts go.

    Attributes:
        output: the table's URL, where the lease lies.
        folder: the model's partition.
        generation: the lease under which this run writes.
    """

    output: str
    folder: str
    generation: str


def drive(work: Work, judge: Judge, shelf: Shelf, settings: DetectorSettings, report: Ticker) -> int:
    """Take images down the road, and count the rows that are written.

    Args:
        work: what is to be read.
        judge: the detector.
        shelf: where the verdicts go.
        settings: how the detector is run.
        report: told of every part that is written.

    Raises:
        MoleError: a worker's own error.
    """
    written = 0
    with cluster.connected(settings.ray_address, logs=settings.ray_logs), cluster.own_errors():
        layout = cluster.lay_out(
            settings.device,
            actors=settings.num_actors,
            batch_size=settings.batch_size,
            rows_per_file=settings.rows_per_file,
        )
        cluster.size_blocks(layout.batch_size * judge.described.preprocess.bytes)
        source = ImageSource(work.readings(layout.cores), work.memory)
        images: Dataset = ray.data.read_datasource(source, override_num_blocks=len(source.readings))
        images = images if work.limit is None else images.limit(work.limit)
        verdicts = judged(images, judge, settings, layout)
        write = partial(publish, **asdict(shelf))
        parts = verdicts.map_batches(write, batch_size=layout.rows_per_file, batch_format="pyarrow", num_cpus=0)
        tallies: Iterable[pa.Table] = parts.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0)
        for part in chain.from_iterable(tally.to_pylist() for tally in tallies):
            if part["content"] is not None:
                storage.write(part["file"], part["content"])
            written += part["rows"]
            report.add(part["rows"], part["faults"])
    return written


def judged(images: Dataset, judge: Judge, settings: DetectorSettings, layout: cluster.Layout) -> Dataset:
    """Join the steps: images in, verdicts out; nothing runs before the result is read."""
    described = judge.described
    bounds = (settings.max_bytes, settings.max_pixels, settings.min_side)
    actor = {"model": judge.model, "digest": described.digest, "device": layout.device, "threads": layout.threads}
    views = images.map_batches(partial(prepare, spec=described.preprocess, bounds=bounds), batch_format="pyarrow")
    scores: Dataset = views.map_batches(
        Scorer,
        fn_constructor_kwargs=actor,
        batch_size=layout.batch_size,
        batch_format="pyarrow",
        compute=ActorPoolStrategy(size=layout.actors, max_tasks_in_flight_per_actor=2),
        **layout.resources,
    )
    finish = partial(conclude, calibration=described.calibration, fingerprint=described.preprocess.fingerprint)
    return scores.map_batches(finish, batch_format="pyarrow", num_cpus=0)  # else preparing tasks keep it from writing

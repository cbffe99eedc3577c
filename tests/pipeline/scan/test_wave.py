"""Execution: a wave counts the first model's rows, and whatever becomes of a run, nothing of it waits in the table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.dataset as pads
import pytest

from mole.config import describe
from mole.errors import StorageError
from pipeline.scan.local_executor import LocalExecutor, in_this_process
from pipeline.scan.models import ModelRef
from pipeline.scan.ray_executor import RayExecutor
from pipeline.scan.read_function import CountingRead, ReadFunction
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.settings import ScanSettings
from pipeline.scan.stages import Stages
from pipeline.scan.table.content_index import INDEX_FOLDER
from pipeline.scan.table.duplicates import deferred_files, deferred_prefix
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.parquet_sink import ParquetSink
from pipeline.scan.wave import ScanContext, choose_executor, execute_wave, prepare_context, write_verdicts
from pipeline.telemetry.terminal import ProgressDisplay
from tests.pictures import samples, write_shard
from tests.tiny import tiny_checkpoint

IMAGES, DIFFERENT = 12, 3


@pytest.fixture
def models(tiny: Path, tmp_path: Path) -> list[ModelRef]:
    """A model and its challenger."""
    places = [tiny, tiny_checkpoint(tmp_path / "challenger", adapters=7)]
    return [ModelRef(str(place), describe(place)) for place in places]


@pytest.fixture
def read(tmp_path: Path) -> ReadFunction:
    """Read a shard of twelve images, of which three are different."""
    shard = write_shard(tmp_path / "a.tar", samples(IMAGES, different=DIFFERENT))
    return partial(fetch, list(Source([str(shard)]).units()), ReadOptions(1 << 20))


def settings_for(output: Path, **given: Any) -> ScanSettings:
    """Make the settings of a run with small batches and files."""
    sizes = {"batch_size": 4, "rows_per_file": 5}
    return ScanSettings.model_validate({"source": ["none"], "output": str(output), **sizes, **given})


@contextmanager
def prepared(output: Path, **given: Any) -> Iterator[ScanContext]:
    """Prepare a run in this process."""
    settings, sink, progress = settings_for(output, **given), ParquetSink(str(output)), ProgressDisplay(quiet=True)
    executor, ledger = in_this_process(settings), sink.ledger("any")
    with (
        progress,
        Lease(str(output)) as lease,
        prepare_context(settings, executor, lease, sink, ledger, progress) as context,
    ):
        yield context


def rows_of(output: Path, model: ModelRef) -> list[dict[str, Any]]:
    """Read a model's rows, in the order of their places."""
    rows = pads.dataset(output / f"model={model.digest}", format="parquet").to_table().to_pylist()
    return sorted(rows, key=lambda row: int(row["index"]))


def known(output: Path) -> list[str]:
    """Name the files that a run keeps beside the table."""
    return sorted(file.name for file in (output / INDEX_FOLDER).glob("*"))


def test_a_source_is_read_here_only_where_it_is_small_and_no_cluster_is_named(
    local_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def chosen(is_small: Callable[[], bool], **given: Any) -> type:
        progress = ProgressDisplay(quiet=True)
        with choose_executor(settings_for(tmp_path / "out", **given), [], progress, is_small) as executor:
            return type(executor)

    monkeypatch.setattr("pipeline.scan.local_executor.is_connected", lambda: False)
    assert chosen(lambda: True) is LocalExecutor
    assert chosen(lambda: False) is RayExecutor
    assert chosen(lambda: pytest.fail("its units were counted"), num_actors=1) is RayExecutor


def test_a_wave_writes_the_rows_of_each_model_and_counts_those_of_the_first(
    models: list[ModelRef], read: ReadFunction, tmp_path: Path
) -> None:
    with prepared(tmp_path / "out") as context:
        assert execute_wave(context, [read], models, units=[]) == IMAGES
    for model in models:
        assert [row["index"] for row in rows_of(tmp_path / "out", model)] == list(range(IMAGES))
    first, second = ([row["logit"] for row in rows_of(tmp_path / "out", model)] for model in models)
    assert first != second and None not in first


def test_what_was_written_is_told_of_the_first_model_alone(
    models: list[ModelRef], read: ReadFunction, tmp_path: Path
) -> None:
    with prepared(tmp_path / "out") as context:
        stages = Stages(
            spec=models[0].description.preprocess,
            bounds=(1 << 20, 1 << 20, 16),
            calibrations={model.digest: model.description.calibration for model in models},
            prevalence=0.5,
            scorers=context.executor.scorers(models, None),
            rows_per_call=4,
        )
        written = write_verdicts(context, [partial(stages.verdicts, read)], models, [])
    folder = tmp_path / "out" / f"model={models[0].digest}"
    assert written.rows == IMAGES and sorted(written.files) == sorted(map(str, folder.glob("*.parquet")))
    assert sum(pads.dataset(file, format="parquet").count_rows() for file in written.files) == IMAGES


def test_a_wave_stops_at_its_limit(models: list[ModelRef], read: ReadFunction, tmp_path: Path) -> None:
    with prepared(tmp_path / "out") as context:
        assert execute_wave(context, [read], models[:1], units=[], limit=7) == 7
    assert len(rows_of(tmp_path / "out", models[0])) == 7


def test_a_shard_that_is_read_to_its_end_tells_how_many_images_it_has(
    models: list[ModelRef], read: ReadFunction, tmp_path: Path
) -> None:
    with prepared(tmp_path / "out") as context:
        execute_wave(context, [CountingRead(read)], models[:1], units=[])
        assert context.executor.counter is not None
        assert list(context.executor.counter.snapshot(1).ended.values()) == [IMAGES]


def test_with_dedupe_each_content_is_scored_once_and_every_image_has_its_row(
    models: list[ModelRef], read: ReadFunction, tmp_path: Path
) -> None:
    with prepared(tmp_path / "out", dedupe="content") as context:
        assert execute_wave(context, [read], models[:1], units=[]) == IMAGES
        assert known(tmp_path / "out") == [f"{context.generation}.arrow"]
    rows = rows_of(tmp_path / "out", models[0])
    assert [row["index"] for row in rows] == list(range(IMAGES))
    assert [row["same_as"] and row["same_as"]["index"] for row in rows] == [None] * DIFFERENT + [0, 1, 2] * DIFFERENT
    assert len({row["logit"] for row in rows}) == DIFFERENT and known(tmp_path / "out") == []


def test_a_wave_that_fails_leaves_no_row_waiting(models: list[ModelRef], read: ReadFunction, tmp_path: Path) -> None:
    seen: list[int] = []

    def failing(context: ScanContext) -> Iterator[pa.Table]:
        yield from read()
        seen.append(len(deferred_files(deferred_prefix(context.sink.output, context.generation))))
        raise StorageError("the store stopped answering")

    with pytest.raises(StorageError, match="stopped answering"), prepared(tmp_path / "out", dedupe="content") as one:
        execute_wave(one, [partial(failing, one)], models[:1], units=[])
    assert seen[0] > 0, "no row waited when the store failed"
    assert known(tmp_path / "out") == []


def test_the_index_lasts_as_long_as_the_run_and_takes_with_it_what_a_killed_one_left(tmp_path: Path) -> None:
    leftovers = tmp_path / "out" / INDEX_FOLDER
    leftovers.mkdir(parents=True)
    for name in ("old.arrow", "old-copies-1.parquet"):
        (leftovers / name).write_bytes(b"of a run that was killed")
    kept: list[str] = []

    def fail(context: ScanContext) -> None:
        assert context.content_index == f"{leftovers}/{context.generation}.arrow"
        kept.extend(known(tmp_path / "out"))
        raise StorageError(context.generation)

    with pytest.raises(StorageError) as failed, prepared(tmp_path / "out", dedupe="content") as context:
        fail(context)
    assert kept == [f"{failed.value}.arrow"]
    assert known(tmp_path / "out") == []


def test_without_dedupe_there_is_no_index(tmp_path: Path) -> None:
    with prepared(tmp_path / "out") as context:
        assert context.content_index is None and known(tmp_path / "out") == []

"""Measurement: what a sample holds is counted to the byte, and a shard is charged for what was read of it alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from mole.config import describe
from mole.errors import ModelError
from pipeline.scan.forecasting.forecast import SampleMeasurement
from pipeline.scan.forecasting.measurement import measure
from pipeline.scan.forecasting.sample_spec import SampleSpec
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from tests.pictures import faulty, picture, samples, write_shard

OPTIONS = ReadOptions(1 << 20)


def spec_of(tiny: Path, *sources: str | Path, images: int, **given: Any) -> SampleSpec:
    """Make the sample of all units of some sources."""
    spec = SampleSpec(
        units=tuple(Source([str(source) for source in sources]).units()),
        images=images,
        options=OPTIONS,
        bounds=(1 << 20, 1 << 20, 16),
        model=(str(tiny), describe(tiny).digest),
        device="cpu",
        threads=1,
        batch_size=4,
        memory={},
    )
    return replace(spec, **given)


def test_a_sample_that_is_the_whole_source_is_counted_to_the_byte(tiny: Path, tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "a.tar", samples(5))
    (tmp_path / "b.jpg").write_bytes(picture(70))
    told: list[int] = []
    facts, ready = measure(spec_of(tiny, shard, tmp_path / "b.jpg", images=400), told.append)
    found = SampleMeasurement(**facts)
    sizes = [len(body) for name, body in samples(5).items() if name.endswith(".jpg")]
    assert (found.images, found.image_bytes) == (6, sum(sizes) + len(picture(70)))
    assert (found.shard_images, found.shard_bytes) == (5, shard.stat().st_size)
    assert sorted(told) == [1, 5] and ready > 0
    assert found.prepare > 0 and found.model > 0 and found.row_bytes > 100


def test_a_shard_is_read_up_to_its_share_of_the_sample_and_charged_up_to_its_last_image(
    tiny: Path, tmp_path: Path
) -> None:
    shards = [write_shard(tmp_path / f"{number}.tar", samples(9, start=9 * number)) for number in range(2)]
    (tmp_path / "c.jpg").write_bytes(picture(70))
    spec = spec_of(tiny, *shards, tmp_path / "c.jpg", images=8)
    told: list[int] = []
    facts, _ = measure(spec, told.append)
    assert sorted(told) == [1, 3, 3] and (facts["images"], facts["shard_images"]) == (7, 6)
    rows = [pa.concat_tables(fetch([unit], OPTIONS)).to_pylist()[2] for unit in spec.units if unit.images is None]
    ends = [row["offset"] + row["length"] for row in rows]
    assert facts["shard_bytes"] == sum(ends) < sum(shard.stat().st_size for shard in shards)


def test_faults_are_images_too_and_a_file_that_is_gone_is_one(tiny: Path, tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "f.tar", faulty())
    (tmp_path / "gone.jpg").write_bytes(picture(1))
    spec = spec_of(tiny, shard, tmp_path / "gone.jpg", images=100)
    (tmp_path / "gone.jpg").unlink()
    facts, _ = measure(spec)
    assert facts["images"] == len(faulty()) + 1 and facts["shard_bytes"] == shard.stat().st_size
    assert facts["image_bytes"] == sum(len(body) for name, body in faulty().items() if name != "text.txt")


def test_files_of_memory_are_read_where_the_sample_has_brought_them(tiny: Path) -> None:
    store, place = fsspec.filesystem("memory"), "/measured/a.jpg"
    store.pipe_file(place, picture(1))
    spec = spec_of(tiny, "memory://measured/a.jpg", images=10, memory={place: picture(1)})
    store.rm(place)
    facts, _ = measure(spec)
    assert (facts["images"], facts["image_bytes"]) == (1, len(picture(1)))


def test_a_sample_of_nothing_costs_nothing(tiny: Path) -> None:
    facts, _ = measure(spec_of(tiny, images=10))
    assert SampleMeasurement(**facts) == SampleMeasurement(0, 0, 0, 0, 0.0, 0.0, 0.0)


def test_a_model_that_is_another_than_the_one_described_is_refused(tiny: Path) -> None:
    with pytest.raises(ModelError, match="is cafe where this run was started"):
        measure(spec_of(tiny, images=10, model=(str(tiny), "cafe")))

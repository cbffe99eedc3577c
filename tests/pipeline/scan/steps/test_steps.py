"""Prepare, score, verdict and sink, each alone: a table in, a table of the declared schema out, row for row."""

from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pytest
import torch

from mole.errors import StorageError
from mole.measuring.calibration import PREVALENCE, Calibration
from mole.views.preprocess import Preprocess
from pipeline.records import (
    CARRIED,
    FETCHED,
    MODEL,
    PREPARED,
    PREVALENCE_KEY,
    SCORED,
    VERDICT,
    WRITTEN_FILES,
    check_version,
    with_carried,
)
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.steps.score import ScoreActor, stack
from pipeline.scan.steps.verdict import conclude
from pipeline.scan.table.lease import Lease
from pipeline.scan.table.parquet_sink import part_name, publish
from pipeline.scan.workers import prepare
from pipeline.storage import storage
from tests.pictures import faulty, write_shard

BOUNDS = (1 << 20, 1 << 20, 16)


@pytest.fixture
def fetched(tmp_path: Path) -> pa.Table:
    """Every fault as it is fetched."""
    units = list(Source([str(write_shard(tmp_path / "f.tar", faulty()))]).units())
    return pa.concat_tables(fetch(units, ReadOptions(max_bytes=1 << 20, carry=("url",))))


@pytest.fixture
def prepared(fetched: pa.Table) -> pa.Table:
    """Every fault as it is prepared."""
    return prepare(fetched, Preprocess(), BOUNDS)


def test_prepare_keeps_every_row_and_gives_pixels_to_the_sound_ones(fetched: pa.Table, prepared: pa.Table) -> None:
    assert fetched.schema.equals(with_carried(FETCHED, ("url",)))
    assert prepared.schema.equals(with_carried(PREPARED, ("url",)))
    assert prepared["key"].to_pylist() == fetched["key"].to_pylist()
    for row in prepared.to_pylist():
        assert (row["pixels"] is not None) == (row["status"] == "ok")
        assert row["pixels"] is None or len(row["pixels"]) == 3 * 224 * 224
    assert prepared["status"].null_count == 0


def test_views_are_stacked_as_they_were_cut(prepared: pa.Table) -> None:
    pixels = prepared["pixels"].combine_chunks().drop_null()
    batch_B3SS = stack(pixels, Preprocess())
    for number, view in enumerate(pixels.to_pylist()):
        assert batch_B3SS[number].numpy().tobytes() == view
    assert torch.equal(stack(pixels.slice(1), Preprocess()), batch_B3SS[1:])


def test_score_and_verdict_leave_faults_without_either(prepared: pa.Table, tiny: Path) -> None:
    scored = ScoreActor([(str(tiny), "digest")], device="cpu", threads=1, batch_size=4)(prepared)
    assert scored.schema.equals(with_carried(SCORED, ("url",)))
    final = conclude(scored, {"digest": Calibration(real_below=-9, generated_above=9)}, "print").drop_columns([MODEL])
    assert final.schema.remove(final.schema.get_field_index(CARRIED)).equals(VERDICT)
    for row in final.to_pylist():
        sound = row["status"] == "ok"
        assert (row["verdict"] == "unsure") == sound == (row["logit"] is not None)
        assert row["gates"] is None or sum(row["gates"]) == pytest.approx(1, abs=1e-5)
        assert row["preprocess"] == "print"


def test_the_prevalence_moves_probabilities_alone_and_is_told_by_the_file_and_by_each_row(
    prepared: pa.Table, tiny: Path
) -> None:
    scored = ScoreActor([(str(tiny), "digest")], device="cpu", threads=1, batch_size=4)(prepared)
    read = Calibration(temperature=1.5, bias=0.2, real_below=-0.3, generated_above=0.3)
    usual, rare = (
        conclude(scored, {"digest": read}, "print", prevalence=prevalence) for prevalence in (PREVALENCE, 0.001)
    )
    assert usual["verdict"].to_pylist() == rare["verdict"].to_pylist()
    assert usual["logit"].to_pylist() == rare["logit"].to_pylist()
    for made, prevalence in ((usual, PREVALENCE), (rare, 0.001)):
        assert float(made.schema.metadata[PREVALENCE_KEY]) == prevalence
        check_version(made.schema.metadata, "part")
        for row in made.filter(pa.compute.is_valid(made["logit"])).to_pylist():
            odds = np.log(row["probability"] / (1 - row["probability"]))
            assumed = odds - (row["logit"] + read.bias) / read.temperature
            assert 1 / (1 + np.exp(-assumed)) == pytest.approx(prevalence, rel=1e-3)


def test_a_batch_without_a_sound_image_is_scored_all_the_same(prepared: pa.Table, tiny: Path) -> None:
    faults = prepared.filter(pa.compute.not_equal(prepared["status"], "ok"))
    scored = ScoreActor([(str(tiny), "digest")], device="cpu", threads=1, batch_size=4)(faults)
    assert scored.num_rows == faults.num_rows and scored["logit"].null_count == faults.num_rows


def verdicts(count: int) -> pa.Table:
    """Make rows of a table."""
    rows = [
        dict.fromkeys(VERDICT.names) | {"model": "m", "unit": "u", "index": i, "last": False, "status": "ok"}
        for i in range(count)
    ]
    return pa.Table.from_pylist(rows, VERDICT.insert(0, pa.field(MODEL, pa.string())))


def test_a_part_is_named_by_its_images_whatever_their_order() -> None:
    table = verdicts(5)
    assert part_name(table) == part_name(table.take(np.array([4, 2, 0, 1, 3])))
    assert part_name(table) != part_name(table.slice(1))


def test_a_part_is_published_under_the_lease_alone_and_twice_is_once(tmp_path: Path) -> None:
    output, folder = str(tmp_path), str(tmp_path / "model=m")
    with Lease(output) as lease:
        for _ in range(2):
            told = publish(verdicts(5), output=output, generation=lease.generation)
            assert told.schema.equals(WRITTEN_FILES) and told["rows"].to_pylist() == [5]
        assert len(storage.list_files(folder, ".parquet")) == 1
        with pytest.raises(StorageError, match="must not write any more"):
            publish(verdicts(6), output=output, generation="another")
    assert len(storage.list_files(folder, ".parquet")) == 1


def test_what_only_the_driver_can_write_is_handed_to_it() -> None:
    told = publish(verdicts(2), output="memory://o", generation="any").to_pylist()[0]
    assert told["content"][:4] == b"PAR1"
    assert not fsspec.filesystem("memory").exists(told["file"].removeprefix("memory:/"))

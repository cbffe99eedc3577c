"""Prepare and score, each alone: a table in, a table of the declared schema out, row for row."""

from pathlib import Path

import pyarrow as pa
import pytest
import torch

from mole.config import describe
from mole.errors import ModelError
from mole.views.preprocess import Preprocess
from pipeline.records import (
    FETCHED,
    PREPARED,
    with_carried,
)
from pipeline.scan.steps.score import ScoreActor, stack


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


def test_a_batch_without_a_sound_image_is_scored_all_the_same(prepared: pa.Table, tiny: Path) -> None:
    faults = prepared.filter(pa.compute.not_equal(prepared["status"], "ok"))
    scored = ScoreActor([(str(tiny), describe(tiny).digest)], device="cpu", threads=1, batch_size=4)(faults)
    assert scored.num_rows == faults.num_rows and scored["logit"].null_count == faults.num_rows


def test_a_checkpoint_that_is_another_than_the_run_was_planned_for_is_refused(tiny: Path) -> None:
    here, planned = describe(tiny).digest, "cafe" * 8
    with pytest.raises(ModelError, match=f"is {planned} where this run was started, and {here} where it is loaded"):
        ScoreActor([(str(tiny), planned)], device="cpu", threads=1, batch_size=4)

"""Laws of the samples."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from mole.errors import SettingsError
from pipeline.tune.data.samples import Sample, capped, cut, load, read_manifest
from tests.pipeline.tune.conftest import EACH, SOURCES


def test_every_row_is_a_sample_with_its_label(manifest: Path) -> None:
    samples = read_manifest(manifest)
    assert Counter((sample.source, sample.label) for sample in samples) == {
        (source, int(label == "fake")): EACH for source, label in SOURCES
    }


def test_a_split_source_is_named_by_its_generators(manifest: Path) -> None:
    sources = {sample.source for sample in read_manifest(manifest, split=["painter"])}
    assert sources == {"photos", "holiday", "dreamer", "painter-0", "painter-1"}


def test_a_grid_gives_one_cell_and_all_four_get_their_turn(manifest: Path) -> None:
    cells = [sample.cell for sample in read_manifest(manifest, grids=["painter"]) if sample.source == "painter"]
    assert len(cells) == EACH
    assert set(cells) == {0, 1, 2, 3}


def test_four_cells_make_the_grid() -> None:
    grid_3HW = np.arange(3 * 8 * 12, dtype=np.uint8).reshape(3, 8, 12)
    top, bottom = (np.concatenate([cut(grid_3HW, cell), cut(grid_3HW, cell + 1)], axis=2) for cell in (0, 2))
    assert np.array_equal(np.concatenate([top, bottom], axis=1), grid_3HW)


def test_a_cell_is_cut_when_it_is_loaded(manifest: Path) -> None:
    path = read_manifest(manifest)[0].uri
    assert load(Sample(path, 0, "photos")).shape == (3, 72, 96)
    assert torch.equal(load(Sample(path, 0, "photos", cell=3)), load(Sample(path, 0, "photos"))[:, 36:, 48:])


def test_a_cap_keeps_so_many_of_each_source_in_their_order(manifest: Path) -> None:
    samples = read_manifest(manifest)
    kept = capped(samples, 4, seed=0)
    assert Counter(sample.source for sample in kept) == {source: 4 for source, _ in SOURCES}
    assert kept == [sample for sample in samples if sample in kept]
    assert kept == capped(samples, 4, seed=0)
    assert kept != capped(samples, 4, seed=1)


def test_a_cap_above_all_keeps_all(manifest: Path) -> None:
    assert capped(read_manifest(manifest), EACH, seed=0) == read_manifest(manifest)


def test_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is no file"):
        read_manifest(tmp_path / "none.csv")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label,generator\na.png,real,x\n")
    with pytest.raises(SettingsError, match="lacks {'source'}"):
        read_manifest(tmp_path / "m.csv")


def test_a_label_that_is_neither_is_refused(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("path,label,generator,source\na.png,maybe,x,y\n")
    with pytest.raises(SettingsError, match="'a.png' must be real or fake, got 'maybe'"):
        read_manifest(tmp_path / "m.csv")


def test_a_broken_image_stops_the_training(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"<html>")
    with pytest.raises(SettingsError, match="not_an_image"):
        load(Sample(str(tmp_path / "a.jpg"), 0, "photos"))

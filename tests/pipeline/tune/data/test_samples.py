"""Laws of the samples."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from mole.errors import SettingsError
from pipeline.tune.data.samples import Sample, capped, crop_cell, from_table, load, read_manifest, to_table
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
    top, bottom = (
        np.concatenate([crop_cell(grid_3HW, cell), crop_cell(grid_3HW, cell + 1)], axis=2) for cell in (0, 2)
    )
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


def test_a_cap_may_count_each_generator_of_a_source(manifest: Path) -> None:
    kept = capped(read_manifest(manifest), 2, seed=0, parts=True)
    assert Counter((sample.source, sample.part) for sample in kept) == {
        (source, f"{source}-{number}"): 2 for source, _ in SOURCES for number in (0, 1)
    }


def write(folder: Path, *rows: str) -> Path:
    """Write a manifest with kinds."""
    (folder / "m.csv").write_text("\n".join(["path,label,generator,source,kind", *rows]) + "\n")
    return folder / "m.csv"


def test_manifests_are_read_one_after_the_other_each_from_its_own_folder(manifest: Path, tmp_path: Path) -> None:
    more = write(tmp_path, "a.png,real,photo,phones,photo-phone")
    samples = read_manifest(manifest, more)
    assert samples[:-1] == read_manifest(manifest)
    assert samples[-1] == Sample(str(tmp_path / "a.png"), 0, "phones", part="photo", content="photo")


def test_a_source_is_split_by_generator_and_held_out_as_a_whole(manifest: Path) -> None:
    samples = read_manifest(manifest, split=["painter"])
    told = {(sample.source, sample.collection) for sample in samples if sample.label}
    assert told == {("dreamer", "dreamer"), ("painter-0", "painter"), ("painter-1", "painter")}
    assert all(sample.collection == sample.source for sample in samples if not sample.label)


def test_content_is_what_the_list_says_and_else_what_a_real_is_called(tmp_path: Path) -> None:
    rows = ["a,real,photo,x,digital-art", "b,real,photo,x,", "c,fake,photo,y,", "d,real,human,x,photo-and-drawing"]
    assert [sample.content for sample in read_manifest(write(tmp_path, *rows))] == ["art", "photo", "", ""]


def test_the_edges_of_a_marked_source_are_cut_off_and_no_other(manifest: Path) -> None:
    plain, cut_ = read_manifest(manifest), read_manifest(manifest, crop_edges={"painter": 0.125})
    for before, after in zip(plain, cut_, strict=True):
        whole_3HW = load(before)
        inner_3HW = whole_3HW[:, 9:-9, 12:-12] if before.source == "painter" else whole_3HW
        assert torch.equal(load(after), inner_3HW)


def test_of_a_cell_its_own_edges_are_cut_off(manifest: Path) -> None:
    sample = read_manifest(manifest)[0]
    inner_3HW = load(Sample(sample.uri, 0, "photos", cell=1, edge=0.25))
    assert torch.equal(inner_3HW, load(sample)[:, 9:-45, 60:-12])


def test_only_those_with_a_seam_are_grids_where_some_are(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for name, panels in (("one.png", 1), ("four.png", 2)):
        coarse = draw.integers(0, 256, (panels, panels, 3), np.uint8)
        smooth = Image.fromarray(np.linspace(0, 90, 96).astype(np.uint8)[None].repeat(96, 0)).convert("RGB")
        flat = Image.fromarray(coarse).resize((96, 96), Image.Resampling.NEAREST)
        Image.blend(flat, smooth, 0.3).save(tmp_path / name)
    (tmp_path / "page.png").write_bytes(b"<html>")
    listed = write(tmp_path, *(f"{name}.png,fake,x,gallery," for name in ("one", "four", "page")))
    assert [sample.cell for sample in read_manifest(listed, detect_grids=["gallery"])] == [None, 1, None]
    assert [sample.cell for sample in read_manifest(listed, detect_grids=["other"])] == [None] * 3


def test_a_table_gives_back_what_it_was_made_of(manifest: Path) -> None:
    samples = read_manifest(manifest, split=["painter"], grids=["dreamer"], crop_edges={"photos": 0.1})
    samples.append(Sample("s3://shard", 1, "x", "pair", 7, 9, artefact="upsampling", collection="y", content="art"))
    assert from_table(to_table(samples)) == samples
    assert from_table(to_table([])) == []


def test_a_table_that_was_written_before_is_read_with_what_it_has(manifest: Path) -> None:
    samples = read_manifest(manifest, grids=["painter"])
    old = to_table(samples).select(["uri", "label", "source", "group", "offset", "length", "cell"])
    plain = [Sample(s.uri, s.label, s.source, cell=s.cell) for s in samples]
    assert from_table(old) == plain
    joined = pa.concat_tables([old, to_table(samples)], promote_options="default")
    assert from_table(joined) == plain + samples


def test_no_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="is not a file"):
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

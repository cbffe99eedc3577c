"""Laws of the pair writer: pairs that differ only by the autoencoder."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mole.errors import ModelError, SettingsError
from pipeline.tune.data.autoencoder import open_autoencoder
from pipeline.tune.data.encoding import encoding_of
from pipeline.tune.data.layout import recognise
from pipeline.tune.data.pair_writer import OpenReconstructor, PairWriter, finished_pairs, pair_list, write_pairs
from pipeline.tune.data.samples import Sample
from pipeline.tune.data.upsampling import PillowResampler
from tests.pictures import picture


@pytest.fixture(scope="module")
def photos(shared: Path) -> list[Sample]:
    """Three photographs and one that is cut."""
    return [Sample(str(path), 0, "coco") for path in sorted((shared / "data/images/coco").rglob("*.jpg"))[:3]]


def taef2(shared: Path) -> OpenReconstructor:
    """Opens the tiny autoencoder."""
    return partial(open_autoencoder, str(shared / "weights"))


def test_a_pair_shares_size_quality_and_subsampling_with_its_photograph(
    photos: list[Sample], shared: Path, tmp_path: Path
) -> None:
    maker = PairWriter(str(tmp_path), taef2(shared), 96, "cpu")
    assert maker.make(photos[0], "a.jpg")["status"] == "ok"
    own = encoding_of(Path(photos[0].uri).read_bytes(), "jpeg")
    sizes = set()
    for folder in ("0_real", "1_fake"):
        data = (tmp_path / folder / "a.jpg").read_bytes()
        told = encoding_of(data, "jpeg")
        assert (told.quality, told.subsampling) == (own.quality, own.subsampling)
        with Image.open(tmp_path / folder / "a.jpg") as image:
            sizes.add(image.size)
            assert min(image.size) == 96
    assert len(sizes) == 1


def test_a_pair_shows_one_picture_that_is_not_the_same(photos: list[Sample], shared: Path, tmp_path: Path) -> None:
    PairWriter(str(tmp_path), taef2(shared), 128, "cpu").make(photos[1], "a.jpg")
    real, fake = (np.asarray(Image.open(tmp_path / folder / "a.jpg"), np.float32) for folder in ("0_real", "1_fake"))
    assert 0.5 < np.abs(real - fake).mean() < 20


@pytest.mark.parametrize("data", [b"", b"<html>", picture(1)[:300]])
def test_a_fault_gives_no_pair_and_is_reported(data: bytes, shared: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(data)
    maker = PairWriter(str(tmp_path / "out"), taef2(shared), 96, "cpu")
    assert maker.make(Sample(str(tmp_path / "bad.jpg"), 0, "x"), "a.jpg")["status"] != "ok"
    assert maker.make(Sample(str(tmp_path / "gone.jpg"), 0, "x"), "b.jpg")["status"] == "missing"
    assert finished_pairs(str(tmp_path / "out")) == set()


def test_the_list_gives_each_pair_a_group_and_keeps_a_declared_one() -> None:
    pairs = {
        "b.jpg": Sample("/b", 0, "coco"),
        "a.jpg": Sample("/a", 0, "flickr", "series-7", collection="web", content="photo"),
    }
    assert pair_list(pairs, PillowResampler()).decode().splitlines() == [
        "uri,label,generator,group,collection,kind,artefact",
        "0_real/a.jpg,real,flickr,series-7,web,photo,",
        "1_fake/a.jpg,fake,resampled,series-7,web,photo,upsampling",
        "0_real/b.jpg,real,coco,b,coco,,",
        "1_fake/b.jpg,fake,resampled,b,coco,,upsampling",
    ]


def test_a_run_makes_what_is_missing_and_its_folder_is_a_layout(
    local_ray: None, photos: list[Sample], shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the workers stay in their own folder
    (tmp_path / "cut.jpg").write_bytes(Path(photos[0].uri).read_bytes()[:900])
    cut, output = Sample(str(tmp_path / "cut.jpg"), 0, "coco"), "pairs"

    def run(*samples: Sample) -> tuple[int, int, int]:
        made = write_pairs(samples, output, taef2(shared), largest=96)
        return made.pairs, made.made, made.faults.total()

    assert run(photos[0], cut, Sample("/ignored.png", 1, "flux")) == (1, 1, 1)
    (before,) = (tmp_path / "pairs/1_fake").iterdir()
    written = before.stat().st_mtime_ns
    assert run(*photos, cut) == (3, 2, 1)
    assert run(*photos) == (3, 0, 0)
    assert before.stat().st_mtime_ns == written
    layout = recognise(output)
    assert [(sample.label, sample.source) for sample in layout.samples] == [(0, "coco"), (1, "taef2")] * 3
    assert len({sample.group for sample in layout.samples}) == 3
    assert [(sample.collection, sample.artefact) for sample in layout.samples[:2]] == [
        ("coco", ""),
        ("coco", "reconstruction"),
    ]


def test_nothing_real_is_refused(shared: Path, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no photograph among 1 samples"):
        write_pairs([Sample("/a.png", 1, "flux")], str(tmp_path), taef2(shared), largest=96)


def test_an_output_that_no_worker_reaches_is_refused(shared: Path) -> None:
    with pytest.raises(SettingsError, match="memory://pairs' cannot be reached by workers"):
        write_pairs([Sample("/a.png", 0, "x")], "memory://pairs", taef2(shared), largest=96)


def test_an_autoencoder_that_is_none_is_refused_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="contains neither"):
        write_pairs([Sample("/a.png", 0, "x")], str(tmp_path), partial(open_autoencoder, str(tmp_path)), largest=96)

"""Laws of alignment: afterwards the files tell nothing."""

import io
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import Tensor

from mole.errors import SettingsError
from pipeline.tune.data.align import Aligner, Form, aligner, crop_and_resize
from pipeline.tune.data.encoding import encoding_of
from pipeline.tune.data.leak import measure
from pipeline.tune.data.samples import Sample, load, to_table
from pipeline.tune.data.survey import SURVEY, survey_rows

ONE = Aligner((Form("jpeg", 83, 0, 90, 60),), 60)


def pixels(high: int, wide: int, seed: int = 0) -> Tensor:
    """Draw a picture, uint8 (3, high, wide)."""
    draw = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (3, high, wide), dtype=torch.uint8, generator=draw)


def surveyed(samples: list[Sample]) -> pa.Table:
    return survey_rows(to_table(samples).append_column("place", pa.array(range(len(samples)))))


def test_a_picture_gets_the_drawn_form() -> None:
    data = ONE.encoded(pixels(200, 200), 0)
    with Image.open(io.BytesIO(data)) as image:
        assert (image.format, image.size) == ("JPEG", (90, 60))
    told = encoding_of(data, "jpeg")
    assert (told.quality, told.subsampling) == (83, "4:4:4")
    assert ONE.apply(pixels(200, 200), 0).shape == (3, 60, 90)


def test_a_seed_decides_and_seeds_differ() -> None:
    forms = tuple(Form("jpeg", quality, 2, 64, 64) for quality in range(50, 90))
    many = Aligner(forms, 64)
    assert torch.equal(many.apply(pixels(80, 80), 3), many.apply(pixels(80, 80), 3))
    assert len({many.encoded(pixels(80, 80), seed) for seed in range(20)}) > 10


def test_a_size_above_what_the_others_have_is_not_drawn() -> None:
    reals = [{"status": "ok", "format": "jpeg", "quality": 90, "width": 1000, "height": 800}]
    fakes = [{"status": "ok", "format": "png", "width": 256, "height": 256}]
    tables = [pa.Table.from_pylist(rows, SURVEY) for rows in (reals, fakes)]
    assert aligner(*tables).apply(pixels(256, 256), 0).shape == (3, 256, 320)
    assert aligner(tables[0]).most_side == 800


def test_formats_that_are_not_written_become_the_nearest() -> None:
    told: list[dict[str, object]] = [
        {"status": "ok", "format": name, "quality": None, "width": 64, "height": 64} for name in ("bmp", "avif", "webp")
    ]
    told.append({"status": "truncated", "format": "jpeg"})
    forms = aligner(pa.Table.from_pylist(told, SURVEY)).forms
    assert [form.format for form in forms] == ["png", "webp", "webp"]


def test_no_photograph_is_refused() -> None:
    with pytest.raises(SettingsError, match="none of 0 is readable"):
        aligner(SURVEY.empty_table())


@pytest.mark.parametrize(("size", "wanted"), [((40, 80), (60, 90)), ((60, 90), (60, 90)), ((500, 17), (20, 20))])
def test_any_picture_fits_any_size(size: tuple[int, int], wanted: tuple[int, int]) -> None:
    assert crop_and_resize(pixels(*size), *wanted).shape == (3, *wanted)


def test_what_fits_already_is_not_touched() -> None:
    assert torch.equal(crop_and_resize(pixels(60, 90), 60, 90), pixels(60, 90))


def test_after_alignment_the_files_of_real_images_give_nothing_away(shared: Path, tmp_path: Path) -> None:
    images = shared / "data/images"
    reals = sorted((images / "bsds500").rglob("*.jpg"))[:30] + sorted((images / "coco").rglob("*.jpg"))[:30]
    fakes = sorted((images / "dcsan-imagen/latent-diffusion").rglob("*.png"))[:60]
    samples = [Sample(str(path), label, "x") for label, paths in ((0, reals), (1, fakes)) for path in paths]
    labels, alone = [sample.label for sample in samples], [sample.uri for sample in samples]
    before = surveyed(samples)
    assert (measure(before, labels, alone).auc or 0) > 0.99
    align = aligner(before.slice(0, 60), before.slice(60))
    after = []
    for place, sample in enumerate(samples):
        (tmp_path / f"{place}.img").write_bytes(align.encoded(load(sample), place))
        after.append(Sample(str(tmp_path / f"{place}.img"), sample.label, "x"))
    auc = measure(surveyed(after), labels, alone).auc
    assert auc is not None and abs(auc - 0.5) < 0.15

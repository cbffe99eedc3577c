"""Laws of the survey: one row per sample, whatever its file is."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.data.split import NEAR_BITS
from pipeline.tune.data.survey import SURVEY, perceptual_hash, survey, survey_rows
from tests.pictures import faulty, picture, write_shard


def looked_at(*samples: Sample) -> list[dict[str, object]]:
    """Look at samples in this process."""
    table = survey_rows(to_table(samples).append_column("place", pa.array(range(len(samples)), pa.int64())))
    assert table.schema == SURVEY
    rows: list[dict[str, object]] = table.to_pylist()
    return rows


def test_a_row_says_what_the_file_is(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(picture(1))
    (row,) = looked_at(Sample(f"{tmp_path}/a.jpg", 0, "x"))
    size = len(picture(1))
    told = {"format": "jpeg", "quality": 75, "subsampling": "4:2:0", "width": 65, "height": 64, "bytes": size}
    assert {name: row[name] for name in told} == told
    assert row["bytes_per_pixel"] == pytest.approx(size / (64 * 65))
    assert (row["status"], row["exif"], row["software"]) == ("ok", False, None)


def test_every_fault_is_a_row_and_none_is_raised(tmp_path: Path) -> None:
    files = faulty()
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    samples = [Sample(f"{tmp_path}/{name}", 0, "x") for name in [*files, "gone.jpg"]]
    statuses = {
        sample.uri.rpartition("/")[2]: row["status"] for sample, row in zip(samples, looked_at(*samples), strict=True)
    }
    assert statuses == {
        "a.jpg": "ok",
        "cut.jpg": "truncated",
        "empty.jpg": "empty",
        "page.jpg": "not_an_image",
        "pixel.png": "too_small",
        "foreign.jpg": "unsupported",
        "text.txt": "not_an_image",
        "z.webp": "ok",
        "gone.jpg": "missing",
    }


def test_copies_have_one_digest_and_the_cells_of_a_grid_have_four(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.jpg").write_bytes(picture(5))
    whole = [Sample(f"{tmp_path}/{name}.jpg", 0, "x") for name in "ab"]
    cells = [Sample(f"{tmp_path}/a.jpg", 0, "x", cell=cell) for cell in range(4)]
    digests = [row["digest"] for row in looked_at(*whole, *cells)]
    assert digests[0] == digests[1]
    assert len(set(digests)) == 5
    assert looked_at(cells[3])[0]["height"] == 32


def test_an_image_in_a_shard_is_looked_at_alone(tmp_path: Path) -> None:
    shard = write_shard(tmp_path / "s.tar", {"0.jpg": picture(0), "1.jpg": picture(1)})
    (row,) = looked_at(Sample(str(shard), 0, "x", offset=512, length=len(picture(0))))
    assert (row["status"], row["bytes"]) == ("ok", len(picture(0)))


def test_a_photograph_stays_near_itself_after_a_new_encoding_and_another_size(shared: Path) -> None:
    near = []
    for path in sorted((shared / "data/images/coco").rglob("*.jpg"))[:20]:
        held = io.BytesIO()
        with Image.open(path) as image:
            image.convert("RGB").resize((image.width // 2, image.height // 2)).save(held, "JPEG", quality=60)
        with Image.open(path) as image, Image.open(held) as again:
            copy = tuple(perceptual_hash(np.asarray(each.convert("RGB")).transpose(2, 0, 1)) for each in (image, again))
        near.append((copy[0] ^ copy[1]).bit_count())
    assert sum(bits <= NEAR_BITS for bits in near) >= 19


def test_ray_gives_the_rows_of_this_process_in_the_samples_order(local_ray: None, manifest: Path) -> None:
    samples = [Sample(str(path), 0, "x") for path in sorted(manifest.parent.glob("*.png"))] * 4
    assert survey(samples).to_pylist() == looked_at(*samples)


def test_nothing_to_survey_is_an_empty_table() -> None:
    assert survey([]).schema == SURVEY
    assert survey([]).num_rows == 0

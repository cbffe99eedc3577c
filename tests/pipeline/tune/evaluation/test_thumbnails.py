"""Laws of the mistakes that a report shows."""

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.tune.data.samples import Sample
from pipeline.tune.evaluation.logits import Logits
from pipeline.tune.evaluation.thumbnails import SIDE, Mistake, mistakes, thumbnail
from tests.judged import labelled
from tests.pictures import picture


def test_mistakes_come_most_confident_first_and_no_more_than_asked(tmp_path: Path) -> None:
    samples = labelled(tmp_path, each=2)[:8]
    logits = np.array([0.0, 5.0, 3.0, 9.0, 1.0, -2.0, -1.0, np.nan])
    labels = np.array([sample.label for sample in samples])
    table = Logits(np.array([sample.source for sample in samples]), labels, {"shipped": logits}, {})
    reals = mistakes(samples, table, "shipped", 2.0, generated=False, limit=2)
    fakes = mistakes(samples, table, "shipped", 0.5, generated=True, limit=9)
    assert [mistake.logit for mistake in reals] == [9.0, 5.0]
    assert [mistake.logit for mistake in fakes] == [-2.0, -1.0]
    assert reals[0].sample == samples[3]


def test_a_thumbnail_is_a_small_jpeg_within_the_page(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(picture(3, form="png", side=900))
    kind, _, data = thumbnail(Sample(str(file), 0, "photos")).partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data))) as small:
        assert (kind, small.format, max(small.size)) == ("data:image/jpeg;base64", "JPEG", SIDE)


def test_a_mistake_has_the_address_of_its_image_where_a_browser_can_open_it(tmp_path: Path) -> None:
    addresses = {
        str(tmp_path / "a b.jpg"): f"file://{tmp_path}/a%20b.jpg",
        "https://images.example/1.jpg": "https://images.example/1.jpg",
        "s3://bucket/1.jpg": "",
        "javascript://x": "",
    }
    assert all(Mistake(Sample(uri, 0, "photos"), 1.0, "").address == own for uri, own in addresses.items())
    assert Mistake(Sample("shard.tar", 0, "photos", offset=512, length=9), 1.0, "").address == ""


def test_what_cannot_be_read_any_more_has_no_thumbnail(tmp_path: Path) -> None:
    assert thumbnail(Sample(str(tmp_path / "gone.jpg"), 0, "photos")) == ""

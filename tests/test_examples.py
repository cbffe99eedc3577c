"""Laws of the sample shards: small, licensed image by image, readable, and damaged exactly where they say so."""

import io
import json
import tarfile
from collections import defaultdict
from pathlib import Path

import pytest
import torch

from examples import build
from mole.checkpoint import load_checkpoint
from mole.inference.scoring import SingleModelScorer
from mole.views.view import view
from pipeline.images.decode import Bounds, Fault, Picture, decode
from pipeline.records import Status
from pipeline.registry import locate

FORMS = ("jpg", "webp", "png")
BOUNDS = Bounds(max_bytes=1 << 24, max_pixels=100_000_000)
DAMAGE = {
    "damaged-cut": Status.TRUNCATED,
    "damaged-cut-webp": Status.TRUNCATED,
    "damaged-html": Status.NOT_AN_IMAGE,
    "damaged-empty": Status.EMPTY,
    "damaged-small": Status.TOO_SMALL,
}

NOTED = {
    "Shitao--OmniGen-v1": (236.25, 2.822),
    "validation_0a7d56b2fb989fe8": (8.67, -2.173),
    "train_000af180a3163f17": (108.18, -2.370),
    "Pieter-de-Hooch-3": (81.32, 2.775),
    "Artemisia-Gentileschi-2": (80.85, 2.641),
    "warp-ai--wuerstchen": (55.60, 2.588),
    "John-Atkinson-Grimshaw-1": (97.40, 2.952),
    "train_000afe7726e121ea": (15.40, -1.797),
    "amused--amused-512": (226.89, 2.658),
}
"""Of some samples, the mean of the view's pixels and the shipped detector's logit in float32, noted on 2026-11-27."""


@pytest.fixture(scope="module")
def samples(root: Path) -> dict[str, dict[str, bytes]]:
    """Members by key and extension, of every sound member of the shards."""
    found: dict[str, dict[str, bytes]] = defaultdict(dict)
    for shard in sorted((root / "examples" / "shards").glob("*.tar")):
        with tarfile.open(shard, "r|", ignore_zeros=False) as archive:
            try:
                for member in archive:
                    key, _, extension = member.name.partition(".")
                    content = archive.extractfile(member)
                    assert content is not None
                    found[key][extension] = content.read()
            except tarfile.ReadError:
                assert shard.name == "sample-00002.tar", f"{shard.name} is torn"
    return found


def test_the_shards_are_small(root: Path) -> None:
    assert sum(path.stat().st_size for path in (root / "examples").rglob("*.tar")) <= 5_000_000


def test_every_image_tells_its_licence_and_stands_in_the_readme(
    root: Path, samples: dict[str, dict[str, bytes]]
) -> None:
    page = (root / "examples" / "README.md").read_text(encoding="utf-8")
    for key, members in samples.items():
        if not key.startswith("damaged-") and "json" in members:
            told = json.loads(members["json"])
            assert told["licence"] in ("Open Images (CC-BY 2.0 per image)", "MIT", "Apache-2.0")
            assert f"| {key} | {told['label']} |" in page


def test_images_decode_and_damaged_ones_are_the_fault_that_they_say(samples: dict[str, dict[str, bytes]]) -> None:
    for key, members in samples.items():
        for content in (members[extension] for extension in ("jpg", "png", "webp") if extension in members):
            decoded = decode(content, BOUNDS)
            expected = DAMAGE.get(key)
            if expected is None:
                assert isinstance(decoded, Picture), f"{key}: {decoded}"
            else:
                assert isinstance(decoded, Fault), key
                assert decoded.status == expected


def test_there_are_both_labels_and_every_damage(samples: dict[str, dict[str, bytes]]) -> None:
    labels = [json.loads(members["json"]).get("label") for members in samples.values() if "json" in members]
    assert labels.count("real") >= 10
    assert labels.count("fake") >= 10
    assert {*DAMAGE, "damaged-none"} <= samples.keys()
    assert not {"jpg", "png", "webp"} & samples["damaged-none"].keys()


def test_the_last_shard_is_torn_in_the_middle_of_a_member(root: Path) -> None:
    content = (root / "examples" / "shards" / "sample-00002.tar").read_bytes()
    with tarfile.open(fileobj=io.BytesIO(content), mode="r|") as archive, pytest.raises(tarfile.ReadError):
        archive.list(verbose=False)


def test_building_again_gives_the_same_samples(root: Path, shared: Path) -> None:
    rebuilt = build.sound(shared / "data")
    page = (root / "examples" / "README.md").read_text(encoding="utf-8")
    assert build.readme(page, rebuilt) == page
    first, last = (root / "examples" / "shards" / f"sample-0000{number}.tar" for number in (0, 2))
    contents = list(build.shards(rebuilt))
    assert [len(content) for content in contents[:1]] == [first.stat().st_size]
    assert len(contents[2]) == last.stat().st_size


def test_the_shipped_detector_sees_and_judges_the_samples_as_it_was_noted(
    samples: dict[str, dict[str, bytes]],
) -> None:
    loaded = load_checkpoint(locate("embedded"))
    views = []
    for key in NOTED:
        [picture] = [
            decode(body, BOUNDS, loaded.preprocess.region) for name, body in samples[key].items() if name in FORMS
        ]
        assert isinstance(picture, Picture)
        views.append(torch.from_numpy(view(picture.pixels_3HW, loaded.preprocess)))
    logits = SingleModelScorer(loaded, "cpu", precision="float32").score(torch.stack(views)).logit
    means = [float(view_3SS.float().mean()) for view_3SS in views]
    assert means == pytest.approx([mean for mean, _ in NOTED.values()], abs=0.05)
    assert logits.tolist() == pytest.approx([logit for _, logit in NOTED.values()], abs=0.01)

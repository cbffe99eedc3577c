"""Laws of the detector at hand: the numbers of a scan for the same bytes, in any batch; a bad image is a result."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image

from mole import Detector
from mole.config import DetectorConfig, describe
from mole.errors import SettingsError
from mole.inference.scoring import RESCORE_MARGIN
from mole.views.preprocess import Preprocess
from pipeline.images.decode import Bounds
from pipeline.records import Status
from pipeline.registry import Registry
from pipeline.scan.reading.fetch import fetch
from pipeline.scan.reading.image import ReadOptions
from pipeline.scan.reading.source import Source
from pipeline.scan.steps.prepare import decode_in_process, prepare
from pipeline.scan.steps.score import ScoreActor
from pipeline.scan.steps.verdict import conclude
from tests.pictures import faulty, picture, write_shard
from tests.pipeline.library.test_image import FILES
from tests.tiny import tiny_checkpoint

CLOSE = 1e-4
"""Logits: what batches of another size may round."""


@pytest.fixture(scope="module")
def detector(tiny: Path) -> Detector:
    """A tiny one."""
    return Detector.load(str(tiny), device="cpu")


def scanned(model: Path, images: dict[str, bytes], folder: Path) -> tuple[list[dict[str, object]], float]:
    """Take images through a scan's own steps; also tells how far its precision may move a logit."""
    described = describe(model)
    shard = write_shard(folder / "a.tar", images)
    fetched = pa.concat_tables(fetch(list(Source([str(shard)]).units()), ReadOptions(64 << 20)))
    decode = decode_in_process(described.preprocess, Bounds(64 << 20, 100_000_000, 16))
    actor = ScoreActor([(str(model), described.digest)], device="cpu", threads=1, batch_size=16)
    scored = actor(prepare(fetched, described.preprocess, decode))
    fingerprint = described.preprocess.fingerprint
    rows = conclude(scored, {described.digest: described.calibration}, fingerprint).to_pylist()
    return rows, CLOSE if actor.scorer.precision == "float32" else RESCORE_MARGIN


MIDDLE = DetectorConfig(blocks=(1,), reads=(2, 3), head="kernel", components=8, centres=30)


@pytest.mark.parametrize(
    ("view", "config"),
    [("resize", None), ("crop", None), ("crop-4", None), ("texture-2", None), ("resize+crop", MIDDLE)],
)
def test_a_detector_says_what_a_scan_says_of_the_same_bytes(
    view: str, config: DetectorConfig | None, tmp_path: Path
) -> None:
    model = tiny_checkpoint(tmp_path / "model", preprocess=Preprocess.named(view), detector=config)
    sound = {f"{kind}.jpg": make() for kind, make in FILES.items()}
    images = sound | {f"{number}.jpg": picture(number, side=300) for number in range(4)} | faulty()
    del images["text.txt"]  # no image to a shard
    rows, drift = scanned(model, images, tmp_path)
    results = Detector.load(str(model), device="cpu").score_batch(images.values())
    assert [row["status"] for row in rows] == [result.status for result in results]
    assert [row["verdict"] for row in rows] == [result.verdict for result in results]
    assert [row["detail"] for row in rows] == [result.detail for result in results]
    assert len({row["verdict"] for row in rows}) > 1
    for row, result in zip(rows, results, strict=True):
        for name in ("logit", "probability", "gates"):
            own, theirs = getattr(result, name), row[name]
            assert (own is None) == (theirs is None)
            assert own is None or np.allclose(own, np.array(theirs), atol=drift)


def test_images_of_several_kinds_come_back_in_their_order(detector: Detector, tmp_path: Path) -> None:
    data = picture(0, form="png", side=300)
    (tmp_path / "a.png").write_bytes(data)
    opened = Image.open(io.BytesIO(data))
    held = io.BytesIO(data)
    results = detector.score_batch([data, b"nothing", tmp_path / "a.png", opened, np.asarray(opened), held])
    assert [result.status for result in results] == [Status.OK, Status.NOT_AN_IMAGE, *[Status.OK] * 4]
    with (tmp_path / "a.png").open("rb") as file:
        assert detector.score(file).verdict == results[0].verdict
    logits = [result.logit for result in results if result.logit is not None]
    np.testing.assert_allclose(logits, logits[0], atol=CLOSE)
    assert results[1].verdict is None and results[1].probability is None and results[1].detail
    assert detector.score(data).logit == pytest.approx(logits[0], abs=CLOSE)
    assert detector.score_batch([]) == [] and detector.score_batch([b""])[0].status is Status.EMPTY


def test_a_batch_is_taken_as_it_is_needed_and_no_logit_depends_on_it(detector: Detector) -> None:
    images = [picture(number) for number in range(20)]
    together = detector.score_batch(iter(images))
    apart = [detector.score(image) for image in images[::7]]
    assert [one.verdict for one in together[::7]] == [one.verdict for one in apart]
    np.testing.assert_allclose([one.logit for one in together[::7]], [one.logit for one in apart], atol=CLOSE)  # type: ignore[arg-type]


def test_a_probability_is_that_of_the_prevalence(tiny: Path, detector: Detector) -> None:
    often = Detector.load(str(tiny), device="cpu", prevalence=0.5).score(picture(1))
    seldom = detector.score(picture(1))
    assert often.verdict == seldom.verdict and often.logit == seldom.logit
    assert often.probability is not None and seldom.probability is not None
    assert often.probability / (1 - often.probability) == pytest.approx(
        9 * seldom.probability / (1 - seldom.probability), rel=1e-4
    )


@pytest.mark.parametrize(
    ("given", "told"),
    [
        *(
            ({"prevalence": value}, "prevalence must be greater than 0 and less than 1")
            for value in (0, 1, float("nan"), "a", None)
        ),
        ({"precision": "x"}, "precision must be 'float32' or 'bfloat16', or None for the faster one, got 'x'"),
        ({"device": "gpu"}, "device must be 'auto', 'cpu', 'cuda' or 'cuda:' and a number, got 'gpu'"),
        ({"device": None}, "device must be"),
        ({"device": "cuda:99"}, "device 'cuda:99', but this machine has "),
    ],
)
def test_a_setting_that_is_none_is_refused(tiny: Path, given: dict[str, Any], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        Detector.load(tiny, **given)


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_gpu_that_is_not_there_is_refused(tiny: Path) -> None:
    with pytest.raises(SettingsError, match="device 'cuda', but this machine has no GPU"):
        Detector.load(tiny, device="cuda")


def test_one_image_and_several_are_not_taken_for_each_other(detector: Detector) -> None:
    data = picture(0)
    array = np.zeros((64, 64, 3), np.uint8)
    several: list[Any] = [[data], (data,), iter([data]), {1, 2}]
    for images in several:
        with pytest.raises(TypeError, match="score takes one image, got .*; score_batch takes several"):
            detector.score(images)
    one: list[Any] = ["a.jpg", data, Path("a.jpg"), bytearray(data), io.BytesIO(data), array, array[..., 0]]
    for image in [*one, Image.fromarray(array)]:
        with pytest.raises(TypeError, match="score_batch takes several images, got one"):
            detector.score_batch(image)
    neither: list[Any] = [3, None, {"a.jpg": data}]
    for image in neither:
        with pytest.raises(TypeError, match="score_batch takes a list or another iterable"):
            detector.score_batch(image)
    with pytest.raises(TypeError, match="image 1: an image must be .* got int"):
        detector.score_batch([data, 3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"image 0: an array must have the shape .* got an array of shape \(2, 2, 2\)"):
        detector.score_batch([np.zeros((2, 2, 2), np.uint8)])
    assert [result.status for result in detector.score_batch(np.stack([array, array]))] == ["ok", "ok"]


def test_a_version_of_a_registry_is_a_model(tiny: Path, detector: Detector, tmp_path: Path) -> None:
    registry = Registry(str(tmp_path / "models"))
    digest = registry.add(tiny, {})
    assert Detector.load(registry.version(digest)).score(picture(0)).verdict == detector.score(picture(0)).verdict


def test_maps_split_the_logit_and_an_image_that_is_none_has_no_map(detector: Detector) -> None:
    [heat] = detector.heat_map(picture(0, side=300))
    assert heat.logit == pytest.approx(detector.score(picture(0, side=300)).logit, abs=CLOSE)
    with pytest.raises(SettingsError, match="no map of an image that is not_an_image"):
        detector.heat_map(b"nothing")

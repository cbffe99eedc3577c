"""Laws of view requests."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mole.errors import SettingsError
from mole.views.preprocess import Preprocess
from mole.views.view import view
from pipeline.tune.data.align import Aligner, Form
from pipeline.tune.data.samples import Sample, load, to_table
from pipeline.tune.training.sampling import PADDING, DatasetSpec, sample_epochs
from pipeline.tune.training.view_requests import (
    AUGMENTED,
    ViewRequest,
    augmentation_seed,
    augmented_views,
    clean_views,
    make_views,
    view_keys,
)

SPEC = Preprocess(mode="resize")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """Four noisy pictures; the last two are a photograph and its copy, which share a group."""
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        noise = np.random.default_rng(number).integers(0, 256, (40, 60, 3), np.uint8)
        Image.fromarray(noise).resize((300, 260)).save(folder / f"{number}.png")
    files = [str(folder / f"{number}.png") for number in range(3)]
    alone = [Sample(files[0], 0, "photos"), Sample(files[1], 1, "made")]
    return [*alone, Sample(files[2], 0, "photos", "pair"), Sample(files[2], 1, "made", "pair")]


def test_any_share_of_a_step_holds_the_same_views_as_the_whole(samples: list[Sample]) -> None:
    plan = sample_epochs([(sample.label, sample.source) for sample in samples], epochs=1, steps=2, batch_size=4, seed=0)
    made = DatasetSpec(to_table(samples), SPEC)
    whole = augmented_views({"id": np.arange(8)}, plan, made, seed=5)
    halves = [augmented_views({"id": np.arange(4) + 4 * half}, plan, made, seed=5) for half in (0, 1)]
    assert np.array_equal(whole["pixels"], np.concatenate([half["pixels"] for half in halves]))
    assert whole["step"].tolist() == [0] * 4 + [1] * 4
    assert whole["label"].tolist() == [samples[place].label for place in plan.sample_K]
    assert whole["pixels"].shape == (8, 3, 224, 224) and whole["pixels"].dtype == np.uint8


def test_a_pair_is_augmented_alike_and_every_variant_differs(samples: list[Sample]) -> None:
    real, made = samples[2:]
    assert augmentation_seed(real, 0, 7) == augmentation_seed(made, 0, 7)
    seeds = {
        augmentation_seed(real, 0, 7),
        augmentation_seed(real, 1, 7),
        augmentation_seed(real, 0, 8),
        augmentation_seed(samples[0], 0, 7),
    }
    assert len(seeds) == 4


def test_a_clean_view_is_what_a_scan_sees_and_the_rest_is_padding(samples: list[Sample]) -> None:
    made = clean_views({"id": np.arange(2, 6)}, DatasetSpec(to_table(samples), SPEC))
    assert made["sample_index"].tolist() == [2, 3, PADDING, PADDING]
    assert np.array_equal(made["pixels"][0], view(load(samples[2]).numpy(), SPEC))
    assert not made["pixels"][2:].any()
    assert clean_views({"id": np.arange(8, 10)}, DatasetSpec(to_table(samples), SPEC))["sample_index"].tolist() == [
        PADDING,
        PADDING,
    ]


def test_an_image_that_has_gone_stops_the_run_by_name(samples: list[Sample], tmp_path: Path) -> None:
    (tmp_path / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(SettingsError, match=r"cut\.jpg.*truncated"):
        clean_views({"id": np.arange(1)}, DatasetSpec(to_table([Sample(str(tmp_path / "cut.jpg"), 0, "photos")]), SPEC))


def test_an_aligned_pair_has_one_form_in_training_and_in_validation(samples: list[Sample]) -> None:
    made = DatasetSpec(
        to_table(samples), SPEC, Aligner((Form("jpeg", 40, 2, 120, 90), Form("jpeg", 90, 2, 200, 240)), 200)
    )
    pair = clean_views({"id": np.arange(2, 4)}, made)["pixels"]
    assert np.array_equal(pair[0], pair[1])
    assert not np.array_equal(
        pair[0], clean_views({"id": np.arange(2, 3)}, DatasetSpec(to_table(samples), SPEC))["pixels"][0]
    )


def test_a_resized_view_has_one_key_whatever_other_views_an_image_is_scored_by(samples: list[Sample]) -> None:
    table, digests = to_table(samples), [str(number) for number in range(4)]
    alone, both = DatasetSpec(table, SPEC), DatasetSpec(table, Preprocess.named("resize+crop"))
    requests = [
        ViewRequest(0, AUGMENTED, 1),
        ViewRequest(0, AUGMENTED, 1, 1),
        ViewRequest(1, "native"),
        ViewRequest(1, "native", crop=1),
    ]
    resized, cropped = requests[::2], requests[1::2]
    assert view_keys(resized, alone, digests, seed=3) == view_keys(resized, both, digests, seed=3)
    assert np.array_equal(make_views(resized, alone, seed=3), make_views(resized, both, seed=3))
    plain_crop = DatasetSpec(table, Preprocess(mode="crop"))
    assert len({*view_keys(requests, both, digests, seed=3), *view_keys(cropped, plain_crop, digests, seed=3)}) == 6

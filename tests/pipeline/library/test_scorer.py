"""Laws of the scorer: columns as Ray gives them, scores beside them, null and a reason where an image is none."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import ray.data
from PIL import Image

import mole
from mole.errors import SettingsError
from mole.inference.scoring import RESCORE_MARGIN
from tests.pictures import picture, samples, write_shard


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images of several sizes, one of them grey, and one that is none."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        (folder / f"{number}.png").write_bytes(picture(number, form="png", side=64 + number))
    Image.effect_noise((80, 70), 50).save(folder / "4.png")
    (folder / "5.txt").write_bytes(b"no image")
    return folder


def logits_of(scorer: mole.Scorer, files: list[Path]) -> list[float]:
    return [result.logit for result in scorer.detector.score_batch(files) if result.logit is not None]


@pytest.fixture(scope="module")
def scorer(tiny: Path) -> mole.Scorer:
    """A tiny one, on images."""
    return mole.Scorer(str(tiny), device="cpu")


def test_arrays_of_one_size_and_of_many_are_scored(folder: Path, scorer: mole.Scorer) -> None:
    files = [folder / f"{number}.png" for number in range(5)]
    arrays = [np.asarray(Image.open(file)) for file in files]
    wanted = logits_of(scorer, files)
    ragged = np.empty(5, object)
    ragged[:] = [*arrays[:4], arrays[4][None]]  # as Ray gives a grey image among coloured ones
    found = scorer({"image": ragged, "name": np.arange(5)})
    np.testing.assert_allclose(found["logit"], wanted, atol=RESCORE_MARGIN)
    assert list(found["name"]) == list(range(5)) and found["status"] == ["ok"] * 5
    uniform = scorer({"image": np.stack([arrays[0], arrays[0]])})
    np.testing.assert_allclose(uniform["logit"], [wanted[0]] * 2, atol=RESCORE_MARGIN)


def test_a_column_that_is_not_there_or_would_be_written_over_is_refused(scorer: mole.Scorer) -> None:
    with pytest.raises(SettingsError, match=r"column must be one of \['bytes'\], got 'image'"):
        scorer({"bytes": np.empty(0, object)})
    with pytest.raises(SettingsError, match=r"the columns \['status'\] exist already"):
        scorer({"image": np.empty(0, object), "status": np.empty(0)})


def test_a_value_that_is_no_image_is_a_row_with_a_reason(scorer: mole.Scorer) -> None:
    column = np.empty(6, object)
    column[:] = [None, float("nan"), 3, np.zeros((40, 40), bool), b"", picture(0)]
    found = scorer({"image": column})
    assert found["status"] == ["missing", "missing", "not_an_image", "unsupported", "empty", "ok"]
    assert found["detail"][:2] == ["no bytes in this column"] * 2 and "got int" in found["detail"][2]
    assert found["logit"][:5] == [None] * 5 and found["verdict"][5] is not None
    assert scorer({"image": np.full(2, np.nan)})["status"] == ["missing"] * 2


def test_a_scorer_travels_as_its_name_and_its_settings(tiny: Path) -> None:
    assert len(pickle.dumps((mole.Scorer, {"model": str(tiny), "column": "bytes"}))) < 500


def arrays_of(dataset: ray.data.Dataset) -> dict[str, Any]:
    """Take a dataset's first rows as `map_batches` hands them on."""
    batch = dataset.take_batch(5, batch_format="numpy")
    assert isinstance(batch, dict)
    return batch


@pytest.mark.usefixtures("local_ray")
def test_a_dataset_of_ray_is_scored_and_a_bad_image_is_null_with_a_reason(
    folder: Path, tiny: Path, scorer: mole.Scorer
) -> None:
    files = ray.data.read_binary_files(str(folder), include_paths=True)
    settings = {"model": str(tiny), "column": "bytes", "device": "cpu"}
    scored = files.map_batches(mole.Scorer, fn_constructor_kwargs=settings, batch_size=4, concurrency=1)
    rows = sorted(scored.take_all(), key=lambda row: str(row["path"]))
    wanted = scorer.detector.score_batch(sorted(folder.iterdir()))
    assert [row["verdict"] for row in rows] == [result.verdict for result in wanted]
    assert [row["status"] for row in rows] == ["ok"] * 5 + ["not_an_image"]
    assert rows[-1]["logit"] is None and rows[-1]["probability"] is None and rows[-1]["detail"]
    np.testing.assert_allclose(
        [row["logit"] for row in rows[:-1]], logits_of(scorer, sorted(folder.iterdir())), atol=RESCORE_MARGIN
    )


@pytest.mark.usefixtures("local_ray")
def test_a_shard_with_images_of_two_extensions_is_scored_whole(tiny: Path, tmp_path: Path) -> None:
    images = samples(3) | {f"{number}.webp": picture(number) for number in range(3, 6)}
    shard = write_shard(tmp_path / "a.tar", images)
    rows = ray.data.read_webdataset(str(shard), decoder=None, suffixes=["jpg"])
    settings = {"model": str(tiny), "column": "jpg", "device": "cpu"}
    scored = rows.map_batches(mole.Scorer, fn_constructor_kwargs=settings, batch_size=2, concurrency=1)
    found = sorted(scored.take_all(), key=lambda row: str(row["__key__"]))
    assert sorted(row["status"] for row in found) == ["missing"] * 3 + ["ok"] * 3
    assert all((row["verdict"] is None) == (row["status"] == "missing") for row in found)


@pytest.mark.usefixtures("local_ray")
def test_what_rays_readers_give_is_read(folder: Path, tmp_path: Path, scorer: mole.Scorer, tiny: Path) -> None:
    files = sorted(folder.glob("*.png"))
    images = ray.data.read_images(list(map(str, files)), include_paths=True, override_num_blocks=1)
    found = scorer(arrays_of(images))
    wanted = logits_of(scorer, [Path(path) for path in found["path"]])
    np.testing.assert_allclose(found["logit"], wanted, atol=RESCORE_MARGIN)
    shard = write_shard(tmp_path / "a.tar", samples(3))
    batch = arrays_of(ray.data.read_webdataset(str(shard), decoder=None, override_num_blocks=1))
    assert mole.Scorer(str(tiny), column="jpg", device="cpu")(batch)["status"] == ["ok"] * 3

"""Laws of the collection."""

import io
from pathlib import Path
from typing import Any

import fsspec
import pyarrow.parquet as pq
import pytest

from mole.errors import SettingsError
from pipeline.tune.data.collection import TEST, VALIDATION, Collection, collect
from pipeline.tune.data.settings import SampleSettings
from pipeline.tune.data.split import TRAIN
from tests.pictures import picture

SHARES = {VALIDATION: 0.2, TEST: 0.3}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Forty pictures of two classes in pairs that share a group, and what a collector's folder has besides."""
    folder = tmp_path_factory.mktemp("collected")
    rows = ["uri,label,generator,group"]
    for number in range(40):
        (folder / f"{number}.jpg").write_bytes(picture(number))
        rows.append(
            f"{number}.jpg,{('real', 'fake')[number % 2]},{('photos', 'one', 'photos', 'two')[number % 4]},pair-{number // 2}"
        )
    extra = {
        "cut.jpg": (picture(50)[:200], "real", "photos"),
        "again.jpg": (picture(3), "fake", "two"),
        "both-a.jpg": (picture(60), "real", "photos"),
        "both-b.jpg": (picture(60), "fake", "one"),
    }
    for name, (data, label, source) in extra.items():
        (folder / name).write_bytes(data)
        rows.append(f"{name},{label},{source},")
    (folder / "samples.csv").write_text("\n".join(rows) + "\n")
    memory = f"/{folder.name}"
    fsspec.filesystem("memory").put(str(folder), memory, recursive=True)
    return f"memory:/{memory}/samples.csv"


def collected(place: str, say: Any = lambda line: None, **more: Any) -> Collection:
    hold_out = more.pop("hold_out", ())
    return collect(SampleSettings(samples=[place], **more), say, shares=SHARES, hold_out=hold_out)


def test_what_is_left_out_is_counted_by_reason_and_named(place: str) -> None:
    said: list[str] = []
    found = collected(place, said.append)
    assert found.left_out == {"truncated": 1, "identical bytes with both labels": 2, "identical bytes again": 1}
    assert len(found.samples) == 40
    told = "\n".join(said)
    assert all(name in told for name in ("cut.jpg", "both-a.jpg", "both-b.jpg", "again.jpg", "1 left out (truncated)"))


def test_a_group_never_straddles_and_every_sample_has_one_split(place: str) -> None:
    found = collected(place)
    splits: dict[str, set[str]] = {}
    for sample, split in zip(found.samples, found.splits, strict=True):
        splits.setdefault(sample.group, set()).add(split)
    assert all(len(own) == 1 for own in splits.values())
    assert sum(len(found.of(split)) for split in (TRAIN, VALIDATION, TEST)) == 40
    assert all(found.of(split) for split in (TRAIN, VALIDATION, TEST))
    assert found.rows_of(TEST).num_rows == len(found.of(TEST))


def test_a_generator_held_out_is_in_validation_whole(place: str) -> None:
    found = collected(place, hold_out=("two",))
    assert {split for sample, split in zip(found.samples, found.splits, strict=True) if sample.source == "two"} == {
        VALIDATION
    }
    with pytest.raises(
        SettingsError, match=r"\['three'\] are no generators or collections here; there are \['one', 'photos', 'two'\]"
    ):
        collected(place, hold_out=("three",))


def test_the_manifest_holds_what_a_later_judgement_needs(place: str) -> None:
    found = collected(place)
    table = pq.read_table(io.BytesIO(found.manifest()))
    assert table["split"].to_pylist() == found.splits
    assert table["uri"].to_pylist() == [sample.uri for sample in found.samples]
    assert None not in table["digest"].to_pylist()


def test_the_fingerprint_follows_content_and_splits_and_not_the_place(place: str, tmp_path: Path) -> None:
    found = collected(place)
    moved = place.replace("/samples.csv", "-moved/samples.csv")
    fsspec.filesystem("memory").copy(
        place.removeprefix("memory:/").removesuffix("/samples.csv"),
        moved.removeprefix("memory:/").removesuffix("/samples.csv"),
        recursive=True,
    )
    assert collected(moved).fingerprint() == found.fingerprint()
    assert collected(place, seed=1).fingerprint() != found.fingerprint()
    assert collected(place, max_per_source=15).fingerprint() != found.fingerprint()

"""Laws of the images of a promotion; the whole flow is run in tests/jobs/test_walkthrough.py."""

import io
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mole.config import CONFIG, CheckpointConfig, Description, describe
from mole.errors import ModelError, RefusedError, SettingsError
from pipeline import registry
from pipeline.registry import Registry
from pipeline.tune.data.collection import TEST
from pipeline.tune.data.manifest import MANIFEST, portable
from pipeline.tune.data.samples import Sample, to_table
from pipeline.tune.data.split import TRAIN
from pipeline.tune.judging.calibrate import write_version
from pipeline.tune.judging.promote import (
    PromoteSettings,
    comparison_target,
    promote,
    roll_back,
    same_weights,
    version_of,
)
from pipeline.tune.judging.unseen_samples import unseen_samples
from tests.tiny import tiny_checkpoint


def manifest(rows: dict[str, str], groups: Mapping[str, str] = MappingProxyType({})) -> bytes:
    """Write the manifest of a version whose samples are named by their digests."""
    samples = [Sample(f"/photos/{name}.jpg", int(name == "b"), "source", group=groups.get(name, "")) for name in rows]
    table = to_table(samples).append_column("digest", pa.array(list(rows)))
    sink = io.BytesIO()
    pq.write_table(table.append_column("split", pa.array(list(rows.values()))), sink)
    return sink.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> tuple[Registry, str, str]:
    models = Registry(str(tmp_path / "models"))
    old = {"a": TEST, "b": TEST, "c": TRAIN}
    new = {"b": TRAIN, "c": TEST, "d": TEST, "a": TEST}
    digests = [
        models.add(tiny_checkpoint(tmp_path / str(seed), seed=seed), {MANIFEST: manifest(rows)})
        for seed, rows in ((1, old), (2, new))
    ]
    return models, digests[0], digests[1]


def here(url: str) -> Description:
    return describe(registry.locate(url))


def test_both_are_evaluated_on_test_images_of_either_that_neither_was_trained_on(
    place: tuple[Registry, str, str],
) -> None:
    models, old, new = place
    both = [here(models.version(digest)) for digest in (new, old)]
    assert sorted(sample.uri for sample in unseen_samples(both)) == ["/photos/a.jpg", "/photos/d.jpg"]
    assert sorted(sample.uri for sample in unseen_samples(both[1:])) == ["/photos/a.jpg", "/photos/b.jpg"]


def test_an_image_whose_location_only_one_version_knows_is_read_there(place: tuple[Registry, str, str]) -> None:
    models, old, new = place
    file = Path(models.version(old)) / MANIFEST
    file.write_bytes(portable(file.read_bytes()))
    both = [here(models.version(new)), here(models.version(old))]
    assert sorted(sample.uri for sample in unseen_samples(both)) == ["/photos/a.jpg", "/photos/d.jpg"]
    assert unseen_samples(both[1:]) == [], "names without a folder lead nowhere"


def test_an_image_whose_near_duplicate_taught_the_other_version_is_left_out(tmp_path: Path) -> None:
    models = Registry(str(tmp_path / "models"))
    rows = {"photo": TEST, "again": TEST, "other": TEST}
    taught, tested = {"photo": TRAIN}, dict(rows)
    digests = [
        models.add(
            tiny_checkpoint(tmp_path / str(seed), seed=seed), {MANIFEST: manifest(own, {"photo": "g", "again": "g"})}
        )
        for seed, own in ((1, taught), (2, tested))
    ]
    both = [here(models.version(digest)) for digest in reversed(digests)]
    assert [sample.uri for sample in unseen_samples(both)] == ["/photos/other.jpg"]


def test_further_samples_that_either_was_trained_on_are_left_out(place: tuple[Registry, str, str]) -> None:
    models, old, _ = place
    given = [Sample(f"/photos/{name}.jpg", number // 2, "source") for number, name in enumerate(("c", "a", "more"))]
    chosen = unseen_samples([here(models.version(old))], given)
    names = sorted(sample.uri for sample in chosen)
    assert names == ["/photos/a.jpg", "/photos/b.jpg", "/photos/more.jpg"]  # c taught, a is there already


def test_nothing_to_judge_on_is_refused_before_anything_is_scored(place: tuple[Registry, str, str]) -> None:
    models, old, new = place
    models.promote(old, "first", replacing=None)
    with pytest.raises(SettingsError, match="one class"):
        promote(PromoteSettings(registry=models.url, candidate=new), print)
    with pytest.raises(SettingsError, match="is promoted already"):
        promote(PromoteSettings(registry=models.url, candidate=old), print)
    with pytest.raises(SettingsError, match="--base 'embedded' is for a first promotion"):
        promote(PromoteSettings(registry=models.url, candidate=new, base="embedded"), print)
    assert models.promoted() == old


def test_a_candidate_that_is_no_version_or_was_changed_by_hand_is_refused(place: tuple[Registry, str, str]) -> None:
    models, _, new = place
    with pytest.raises(SettingsError, match=f"--candidate 'none' is no version of .*; it has .*{new}"):
        promote(PromoteSettings(registry=models.url, candidate="none"), print)
    config = Path(models.version(new)) / "config.json"
    config.write_text(config.read_text().replace("Apache-2.0", "mine"))
    with pytest.raises(ModelError, match="modified after it was added"):
        version_of(models, new)


def asked(place: Registry, candidate: str, **flags: object) -> PromoteSettings:
    return PromoteSettings.model_validate({"registry": place.url, "candidate": candidate, **flags})


def child(place: Registry, folder: Path, *, seed: int, parent: str | None) -> str:
    """Put a version into a registry that says that it came from another."""
    made = tiny_checkpoint(folder / f"child-{seed}", seed=seed)
    config = CheckpointConfig.model_validate_json((made / CONFIG).read_text())
    said = config.model_copy(update={"provenance": {} if parent is None else {"parent": parent}})
    (made / CONFIG).write_text(said.model_dump_json())
    return place.add(made, {MANIFEST: manifest({"a": TEST, "b": TEST})})


def test_a_first_candidate_is_compared_with_its_parent(place: tuple[Registry, str, str], tmp_path: Path) -> None:
    models, old, _ = place
    candidate = version_of(models, child(models, tmp_path, seed=5, parent=old))
    other, told = comparison_target(asked(models, candidate.digest), models, candidate, None)
    assert other is not None and other.digest == old and told == f"its base {old}"
    alone = version_of(models, child(models, tmp_path, seed=6, parent=None))
    other, _ = comparison_target(asked(models, alone.digest), models, alone, None)
    assert other is not None and other.model == "embedded"


def test_a_first_candidate_whose_base_is_gone_is_refused_unless_it_may_be_the_first(
    place: tuple[Registry, str, str], tmp_path: Path
) -> None:
    models, *_ = place
    orphan = version_of(models, child(models, tmp_path, seed=5, parent="ab" * 16))
    with pytest.raises(RefusedError, match="--allow-missing-base") as refused:
        comparison_target(asked(models, orphan.digest), models, orphan, None)
    assert refused.value.exit_code == 6 and "--base embedded" in str(refused.value)
    assert comparison_target(asked(models, orphan.digest, allow_missing_base=True), models, orphan, None) == (None, "")
    other, _ = comparison_target(asked(models, orphan.digest, base="embedded"), models, orphan, None)
    assert other is not None and other.model == "embedded"
    with pytest.raises(SettingsError, match="itself"):
        comparison_target(asked(models, orphan.digest, base=orphan.digest), models, orphan, None)


def test_the_last_rollback_leads_to_the_base_which_lies_in_the_registry_from_then_on(
    place: tuple[Registry, str, str], tmp_path: Path
) -> None:
    models, *_ = place
    base = tiny_checkpoint(tmp_path / "base", seed=9)
    first = child(models, tmp_path, seed=5, parent=describe(base).digest)
    models.promote(first, "before there were bases", replacing=None)
    entry = roll_back(PromoteSettings(registry=models.url, rollback=True, base=str(base)))
    assert entry.digest == models.promoted() == describe(base).digest
    assert here(models.url).digest == describe(base).digest  # what a scan of the registry takes
    with pytest.raises(SettingsError, match="nothing to roll back to"):
        roll_back(PromoteSettings(registry=models.url, rollback=True))


def test_versions_that_differ_in_their_thresholds_alone_have_the_same_weights(
    place: tuple[Registry, str, str], tmp_path: Path
) -> None:
    models, old, new = place
    one, other = here(models.version(old)), here(models.version(new))
    assert not same_weights(one, other)
    read = one.calibration.model_copy(update={"generated_above": 3.0, "collection": "own"})
    made = write_version(tmp_path / "again", one, read, {})
    assert same_weights(one, describe(made)) and describe(made).digest != one.digest


@pytest.mark.parametrize("flags", [[], ["--candidate", "x", "--rollback"]])
def test_either_a_candidate_or_a_rollback_is_wanted(flags: list[str]) -> None:
    with pytest.raises(SettingsError, match="either --candidate DIGEST or --rollback"):
        PromoteSettings.from_command_line(["--registry", "r", *flags])

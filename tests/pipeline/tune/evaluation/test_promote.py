"""Laws of a promotion; the images it compares on are in test_unseen_samples.py, the whole flow is run in tests/jobs/test_walkthrough.py."""

from pathlib import Path

import pytest

from mole.config import CONFIG, CheckpointConfig, describe
from mole.errors import ModelError, RefusedError, SettingsError
from pipeline.registry import Registry
from pipeline.tune.data.collection import TEST
from pipeline.tune.data.manifest import MANIFEST
from pipeline.tune.evaluation.calibrate import write_version
from pipeline.tune.evaluation.promote import (
    PromoteSettings,
    comparison_target,
    promote,
    roll_back,
    same_weights,
    version_of,
)
from tests.pipeline.tune.evaluation.conftest import Versions, here, manifest
from tests.tiny import tiny_checkpoint


def test_nothing_to_judge_on_is_refused_before_anything_is_scored(place: Versions) -> None:
    models, old, new = place
    models.promote(old, "first", replacing=None)
    with pytest.raises(SettingsError, match="one class"):
        promote(PromoteSettings(registry=models.url, candidate=new), print)
    with pytest.raises(SettingsError, match="is promoted already"):
        promote(PromoteSettings(registry=models.url, candidate=old), print)
    with pytest.raises(SettingsError, match="--base 'embedded' is for a first promotion"):
        promote(PromoteSettings(registry=models.url, candidate=new, base="embedded"), print)
    assert models.promoted() == old


def test_a_candidate_that_is_no_version_or_was_changed_by_hand_is_refused(place: Versions) -> None:
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


def test_a_first_candidate_is_compared_with_its_parent(place: Versions, tmp_path: Path) -> None:
    models, old, _ = place
    candidate = version_of(models, child(models, tmp_path, seed=5, parent=old))
    other, told = comparison_target(asked(models, candidate.digest), models, candidate, None)
    assert other is not None and other.digest == old and told == f"its base {old}"
    alone = version_of(models, child(models, tmp_path, seed=6, parent=None))
    other, _ = comparison_target(asked(models, alone.digest), models, alone, None)
    assert other is not None and other.model == "embedded"


def test_a_first_candidate_whose_base_is_gone_is_refused_unless_it_may_be_the_first(
    place: Versions, tmp_path: Path
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
    place: Versions, tmp_path: Path
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


def test_versions_that_differ_in_their_thresholds_alone_have_the_same_weights(place: Versions, tmp_path: Path) -> None:
    models, old, new = place
    one, other = here(models.version(old)), here(models.version(new))
    assert not same_weights(one, other)
    read = one.calibration.model_copy(update={"generated_above": 3.0, "collection": "own"})
    made = write_version(tmp_path / "again", one, read, {})
    assert same_weights(one, describe(made)) and describe(made).digest != one.digest


@pytest.mark.parametrize(("flags", "got"), [([], "neither"), (["--candidate", "x", "--rollback"], "both")])
def test_either_a_candidate_or_a_rollback_is_wanted(flags: list[str], got: str) -> None:
    with pytest.raises(SettingsError, match=f"either --candidate DIGEST or --rollback, got {got}$"):
        PromoteSettings.from_command_line(["--registry", "r", *flags])
